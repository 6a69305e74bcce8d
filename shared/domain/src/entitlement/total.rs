//! The live total of one bucket in one partition of the usage log: what metering tells quota on `talea.totals.v1`.
//!
//! A record carries the whole partial, never a difference, so that a lost or repeated record does no harm; only the
//! values of a unique count are sent as they first appear, because a union forgives repetition by itself. Of two records
//! of a key, the one with the higher (epoch, offset) holds, never the one with the higher value.

use super::exact;
use crate::event::Identity;
use crate::id::{MeterKey, TenantId};
use crate::meter::{Latest, Partial, ValueHash};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// `{"tenant":"acme","meter":"tokens_in","meter_version":1,"bucket":"2026-10-01T00:15:00Z","partition":3,…}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TotalRecord {
    pub tenant: TenantId,
    pub meter: MeterKey,
    pub meter_version: u32,
    /// Start of the 15-minute bucket, UTC.
    pub bucket: DateTime<Utc>,
    /// Of the usage log.
    pub partition: u32,
    /// Of the partition's owner.
    pub epoch: u64,
    /// The highest offset of the usage log that is in this total.
    pub offset: u64,
    /// When the log took the event at `offset`.
    pub logged_at: DateTime<Utc>,
    /// Events that gave the meter a value.
    pub count: u64,
    /// Absent once the sum did not fit exactly.
    #[serde(default, with = "exact::optional", skip_serializing_if = "Option::is_none")]
    pub sum: Option<Decimal>,
    #[serde(default, with = "exact::optional", skip_serializing_if = "Option::is_none")]
    pub max: Option<Decimal>,
    #[serde(default, with = "exact::optional", skip_serializing_if = "Option::is_none")]
    pub min: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<LatestValue>,
    /// Hashes of a unique count's values that no earlier record of this key and epoch named; 32 hex digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_uniques: Vec<Identity>,
    /// Whether `new_uniques` are all values, not only new ones: what was named before and is not among them was voided.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_whole: bool,
}

/// The value of the newest event: by time, then by identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatestValue {
    pub time: DateTime<Utc>,
    pub identity: Identity,
    #[serde(with = "exact")]
    pub value: Decimal,
}

/// A record of the totals topic that is none. Skip it: the next total of the key, or the comparison with the store,
/// mends what it should have said.
#[derive(Debug, thiserror::Error)]
#[error("a record of the totals topic cannot be read: {0}; it is skipped, the next record of its key replaces it")]
pub struct TotalError(#[from] serde_json::Error);

impl TotalRecord {
    /// What the record says, with only the new values of a unique count.
    pub fn partial(&self) -> Partial {
        Partial {
            count: self.count,
            sum: self.sum,
            max: self.max,
            min: self.min,
            latest: self.latest.as_ref().map(|l| Latest { time: l.time, identity: l.identity, value: l.value }),
            uniques: self.new_uniques.iter().map(|unique| ValueHash(unique.0)).collect(),
        }
    }

    /// The record's value on the topic: one JSON object.
    pub fn encode(&self) -> Result<Vec<u8>, TotalError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads what [`TotalRecord::encode`] wrote, in this or an earlier version. Unknown fields are passed over.
    pub fn decode(value: &[u8]) -> Result<Self, TotalError> {
        Ok(serde_json::from_slice(value)?)
    }

    /// The key on the topic: all records of one tenant's meter meet in one partition, in order.
    pub fn key(&self) -> String {
        format!("{}/{}", self.tenant, self.meter)
    }
}
