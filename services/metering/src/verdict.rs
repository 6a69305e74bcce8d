//! What becomes of each record. Pure: judged against the record's own append time, so that a replay decides the same.
//!
//! In this order: a record already stored is a replay and gets no verdict; a known identity is a duplicate or a conflict,
//! the first in the log stays counted; then validity and tenant; then the window. A dead letter claims no identity.

use chrono::{DateTime, Duration, Utc};
use std::collections::{HashMap, HashSet};
use talea_domain::error::FieldError;
use talea_domain::event::{DeadLetterReason, Identity, UsageEvent, Window, window};
use talea_domain::id::TenantId;
use talea_platform::log::LogRecord;

/// A record with what was read from it.
pub struct Decoded {
    pub record: LogRecord,
    pub event: Result<UsageEvent, FieldError>,
    pub backfill: bool,
}

/// Who counted an identity first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub body_hash: u128,
    pub partition: u32,
    pub offset: u64,
    /// Log time of that record.
    pub first_seen: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Stored by an earlier try: nothing to do.
    Replay,
    /// Belongs to another partition, where its duplicates are: to be sent there.
    Forward(Identity),
    Counted(UsageEvent),
    Duplicate {
        event: UsageEvent,
        of: Claim,
    },
    DeadLetter {
        event: Option<UsageEvent>,
        reason: DeadLetterReason,
        fault: FieldError,
    },
}

/// What the judgement of a partition's records depends on.
pub struct Bench<'a> {
    pub partition: u32,
    pub partitions: u32,
    pub window: Window,
    /// Offsets that recovery found stored.
    pub replayed: &'a HashSet<u64>,
    pub tenant_is_known: &'a dyn Fn(&TenantId) -> bool,
}

/// Judges records in log order. `claims` holds what is known of their identities and takes the new ones.
pub fn judge(records: Vec<Decoded>, claims: &mut HashMap<u128, Claim>, bench: &Bench<'_>) -> Vec<(LogRecord, Verdict)> {
    records
        .into_iter()
        .map(|decoded| {
            let verdict = judge_one(&decoded.record, decoded.event, decoded.backfill, claims, bench);
            (decoded.record, verdict)
        })
        .collect()
}

fn judge_one(
    record: &LogRecord,
    event: Result<UsageEvent, FieldError>,
    backfill: bool,
    claims: &mut HashMap<u128, Claim>,
    bench: &Bench<'_>,
) -> Verdict {
    if bench.replayed.contains(&record.offset) {
        return Verdict::Replay;
    }
    let event = match event {
        Ok(event) => event,
        Err(fault) => return Verdict::DeadLetter { event: None, reason: DeadLetterReason::of(&fault), fault },
    };
    if home_partition(&event, bench.partitions) != bench.partition {
        return Verdict::Forward(event.identity);
    }
    if let Some(claim) =
        claims.get(&event.identity.0).filter(|claim| remembered(claim, record, backfill, &bench.window))
    {
        if claim.body_hash == event.body_hash {
            return Verdict::Duplicate { event, of: *claim };
        }
        let reason =
            format!("was counted with another content (partition {}, offset {})", claim.partition, claim.offset);
        return dead_letter(event, DeadLetterReason::Conflict, "id", reason);
    }
    if !(bench.tenant_is_known)(&event.tenant) {
        return dead_letter(event, DeadLetterReason::UnknownTenant, "tenantid", "is not a known tenant".to_owned());
    }
    if let Err(reason) = window(event.time, record.appended_at, &bench.window, backfill) {
        let fault = window_fault(reason, &event, record);
        return dead_letter(event, reason, "time", fault);
    }
    let claim = Claim {
        body_hash: event.body_hash,
        partition: record.partition,
        offset: record.offset,
        first_seen: record.appended_at,
    };
    claims.insert(event.identity.0, claim);
    Verdict::Counted(event)
}

/// The partition in which an identity is counted.
pub fn home_partition(event: &UsageEvent, partitions: u32) -> u32 {
    talea_platform::log::partitioner::partition_for(&event.identity.0.to_be_bytes(), partitions)
}

/// An identity is remembered for W from the log time of its first record; a backfill remembers for as long as it is kept.
fn remembered(claim: &Claim, record: &LogRecord, backfill: bool, window: &Window) -> bool {
    backfill || record.appended_at.signed_duration_since(claim.first_seen) <= window.late
}

fn dead_letter(event: UsageEvent, reason: DeadLetterReason, field: &str, fault: String) -> Verdict {
    Verdict::DeadLetter { event: Some(event), reason, fault: FieldError::new(field, fault, reason.way_out()) }
}

fn window_fault(reason: DeadLetterReason, event: &UsageEvent, record: &LogRecord) -> String {
    let apart: Duration = record.appended_at.signed_duration_since(event.time);
    match reason {
        DeadLetterReason::InFuture => format!("lies {} minutes in the future of the log", -apart.num_minutes()),
        _ => format!("lies {} days before the log took it", apart.num_days()),
    }
}

#[cfg(test)]
#[path = "verdict_test.rs"]
mod tests;
