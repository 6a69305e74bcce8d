//! From records to a block: decode, look up what may be a repeat (all of a block in one query), judge, encode.

use super::block::{Block, Tally};
use crate::context::Context;
use crate::decode;
use crate::filter::IdentityFilter;
use crate::verdict::{Bench, Claim, Decoded, Verdict, judge};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::event::{DeadLetterReason, UsageEvent};
use talea_domain::id::TenantId;
use talea_platform::log::{LogRecord, NewRecord, topic};
use talea_platform::usage::dirty::DirtyBucket;
use talea_platform::usage::insert::Fence;
use talea_platform::usage::recovery::known_identities;
use talea_platform::usage::rows::{self, DeadLetter, Repeat, StoredEvent, StoredIdentity};

/// What a partition's owner remembers between blocks.
pub(crate) struct Memory {
    pub filter: IdentityFilter,
    /// Offsets that recovery found stored.
    pub replayed: HashSet<u64>,
    /// What blocks claim that are prepared or being written: not yet in the identity table.
    pub under_way: HashMap<u128, Claim>,
}

impl Memory {
    pub fn new(filter: IdentityFilter, replayed: HashSet<u64>) -> Self {
        Self { filter, replayed, under_way: HashMap::new() }
    }

    /// The block is in the identity table: its exact set is no longer needed.
    pub(super) fn written(&mut self, block: &Block) {
        for (identity, claim) in &block.claims {
            // The block that is prepared behind it can have counted the identity anew, after its window.
            if self.under_way.get(identity) == Some(claim) {
                self.under_way.remove(identity);
            }
        }
        if !self.replayed.is_empty() {
            self.replayed.retain(|offset| *offset >= block.next_offset);
        }
    }
}

type Failed = (anyhow::Error, Vec<LogRecord>);

pub(super) async fn prepare(
    context: &Arc<Context>,
    fence: &Fence,
    memory: &mut Memory,
    records: Vec<LogRecord>,
) -> Result<Block, Failed> {
    let limits = context.settings.limits.clone();
    let kept = records.clone();
    let decoded: Vec<Decoded> = match tokio::task::spawn_blocking(move || decode_all(records, &limits)).await {
        Ok(decoded) => decoded,
        Err(panic) => return Err((panic.into(), kept)),
    };
    let claims = known_claims(context, memory, &decoded).await;
    let tenants = known_tenants(context, &decoded).await;
    let (claims, tenants) = match (claims, tenants) {
        (Ok(claims), Ok(tenants)) => (claims, tenants),
        (Err(error), _) | (_, Err(error)) => return Err((error, kept)),
    };
    Ok(judge_block(context, fence, memory, kept, decoded, claims, &tenants))
}

fn decode_all(records: Vec<LogRecord>, limits: &talea_domain::event::EventLimits) -> Vec<Decoded> {
    let one = |record: LogRecord| {
        let event = decode::decode(&record, limits);
        Decoded { backfill: decode::is_backfill(&record), record, event }
    };
    records.into_iter().map(one).collect()
}

/// Claims of the block under way, and of the identity table for those that the filter does not rule out.
async fn known_claims(context: &Context, memory: &Memory, decoded: &[Decoded]) -> anyhow::Result<HashMap<u128, Claim>> {
    let (mut claims, mut asked) = (HashMap::new(), Vec::new());
    for entry in decoded {
        let Ok(event) = &entry.event else { continue };
        let identity = event.identity.0;
        if let Some(claim) = memory.under_way.get(&identity) {
            claims.insert(identity, *claim);
        } else if entry.backfill || memory.filter.may_contain(identity) {
            asked.push(identity);
        }
    }
    asked.sort_unstable();
    asked.dedup();
    if !asked.is_empty() {
        metrics::counter!("talea_metering_identity_lookups_total").increment(asked.len() as u64);
        for (identity, known) in known_identities(&context.platform.clickhouse, &asked).await? {
            let claim = Claim {
                body_hash: known.body_hash,
                partition: known.partition,
                offset: known.offset,
                first_seen: known.first_seen,
            };
            claims.insert(identity, claim);
        }
    }
    Ok(claims)
}

async fn known_tenants(context: &Context, decoded: &[Decoded]) -> anyhow::Result<HashSet<TenantId>> {
    let named: HashSet<TenantId> =
        decoded.iter().filter_map(|entry| entry.event.as_ref().ok()).map(|event| event.tenant.clone()).collect();
    Ok(context.platform.tenants.existing(&named).await?)
}

fn judge_block(
    context: &Context,
    fence: &Fence,
    memory: &mut Memory,
    records: Vec<LogRecord>,
    decoded: Vec<Decoded>,
    mut claims: HashMap<u128, Claim>,
    tenants: &HashSet<TenantId>,
) -> Block {
    let bench = Bench {
        partition: fence.partition,
        partitions: context.settings.partitions,
        window: context.settings.window.clone(),
        replayed: &memory.replayed,
        tenant_is_known: &|tenant| tenants.contains(tenant),
    };
    let next_offset = records.last().map_or(0, |record| record.offset + 1);
    let mut writer = Writer::new(fence, records.len());
    for (record, verdict) in judge(decoded, &mut claims, &bench) {
        writer.add(record, verdict);
    }
    let block = writer.finish(records, next_offset);
    if let Some(record) = block.records.first() {
        // Never later than now: a record may carry any time where the log does not stamp it.
        let judged_at = record.appended_at.min(context.clock().now());
        memory.filter.forget_before(context.settings.remembered_from(judged_at));
    }
    for (identity, claim) in &block.claims {
        memory.filter.insert(*identity, claim.first_seen);
        memory.under_way.insert(*identity, *claim);
    }
    block
}

/// Encodes rows as verdicts come.
struct Writer<'f> {
    fence: &'f Fence,
    counted: Vec<StoredEvent>,
    events: Vec<u8>,
    identities: Vec<u8>,
    repeats: Vec<u8>,
    dead_letters: Vec<u8>,
    forwards: Vec<NewRecord>,
    dirty: HashSet<DirtyBucket>,
    claims: HashMap<u128, Claim>,
    tally: Tally,
}

impl<'f> Writer<'f> {
    fn new(fence: &'f Fence, records: usize) -> Self {
        Self {
            fence,
            counted: Vec::with_capacity(records),
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

    fn add(&mut self, record: LogRecord, verdict: Verdict) {
        match verdict {
            Verdict::Replay => self.tally.replays += 1,
            Verdict::Forward(identity) => {
                // The identity as key brings it home.
                let key = Bytes::copy_from_slice(&identity.0.to_be_bytes());
                self.forwards.push(NewRecord { key, value: record.value, headers: record.headers });
            }
            Verdict::Counted(event) => self.count(record, event),
            Verdict::Duplicate { event, of } => {
                self.tally.duplicates += 1;
                let repeat = Repeat {
                    tenant_id: event.tenant.to_string(),
                    identity: event.identity,
                    body_hash: event.body_hash,
                    partition: record.partition,
                    offset: record.offset,
                    of_partition: of.partition,
                    of_offset: of.offset,
                    epoch: self.fence.epoch,
                    log_time: record.appended_at,
                };
                rows::encode_repeat(&mut self.repeats, &repeat);
            }
            Verdict::DeadLetter { event, reason, fault } => self.bury(record, event, reason, fault),
        }
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
            return self.bury(record, Some(stored.event), DeadLetterReason::OutOfRange, fault);
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

    fn bury(&mut self, record: LogRecord, event: Option<UsageEvent>, reason: DeadLetterReason, fault: FieldError) {
        *self.tally.dead_letters.entry(reason).or_default() += 1;
        let event = event.as_ref();
        let letter = DeadLetter {
            tenant_id: event.map(|event| event.tenant.to_string()).unwrap_or_default(),
            topic: topic::USAGE.to_owned(),
            partition: record.partition,
            offset: record.offset,
            source: event.map(|event| event.source.clone()).unwrap_or_default(),
            id: event.map(|event| event.id.clone()).unwrap_or_default(),
            identity: event.map(|event| event.identity.0).unwrap_or_default(),
            event_type: event.map(|event| event.event_type.clone()).unwrap_or_default(),
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

    fn finish(self, records: Vec<LogRecord>, next_offset: u64) -> Block {
        Block {
            records,
            counted: self.counted,
            events: self.events.into(),
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
