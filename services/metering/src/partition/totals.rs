//! What the events of one partition add up to, for the limits that quota watches.

use crate::context::Context;
use crate::totals::{Key, TotalsPublisher};
use anyhow::Context as _;
use chrono::{DateTime, Duration, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use talea_domain::entitlement::total::{LatestValue, TotalRecord};
use talea_domain::event::Identity;
use talea_domain::id::MeterKey;
use talea_domain::meter::{MeterDefinition, Partial, Reading, ValueHash, bucket_start};
use talea_platform::usage::dirty::DirtyBucket;
use talea_platform::usage::partials::{partials_of, partials_since};
use talea_platform::usage::rows::StoredEvent;

/// The totals of one partition, for the buckets that events outside of a backfill can still change.
pub struct PartitionTotals {
    partition: u32,
    /// The first bucket that is kept.
    since: DateTime<Utc>,
    meters: Arc<Vec<MeterDefinition>>,
    cells: HashMap<Key, Cell>,
    /// The offset behind the last event whose totals were offered.
    told: u64,
}

#[derive(Default)]
struct Cell {
    partial: Partial,
    offset: u64,
    logged_at: DateTime<Utc>,
    /// Values that no record has named yet.
    new_uniques: Vec<Identity>,
}

impl PartitionTotals {
    /// For a new owner, from what is stored. Totals that changed at or after `committed` (an offset) are offered: whoever
    /// stored those events may have ended before it told anybody.
    pub(crate) async fn recover(context: &Context, partition: u32, epoch: u64, committed: u64) -> anyhow::Result<Self> {
        let mut totals = Self::stored(context, partition).await?;
        totals.offer(&context.totals, epoch, |_, cell| cell.offset >= committed);
        Ok(totals)
    }

    /// For another set of limited meters, from what is stored. Nobody was told of the new meters' totals, nor of what changed
    /// since the last telling: a renewal that fails is made up for by the next.
    pub(crate) async fn renew(&mut self, context: &Context, epoch: u64) -> anyhow::Result<()> {
        let mut totals = Self::stored(context, self.partition).await?;
        let is_new = |key: &MeterKey| !self.meters.iter().any(|meter| meter.key == *key);
        totals.offer(&context.totals, epoch, |key, cell| cell.offset >= self.told || is_new(key));
        totals.told = totals.told.max(self.told);
        *self = totals;
        Ok(())
    }

    /// In one query for each limited meter.
    async fn stored(context: &Context, partition: u32) -> anyhow::Result<Self> {
        let meters = context.totals.limited();
        let since = kept_since(context);
        let mut cells: HashMap<Key, Cell> = HashMap::new();
        let stored = partials_since(&context.platform.clickhouse, &meters, since).await.context("rebuild totals")?;
        for row in stored.into_iter().filter(|row| row.partition == partition) {
            let cell = cells.entry((row.tenant, row.meter, row.bucket_start)).or_default();
            cell.offset = cell.offset.max(row.offset);
            cell.logged_at = cell.logged_at.max(row.logged_at);
            cell.partial.merge(&row.partial);
        }
        let told = cells.values().map(|cell| cell.offset + 1).max().unwrap_or(0);
        Ok(Self { partition, since, meters, cells, told })
    }

    fn offer(&mut self, publisher: &TotalsPublisher, epoch: u64, is_untold: impl Fn(&MeterKey, &Cell) -> bool) {
        for (key, cell) in self.cells.iter_mut().filter(|(key, cell)| is_untold(&key.1, cell)) {
            let Some(meter) = self.meters.iter().find(|meter| meter.key == key.1) else { continue };
            cell.new_uniques = cell.partial.uniques.iter().map(|unique| Identity(unique.0)).collect();
            let record = TotalRecord { is_whole: true, ..record(key, meter.version, self.partition, epoch, cell) };
            publisher.offer(key.clone(), record);
        }
    }

    /// Whether the set of limited meters is another by now.
    pub fn is_outdated(&self, publisher: &TotalsPublisher) -> bool {
        !Arc::ptr_eq(&self.meters, &publisher.limited())
    }

    /// Adds counted events and offers every total that changed. What lies before the kept buckets is left to the comparison with
    /// the store: a total that began with it would be told as the whole.
    pub fn add(&mut self, context: &Context, epoch: u64, events: &[StoredEvent]) {
        self.forget_before(kept_since(context));
        let publisher = &context.totals;
        self.told = events.last().map_or(self.told, |stored| self.told.max(stored.offset + 1));
        let meters = self.meters.clone();
        let mut touched: HashMap<Key, u32> = HashMap::new();
        for stored in events.iter().filter(|stored| stored.event.time >= self.since) {
            for meter in meters.iter().filter(|meter| meter.event_type == stored.event.event_type) {
                let reading = meter.read(&stored.event);
                let Reading::Value { text, .. } = &reading else { continue };
                let key = (stored.event.tenant.clone(), meter.key.clone(), bucket_start(stored.event.time));
                let cell = self.cells.entry(key.clone()).or_default();
                if let Some(unique) = text.as_deref().map(ValueHash::of).filter(|it| !cell.partial.uniques.contains(it))
                {
                    cell.new_uniques.push(Identity(unique.0));
                }
                cell.partial.add(&reading, stored.event.time, stored.event.identity);
                cell.offset = cell.offset.max(stored.offset);
                cell.logged_at = cell.logged_at.max(stored.log_time);
                touched.insert(key, meter.version);
            }
        }
        for (key, version) in touched {
            if let Some(cell) = self.cells.get_mut(&key) {
                let record = record(&key, version, self.partition, epoch, cell);
                publisher.offer(key, record);
            }
        }
    }

    /// Reads the totals of these buckets anew, because events of theirs were voided, and offers them as the whole that they are. Where
    /// that fails all totals are read anew as soon as it can be done.
    pub(crate) async fn recount(
        &mut self,
        context: &Context,
        epoch: u64,
        buckets: &[DirtyBucket],
    ) -> anyhow::Result<()> {
        let meters = self.meters.clone();
        let kept: Vec<DirtyBucket> = buckets.iter().filter(|it| it.bucket_start >= self.since).cloned().collect();
        let stored = match partials_of(&context.platform.clickhouse, &meters, &kept).await {
            Ok(stored) => stored,
            Err(error) => {
                self.meters = Arc::new(Vec::new());
                return Err(error).context("recount totals");
            }
        };
        for row in stored.into_iter().filter(|row| row.partition == self.partition) {
            let key = (row.tenant, row.meter, row.bucket_start);
            let new_uniques = row.partial.uniques.iter().map(|unique| Identity(unique.0)).collect();
            let mut cell = Cell { partial: row.partial, offset: row.offset, logged_at: row.logged_at, new_uniques };
            let record =
                TotalRecord { is_whole: true, ..record(&key, row.meter_version, self.partition, epoch, &mut cell) };
            self.told = self.told.max(cell.offset + 1);
            context.totals.offer(key.clone(), record);
            self.cells.insert(key, cell);
        }
        Ok(())
    }

    /// Looks through all totals at most once for each day that passes.
    fn forget_before(&mut self, since: DateTime<Utc>) {
        if since - self.since >= Duration::days(1) {
            self.since = since;
            self.cells.retain(|key, _| key.2 >= since);
        }
    }
}

/// The first bucket whose totals are kept: a window back from now.
fn kept_since(context: &Context) -> DateTime<Utc> {
    bucket_start(context.clock().now() - context.settings.window.late)
}

fn record(key: &Key, meter_version: u32, partition: u32, epoch: u64, cell: &mut Cell) -> TotalRecord {
    let partial = &cell.partial;
    TotalRecord {
        tenant: key.0.clone(),
        meter: key.1.clone(),
        meter_version,
        bucket: key.2,
        partition,
        epoch,
        offset: cell.offset,
        logged_at: cell.logged_at,
        count: partial.count,
        sum: partial.sum,
        max: partial.max,
        min: partial.min,
        latest: partial.latest.map(|latest| LatestValue {
            time: latest.time,
            identity: latest.identity,
            value: latest.value,
        }),
        new_uniques: std::mem::take(&mut cell.new_uniques),
        is_whole: false,
    }
}
