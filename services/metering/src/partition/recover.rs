//! Taking a partition over, the one path for a start, a crash, a rebalance and an insert of unknown outcome: a new epoch,
//! the end of the old owner's inserts, and only then a look at what is there.

use super::totals::PartitionTotals;
use super::{Memory, Recovered, write};
use crate::context::Context;
use crate::filter::IdentityFilter;
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use talea_platform::log::topic;
use talea_platform::usage::insert::Fence;
use talea_platform::usage::{fence, recovery};

pub(super) async fn recover(context: &Context, partition: u32, committed: u64) -> anyhow::Result<Recovered> {
    let epoch = context.platform.databases.next_epoch(topic::USAGE, partition).await.context("new epoch")?;
    let fence = Fence { topic: topic::USAGE.to_owned(), partition, epoch };
    let clickhouse = &context.platform.clickhouse;
    fence::take(clickhouse, &fence).await.context("end the former owner's inserts")?;

    let stored = recovery::stored_since(clickhouse, topic::USAGE, partition, committed).await?;
    recovery::write_missing_identities(clickhouse, &fence, committed).await.context("write missing identities")?;
    let changed = recovery::buckets_since(clickhouse, partition, committed).await?;
    write::mark_dirty(context, &changed.into_iter().collect()).await.context("mark what was stored")?;

    let mut filter = IdentityFilter::default();
    let unread = unread_since(context, partition, committed).await?;
    let since = context.settings.remembered_from(unread);
    let now = context.clock().now();
    let remembered =
        recovery::recent_identities(clickhouse, partition, since, |identity| filter.insert(identity, now)).await?;
    let replayed: HashSet<u64> = [&stored.events, &stored.voids, &stored.repeats, &stored.dead_letters]
        .into_iter()
        .flatten()
        .map(|place| place.offset)
        .collect();
    tracing::info!(partition, epoch, committed, replayed = replayed.len(), remembered, "metering.partition_taken");
    let totals = PartitionTotals::recover(context, partition, epoch, committed).await?;
    Ok(Recovered { fence, memory: Memory::new(filter, replayed), totals })
}

/// When the log took the first record that is not committed; now, when there is none. Records are judged by this time: after
/// days of standing still, what was counted a window before the backlog must be remembered, not a window before now.
async fn unread_since(context: &Context, partition: u32, committed: u64) -> anyhow::Result<DateTime<Utc>> {
    let now = context.clock().now();
    let unread = context.platform.log.read(topic::USAGE, partition, committed, 1).await.context("read the log")?;
    Ok(unread.first().map_or(now, |record| record.appended_at.min(now)))
}
