//! Live totals for quota: per tenant, limited meter, 15-minute bucket and partition, sent as they grow.
//!
//! Only events that are durable are in a total. Records of one key are coalesced: a flood of events is one record per key
//! and interval. The rest of the mechanism is in `talea_domain::entitlement::TotalRecord`.

use crate::context::Context;
use anyhow::Context as _;
use chrono::{DateTime, Duration, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use talea_domain::entitlement::total::{LatestValue, TotalRecord};
use talea_domain::event::Identity;
use talea_domain::id::{MeterKey, TenantId};
use talea_domain::meter::{MeterDefinition, Partial, Reading, ValueHash, bucket_start};
use talea_platform::catalogue;
use talea_platform::log::{NewRecord, topic};
use talea_platform::runtime::Platform;
use talea_platform::usage::dirty::DirtyBucket;
use talea_platform::usage::partials::{partials_of, partials_since};
use talea_platform::usage::rows::StoredEvent;
use talea_platform::worker::Outcome;
use tokio::sync::Notify;

type Key = (TenantId, MeterKey, DateTime<Utc>);

/// Records that wait to be sent, and the meters that anybody limits.
#[derive(Default)]
pub struct TotalsPublisher {
    pending: Mutex<HashMap<(Key, u32), TotalRecord>>,
    limited: RwLock<Arc<Vec<MeterDefinition>>>,
    pub changed: Arc<Notify>,
}

impl TotalsPublisher {
    pub fn limited(&self) -> Arc<Vec<MeterDefinition>> {
        self.limited.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads which meters the plans limit. Partitions notice the change and rebuild.
    pub async fn refresh(&self, platform: &Platform) -> anyhow::Result<()> {
        let limited = limited(platform).await.context("limited meters")?;
        if *self.limited() != limited {
            *self.limited.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limited);
        }
        Ok(())
    }

    /// The higher (epoch, offset) stays: the task of an earlier ownership can still speak when the next one has begun.
    fn offer(&self, key: Key, mut record: TotalRecord) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (key, record.partition);
        if let Some(mut other) = pending.remove(&entry) {
            if (other.epoch, other.offset) > (record.epoch, record.offset) {
                std::mem::swap(&mut other, &mut record);
            }
            // After a whole set, values that were told before it are gone.
            if !record.is_whole {
                record.is_whole = other.is_whole;
                record.new_uniques.extend(other.new_uniques);
            }
        }
        pending.insert(entry, record);
        drop(pending);
        self.changed.notify_one();
    }

    /// Sends what is pending. What the log does not take stays pending, unless a newer total came.
    pub async fn publish(&self, platform: &Platform) -> anyhow::Result<Outcome> {
        let taken = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(Outcome::Idle);
        }
        let taken: Vec<_> = taken.into_iter().collect();
        let mut records = Vec::with_capacity(taken.len());
        for (_, record) in &taken {
            let (key, value) = (record.key().into(), record.encode()?.into());
            records.push(NewRecord { key, value, headers: Vec::new() });
        }
        let outcomes = platform.log.append(topic::TOTALS, records).await;
        let mut failure = None;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for ((entry, mut record), outcome) in taken.into_iter().zip(outcomes) {
            let Err(error) = outcome else { continue };
            failure = Some(error);
            match pending.get_mut(&entry) {
                Some(newer) if newer.is_whole => {}
                Some(newer) => {
                    newer.is_whole = record.is_whole;
                    newer.new_uniques.append(&mut record.new_uniques);
                }
                None => drop(pending.insert(entry, record)),
            }
        }
        failure.map_or(Ok(Outcome::Idle), |error| Err(anyhow::Error::from(error).context("publish totals")))
    }
}

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

async fn limited(platform: &Platform) -> anyhow::Result<Vec<MeterDefinition>> {
    let mut tx = platform.databases.worker.begin().await?;
    Ok(catalogue::limited_meters(&mut tx).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(epoch: u64, offset: u64, count: u64) -> (Key, TotalRecord) {
        let tenant = TenantId::parse("acme").expect("a key");
        let meter = MeterKey::parse("calls").expect("a key");
        let partial = Partial { count, ..Partial::default() };
        let new_uniques = vec![Identity(u128::from(count))];
        let mut cell = Cell { partial, offset, logged_at: DateTime::UNIX_EPOCH, new_uniques };
        let key = (tenant, meter, DateTime::UNIX_EPOCH);
        let record = record(&key, 1, 0, epoch, &mut cell);
        (key, record)
    }

    #[test]
    fn what_an_earlier_owner_still_says_replaces_nothing() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let publisher = TotalsPublisher::default();
            let said = [total(1, 9, 10), total(2, 9, 20), total(2, 12, 30)];
            for (key, record) in order.map(|index| said[index].clone()) {
                publisher.offer(key, record);
            }
            let pending = publisher.pending.lock().expect("whole");
            let record = pending.values().next().expect("one of the key");
            assert_eq!((pending.len(), record.epoch, record.offset, record.count), (1, 2, 12, 30));
            assert_eq!(record.new_uniques.len(), 3, "no value of a unique count is lost");
        }
    }
}
