//! Live totals for quota: per tenant, limited meter, 15-minute bucket and partition, sent as they grow. What a partition's
//! totals are is in `partition/totals.rs`.
//!
//! Only events that are durable are in a total. Records of one key are coalesced: a flood of events is one record per key
//! and interval. The rest of the mechanism is in `talea_domain::entitlement::TotalRecord`.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use talea_domain::entitlement::total::TotalRecord;
use talea_domain::id::{MeterKey, TenantId};
use talea_domain::meter::MeterDefinition;
use talea_platform::catalogue;
use talea_platform::log::{NewRecord, topic};
use talea_platform::runtime::Platform;
use talea_platform::worker::Outcome;
use tokio::sync::Notify;

pub(crate) type Key = (TenantId, MeterKey, DateTime<Utc>);

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
    pub(crate) fn offer(&self, key: Key, mut record: TotalRecord) {
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

async fn limited(platform: &Platform) -> anyhow::Result<Vec<MeterDefinition>> {
    let mut tx = platform.databases.worker.begin().await?;
    Ok(catalogue::limited_meters(&mut tx).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use talea_domain::event::Identity;

    fn total(epoch: u64, offset: u64, count: u64) -> (Key, TotalRecord) {
        let tenant = TenantId::parse("acme").expect("a key");
        let meter = MeterKey::parse("calls").expect("a key");
        let record = TotalRecord {
            tenant: tenant.clone(),
            meter: meter.clone(),
            meter_version: 1,
            bucket: DateTime::UNIX_EPOCH,
            partition: 0,
            epoch,
            offset,
            logged_at: DateTime::UNIX_EPOCH,
            count,
            sum: None,
            max: None,
            min: None,
            latest: None,
            new_uniques: vec![Identity(u128::from(count))],
            is_whole: false,
        };
        ((tenant, meter, DateTime::UNIX_EPOCH), record)
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
