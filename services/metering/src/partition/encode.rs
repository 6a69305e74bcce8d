//! From verdicts to a block: every verdict becomes its rows, encoded as they come.

use super::block::{Block, Tally};
use crate::decode;
use crate::verdict::{Claim, Verdict};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::event::{DeadLetterReason, EventVoid, Identity, Submission, UsageEvent};
use talea_domain::id::TenantId;
use talea_platform::log::{LogRecord, NewRecord, topic};
use talea_platform::usage::dirty::DirtyBucket;
use talea_platform::usage::insert::Fence;
use talea_platform::usage::rows::{self, DeadLetter, Repeat, StoredEvent, StoredIdentity};
use talea_platform::usage::voids::{Original, Place, StoredVoid};

/// Encodes rows as verdicts come.
pub(super) struct Writer<'f> {
    fence: &'f Fence,
    originals: &'f HashMap<Place, Original>,
    counted: Vec<StoredEvent>,
    voided: HashMap<Place, Place>,
    reopened: HashSet<DirtyBucket>,
    events: Vec<u8>,
    voids: Vec<u8>,
    identities: Vec<u8>,
    repeats: Vec<u8>,
    dead_letters: Vec<u8>,
    forwards: Vec<NewRecord>,
    dirty: HashSet<DirtyBucket>,
    claims: HashMap<u128, Claim>,
    tally: Tally,
}

impl<'f> Writer<'f> {
    pub(super) fn new(fence: &'f Fence, records: usize, originals: &'f HashMap<Place, Original>) -> Self {
        Self {
            fence,
            originals,
            counted: Vec::with_capacity(records),
            voided: HashMap::new(),
            reopened: HashSet::new(),
            voids: Vec::new(),
            events: Vec::with_capacity(records * 256),
            identities: Vec::with_capacity(records * 64),
            repeats: Vec::new(),
            dead_letters: Vec::new(),
            forwards: Vec::new(),
            dirty: HashSet::new(),
            claims: HashMap::with_capacity(records),
            tally: Tally::default(),
        }
    }

    pub(super) fn add(&mut self, record: LogRecord, verdict: Verdict) {
        match verdict {
            Verdict::Replay => self.tally.replays += 1,
            Verdict::Forward(identity) => {
                // The identity as key brings it home.
                let key = Bytes::copy_from_slice(&identity.0.to_be_bytes());
                self.forwards.push(NewRecord { key, value: record.value, headers: record.headers });
            }
            Verdict::Counted(event) => self.count(record, event),
            Verdict::Duplicate { event, of } => {
                self.repeat(&record, &event.tenant, event.identity, event.body_hash, of.place());
            }
            Verdict::Voided { void, of } => self.void(record, void, of.place()),
            Verdict::VoidedAgain { void, by } => self.repeat(&record, &void.tenant, void.identity(), 0, by),
            Verdict::DeadLetter { submission, reason, fault } => self.bury(record, submission.as_ref(), reason, fault),
        }
    }

    fn repeat(&mut self, record: &LogRecord, tenant: &TenantId, identity: Identity, body_hash: u128, of: Place) {
        self.tally.duplicates += 1;
        let repeat = Repeat {
            tenant_id: tenant.to_string(),
            identity,
            body_hash,
            partition: record.partition,
            offset: record.offset,
            of_partition: of.0,
            of_offset: of.1,
            epoch: self.fence.epoch,
            log_time: record.appended_at,
        };
        rows::encode_repeat(&mut self.repeats, &repeat);
    }

    fn void(&mut self, record: LogRecord, void: EventVoid, of: Place) {
        let counted_here = self.counted.iter().rev().find(|stored| (stored.partition, stored.offset) == of);
        let here = counted_here
            .map(|stored| Original { event_type: stored.event.event_type.clone(), time: stored.event.time });
        let Some(original) = here.or_else(|| self.originals.get(&of).cloned()) else {
            // Only where the event's own row could not be encoded: then it is not counted either.
            let reason = DeadLetterReason::UnknownEvent;
            let fault = FieldError::new("/data/id", "names an event that is not counted before it", reason.way_out());
            return self.bury(record, Some(&Submission::Void(void)), reason, fault);
        };
        let bucket = DirtyBucket::of(&void.tenant, &original.event_type, original.time);
        let stored = StoredVoid {
            void,
            event_type: original.event_type,
            event_time: original.time,
            of,
            partition: record.partition,
            offset: record.offset,
            epoch: self.fence.epoch,
            log_time: record.appended_at,
        };
        if let Err(error) = rows::encode_void(&mut self.voids, &stored) {
            let fault = FieldError::new("time", error.to_string(), DeadLetterReason::OutOfRange.way_out());
            return self.bury(record, Some(&Submission::Void(stored.void)), DeadLetterReason::OutOfRange, fault);
        }
        self.voided.insert(of, (record.partition, record.offset));
        self.dirty.insert(bucket.clone());
        self.reopened.insert(bucket);
    }

    fn count(&mut self, record: LogRecord, event: UsageEvent) {
        let stored = StoredEvent {
            event,
            partition: record.partition,
            offset: record.offset,
            epoch: self.fence.epoch,
            log_time: record.appended_at,
            backfill: decode::is_backfill(&record),
        };
        if let Err(error) = rows::encode_event(&mut self.events, &stored) {
            let fault = FieldError::new("data", error.to_string(), "send values that can be stored exactly");
            return self.bury(record, Some(&Submission::Usage(stored.event)), DeadLetterReason::OutOfRange, fault);
        }
        let event = &stored.event;
        let identity = StoredIdentity {
            identity: event.identity,
            body_hash: event.body_hash,
            partition: stored.partition,
            offset: stored.offset,
            first_seen: stored.log_time,
            backfill: stored.backfill,
        };
        rows::encode_identity(&mut self.identities, &identity);
        self.dirty.insert(DirtyBucket::of(&event.tenant, &event.event_type, event.time));
        let claim = Claim {
            body_hash: event.body_hash,
            partition: stored.partition,
            offset: stored.offset,
            first_seen: stored.log_time,
        };
        self.claims.insert(event.identity.0, claim);
        self.counted.push(stored);
    }

    fn bury(&mut self, record: LogRecord, of: Option<&Submission>, reason: DeadLetterReason, fault: FieldError) {
        *self.tally.dead_letters.entry(reason).or_default() += 1;
        let (source, id) = of.map(Submission::name).unwrap_or_default();
        let letter = DeadLetter {
            tenant_id: of.map(|it| it.tenant().to_string()).unwrap_or_default(),
            topic: topic::USAGE.to_owned(),
            partition: record.partition,
            offset: record.offset,
            source: source.to_owned(),
            id: id.to_owned(),
            identity: of.map(|it| it.identity().0).unwrap_or_default(),
            event_type: of.map(|it| it.event_type().to_owned()).unwrap_or_default(),
            reason: reason.as_str().to_owned(),
            field: fault.field,
            detail: fault.reason,
            way_out: fault.way_out,
            payload: record.value.to_vec(),
            headers: record.headers.into_iter().map(|(name, value)| (name, value.to_vec())).collect(),
            log_time: record.appended_at,
            epoch: self.fence.epoch,
            resubmitted_at: None,
        };
        rows::encode_dead_letter(&mut self.dead_letters, &letter);
    }

    pub(super) fn finish(self, records: Vec<LogRecord>, next_offset: u64) -> Block {
        Block {
            records,
            counted: Arc::new(self.counted),
            voided: self.voided,
            reopened: self.reopened,
            events: self.events.into(),
            voids: self.voids.into(),
            identities: self.identities.into(),
            repeats: self.repeats.into(),
            dead_letters: self.dead_letters.into(),
            forwards: self.forwards,
            dirty: self.dirty,
            claims: self.claims,
            tally: self.tally,
            next_offset,
        }
    }
}
