//! The order of effects: events, then the voids of events, then what is derived from them, then (by the caller) the offset. A crash anywhere in
//! between is mended by recovery, which finds the events and writes what is missing.

use super::block::Block;
use crate::context::Context;
use anyhow::Context as _;
use bytes::Bytes;
use std::collections::HashSet;
use talea_platform::log::topic;
use talea_platform::postgres::{DatabaseError, ErrorClass};
use talea_platform::usage::dirty::{DirtyBucket, DirtyBuckets};
use talea_platform::usage::insert::{Fence, Table, statement};

/// Tries of one marking before the partition is recovered instead.
const MARK_TRIES: u32 = 3;

pub(super) async fn write(context: &Context, fence: &Fence, attempt: u64, block: &Block) -> anyhow::Result<()> {
    insert(context, fence, attempt, Table::Events, &block.events).await?;
    insert(context, fence, attempt, Table::Voids, &block.voids).await?;
    tokio::try_join!(
        insert(context, fence, attempt, Table::Identities, &block.identities),
        insert(context, fence, attempt, Table::Repeats, &block.repeats),
        insert(context, fence, attempt, Table::DeadLetters, &block.dead_letters),
        mark_dirty(context, &block.dirty),
        forward(context, block),
    )?;
    Ok(())
}

async fn insert(context: &Context, fence: &Fence, attempt: u64, table: Table, body: &Bytes) -> anyhow::Result<()> {
    if body.is_empty() {
        return Ok(());
    }
    let query_id = fence.query_id(table, attempt);
    context
        .platform
        .clickhouse
        .insert_whole(&statement(table, fence), body.clone(), &query_id)
        .await
        .with_context(|| format!("insert into {}", table.name()))
}

/// Durable before the offset is committed, and after the events and voids: a bucket that is recomputed in between stays marked.
pub(super) async fn mark_dirty(context: &Context, buckets: &HashSet<DirtyBucket>) -> anyhow::Result<()> {
    if buckets.is_empty() {
        return Ok(());
    }
    let buckets: Vec<_> = buckets.iter().cloned().collect();
    let mut tries = 0;
    loop {
        tries += 1;
        match try_mark(context, &buckets).await {
            // Marking twice is harmless, so that an unknown outcome is tried again too.
            Err(error) if error.class() == ErrorClass::Retry && tries < MARK_TRIES => {}
            outcome => return outcome.context("mark dirty buckets"),
        }
    }
}

async fn try_mark(context: &Context, buckets: &[DirtyBucket]) -> Result<(), DatabaseError> {
    let mut tx = context.platform.databases.worker.begin().await?;
    DirtyBuckets::mark(&mut tx, buckets, context.clock().now()).await?;
    tx.commit().await
}

/// Sends records home. Twice after a crash is harmless: they meet their duplicate there.
async fn forward(context: &Context, block: &Block) -> anyhow::Result<()> {
    if block.forwards.is_empty() {
        return Ok(());
    }
    for outcome in context.platform.log.append(topic::USAGE, block.forwards.clone()).await {
        outcome.context("forward to the home partition")?;
    }
    Ok(())
}
