//! The bucket worker: recomputes what is marked dirty and has been quiet, and clears the mark only if nothing came since.

use crate::context::Context;
use anyhow::Context as _;
use std::collections::BTreeSet;
use std::sync::Arc;
use talea_domain::meter::MeterDefinition;
use talea_platform::catalogue;
use talea_platform::clock::seconds;
use talea_platform::usage::buckets;
use talea_platform::usage::dirty::{DirtyBucket, DirtyBuckets};
use talea_platform::worker::Outcome;

/// Dirty marks that one pass takes.
const PASS: usize = 20_000;

pub async fn pass(context: Arc<Context>) -> anyhow::Result<Outcome> {
    let now = context.clock().now();
    let quiet_before = now - seconds(context.platform.config.metering.bucket_quiet_seconds);
    let databases = &context.platform.databases;
    let mut tx = databases.worker.begin().await?;
    let marks = DirtyBuckets::take(&mut tx, PASS as i64, quiet_before).await?;
    let oldest = DirtyBuckets::oldest(&mut tx).await?;
    let mut meters: Vec<MeterDefinition> = catalogue::newest_meters(&mut tx).await?;
    tx.commit().await?;
    let age = oldest.map_or(0, |oldest| now.signed_duration_since(oldest).num_seconds());
    metrics::gauge!("talea_oldest_dirty_bucket_seconds").set(age as f64);
    if marks.is_empty() {
        return Ok(Outcome::Idle);
    }
    let dirty: Vec<DirtyBucket> = marks.iter().map(|mark| mark.bucket.clone()).collect();
    let types: BTreeSet<&str> = dirty.iter().map(|bucket| bucket.event_type.as_str()).collect();
    meters.retain(|meter| types.contains(meter.event_type.as_str()));
    let revision = databases.next_revision().await?;
    let report = buckets::recompute(&context.platform.clickhouse, &meters, &dirty, revision)
        .await
        .context("recompute buckets")?;
    for double in &report.duplicated {
        tracing::error!(bucket = ?double.bucket, rows = double.rows, records = double.records, "metering.rows_stored_twice");
        metrics::counter!("talea_double_rows_total").increment(double.rows - double.records);
    }
    let mut tx = databases.worker.begin().await?;
    DirtyBuckets::clear(&mut tx, &marks).await?;
    tx.commit().await?;
    metrics::counter!("talea_buckets_recomputed_total").increment(marks.len() as u64);
    Ok(if marks.len() == PASS { Outcome::Again } else { Outcome::Idle })
}
