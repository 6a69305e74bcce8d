//! A block: consecutive records of one partition with everything that is to be written for them.

use crate::verdict::Claim;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use talea_domain::event::DeadLetterReason;
use talea_platform::log::{LogRecord, NewRecord};
use talea_platform::usage::dirty::DirtyBucket;
use talea_platform::usage::rows::StoredEvent;
use talea_platform::usage::voids::Place;

pub(super) struct Block {
    /// As they came, for a second try after a failure.
    pub records: Vec<LogRecord>,
    pub counted: Arc<Vec<StoredEvent>>,
    /// Which records its voids take out of the count, each with the place of the void.
    pub voided: HashMap<Place, Place>,
    /// Buckets that its voids change: their totals are read anew.
    pub reopened: HashSet<DirtyBucket>,
    /// RowBinary bodies, one for each table.
    pub events: Bytes,
    pub voids: Bytes,
    pub identities: Bytes,
    pub repeats: Bytes,
    pub dead_letters: Bytes,
    /// Records that belong to another partition.
    pub forwards: Vec<NewRecord>,
    /// Buckets that its events and voids change.
    pub dirty: HashSet<DirtyBucket>,
    /// The identities that this block counts.
    pub claims: HashMap<u128, Claim>,
    pub tally: Tally,
    /// The offset behind the last record.
    pub next_offset: u64,
}

/// How many records got which verdict.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub replays: u64,
    pub duplicates: u64,
    pub dead_letters: BTreeMap<DeadLetterReason, u64>,
}

impl Block {
    pub fn into_records(self) -> Vec<LogRecord> {
        self.records
    }

    /// Counts what became of the records; called when the block is durable.
    pub fn measure(&self, now: DateTime<Utc>) {
        let verdict = |name: &'static str, count: u64| {
            metrics::counter!("talea_metering_events_total", "verdict" => name).increment(count);
        };
        verdict("counted", self.counted.len() as u64);
        verdict("voided", self.voided.len() as u64);
        verdict("duplicate", self.tally.duplicates);
        verdict("replay", self.tally.replays);
        verdict("forwarded", self.forwards.len() as u64);
        for (reason, count) in &self.tally.dead_letters {
            verdict("dead_letter", *count);
            metrics::counter!("talea_dead_letters_total", "reason" => reason.as_str()).increment(*count);
        }
        if let Some(oldest) = self.records.first() {
            let age = now.signed_duration_since(oldest.appended_at).to_std().unwrap_or_default();
            metrics::histogram!("talea_metering_append_to_queryable_seconds").record(age);
        }
        metrics::histogram!("talea_metering_block_events").record(self.records.len() as f64);
    }
}
