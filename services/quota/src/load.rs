//! Loads what is stored into totals that are new to the book: at start, for a new limit, for a new version of a meter.
//! It runs after the feed's place in the topic is fixed, so that between the store's answer and the feed nothing is lost.

use crate::live::{Place, Total};
use crate::shared::Shared;
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use talea_domain::id::{MeterKey, TenantId};
use talea_domain::meter::MeterDefinition;
use talea_platform::usage::partials::partials_since;
use talea_platform::worker::Outcome;

/// One pass: a query per meter that has totals to load, whatever the number of tenants.
pub async fn pass(shared: Arc<Shared>) -> anyhow::Result<Outcome> {
    if !shared.feed_fixed.is_reached() {
        return Ok(Outcome::Idle);
    }
    let Some((meters, since)) = shared.book().unloaded() else { return Ok(Outcome::Idle) };
    let stored = stored_totals(&shared, &meters, since).await?;
    let now = shared.platform.clock.now();
    shared.book_mut().load(&meters, since, stored, now);
    tracing::info!(quota.meters = meters.len(), quota.since = %since, "quota.totals_loaded");
    shared.signals_due.notify_one();
    Ok(Outcome::Idle)
}

/// The stored totals of these meters from the bucket of `since` on.
pub async fn stored_totals(
    shared: &Shared,
    meters: &[MeterDefinition],
    since: DateTime<Utc>,
) -> anyhow::Result<Vec<(TenantId, MeterKey, Place, Total)>> {
    let stored = partials_since(&shared.platform.clickhouse, meters, since).await.context("stored totals")?;
    let total = |epoch, offset, partial| Total { epoch, offset, partial, is_whole: true };
    Ok(stored
        .into_iter()
        .map(|row| {
            (row.tenant, row.meter, (row.bucket_start, row.partition), total(row.epoch, row.offset, row.partial))
        })
        .collect())
}
