//! What becomes of each record. Pure: judged against the record's own append time, so that a replay decides the same.
//!
//! In this order: a record already stored is a replay and gets no verdict; a known identity is a duplicate or a conflict,
//! the first in the log stays counted; then validity and tenant; then the window. A dead letter claims no identity.
//!
//! A void is judged in the partition of the event that it is of, so that it comes after that event or finds none. It takes effect
//! once, and frees no identity: what was voided and is sent again is a duplicate.

use chrono::{DateTime, Duration, Utc};
use std::collections::{HashMap, HashSet};
use talea_domain::error::FieldError;
use talea_domain::event::{DeadLetterReason, EventVoid, Identity, Submission, UsageEvent, Window, window};
use talea_domain::id::TenantId;
use talea_platform::log::LogRecord;
use talea_platform::usage::voids::Place;

/// A record with what was read from it.
pub struct Decoded {
    pub record: LogRecord,
    pub event: Result<Submission, FieldError>,
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
    /// Takes the event of this record out of the count.
    Voided {
        void: EventVoid,
        of: Claim,
    },
    /// What it is of was voided before, by this record.
    VoidedAgain {
        void: EventVoid,
        by: Place,
    },
    DeadLetter {
        submission: Option<Submission>,
        reason: DeadLetterReason,
        fault: FieldError,
    },
}

/// What is known of the identities of a partition's records.
#[derive(Debug, Default)]
pub struct Known {
    pub claims: HashMap<u128, Claim>,
    /// Which records are voided, and by which.
    pub voids: HashMap<Place, Place>,
}

impl Claim {
    /// The record that counted it.
    pub fn place(&self) -> Place {
        (self.partition, self.offset)
    }
}

/// What the judgement of a partition's records depends on.
pub struct Bench<'a> {
    pub partition: u32,
    pub partitions: u32,
    pub window: Window,
    /// Offsets that recovery found stored.
    pub replayed: &'a HashSet<u64>,
    pub tenant_is_known: &'a dyn Fn(&TenantId) -> bool,
    /// Whether the counted event of a record is still there; retention may have removed it.
    pub event_is_kept: &'a dyn Fn(Place) -> bool,
}

/// Judges records in log order. `known` holds what is known of their identities and takes what is new.
pub fn judge(records: Vec<Decoded>, known: &mut Known, bench: &Bench<'_>) -> Vec<(LogRecord, Verdict)> {
    records
        .into_iter()
        .map(|decoded| {
            let verdict = judge_one(&decoded.record, decoded.event, decoded.backfill, known, bench);
            (decoded.record, verdict)
        })
        .collect()
}

fn judge_one(
    record: &LogRecord,
    submission: Result<Submission, FieldError>,
    backfill: bool,
    known: &mut Known,
    bench: &Bench<'_>,
) -> Verdict {
    if bench.replayed.contains(&record.offset) {
        return Verdict::Replay;
    }
    let submission = match submission {
        Ok(submission) => submission,
        Err(fault) => return Verdict::DeadLetter { submission: None, reason: DeadLetterReason::of(&fault), fault },
    };
    let identity = submission.subject_identity();
    if home_partition(identity, bench.partitions) != bench.partition {
        return Verdict::Forward(identity);
    }
    match submission {
        Submission::Usage(event) => judge_usage(record, event, backfill, known, bench),
        Submission::Void(void) => judge_void(record, void, known, bench),
    }
}

fn judge_usage(record: &LogRecord, event: UsageEvent, backfill: bool, known: &mut Known, bench: &Bench<'_>) -> Verdict {
    let claim = known.claims.get(&event.identity.0);
    if let Some(claim) = claim.filter(|claim| remembered(claim, record, backfill, &bench.window)) {
        if claim.body_hash == event.body_hash {
            return Verdict::Duplicate { event, of: *claim };
        }
        let reason =
            format!("was counted with another content (partition {}, offset {})", claim.partition, claim.offset);
        return dead_letter(Submission::Usage(event), DeadLetterReason::Conflict, "id", reason);
    }
    if !(bench.tenant_is_known)(&event.tenant) {
        return unknown_tenant(Submission::Usage(event));
    }
    if let Err(reason) = window(event.time, record.appended_at, &bench.window, backfill) {
        let fault = window_fault(reason, &event, record);
        return dead_letter(Submission::Usage(event), reason, "time", fault);
    }
    let claim = Claim {
        body_hash: event.body_hash,
        partition: record.partition,
        offset: record.offset,
        first_seen: record.appended_at,
    };
    known.claims.insert(event.identity.0, claim);
    Verdict::Counted(event)
}

/// There is no window: an event can be voided for as long as its identity and its row are kept.
fn judge_void(record: &LogRecord, void: EventVoid, known: &mut Known, bench: &Bench<'_>) -> Verdict {
    if !(bench.tenant_is_known)(&void.tenant) {
        return unknown_tenant(Submission::Void(void));
    }
    let claim = known.claims.get(&void.voided_identity().0).copied();
    let Some(of) = claim.filter(|claim| (bench.event_is_kept)(claim.place())) else {
        let reason = match claim {
            Some(_) => "names an event whose row is no longer kept",
            None => "names an event that is not counted before it",
        };
        return dead_letter(Submission::Void(void), DeadLetterReason::UnknownEvent, "/data/id", reason.to_owned());
    };
    if let Some(by) = known.voids.get(&of.place()) {
        return Verdict::VoidedAgain { void, by: *by };
    }
    known.voids.insert(of.place(), (record.partition, record.offset));
    Verdict::Voided { void, of }
}

/// The partition in which an identity is counted.
pub fn home_partition(identity: Identity, partitions: u32) -> u32 {
    talea_platform::log::partitioner::partition_for(&identity.0.to_be_bytes(), partitions)
}

/// An identity is remembered for W from the log time of its first record; a backfill remembers for as long as it is kept.
fn remembered(claim: &Claim, record: &LogRecord, backfill: bool, window: &Window) -> bool {
    backfill || record.appended_at.signed_duration_since(claim.first_seen) <= window.late
}

fn unknown_tenant(submission: Submission) -> Verdict {
    dead_letter(submission, DeadLetterReason::UnknownTenant, "tenantid", "is not a known tenant".to_owned())
}

fn dead_letter(submission: Submission, reason: DeadLetterReason, field: &str, fault: String) -> Verdict {
    let fault = FieldError::new(field, fault, reason.way_out());
    Verdict::DeadLetter { submission: Some(submission), reason, fault }
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
