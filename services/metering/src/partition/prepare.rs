//! From records to a block: decode, look up what may be a repeat (all of a block in one query), judge, and have the verdicts encoded.

use super::block::Block;
use super::encode::Writer;
use super::memory::{Memory, Unwritten};
use super::voiding;
use crate::context::Context;
use crate::decode;
use crate::verdict::{Bench, Claim, Decoded, Known, judge};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use talea_domain::event::Submission;
use talea_domain::id::TenantId;
use talea_platform::log::LogRecord;
use talea_platform::usage::insert::Fence;
use talea_platform::usage::recovery::known_identities;
use talea_platform::usage::voids::{Original, Place};

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
    let looked_up = async {
        let claims = known_claims(context, memory, &decoded).await?;
        let (originals, voids) = voiding::known(context, memory, &decoded, &claims).await?;
        let tenants = known_tenants(context, &decoded).await?;
        anyhow::Ok(LookedUp { known: Known { claims, voids }, originals, tenants })
    };
    match looked_up.await {
        Ok(found) => Ok(judge_block(context, fence, memory, kept, decoded, found)),
        Err(error) => Err((error, kept)),
    }
}

/// What the stores say about the records of a block.
struct LookedUp {
    known: Known,
    /// The events that its voids are of.
    originals: HashMap<Place, Original>,
    tenants: HashSet<TenantId>,
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
        let Ok(submission) = &entry.event else { continue };
        let identity = submission.subject_identity().0;
        let is_void = matches!(submission, Submission::Void(_));
        if let Some(claim) = memory.under_way.get(&identity) {
            claims.insert(identity, *claim);
        } else if entry.backfill || is_void || memory.filter.may_contain(identity) {
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
        decoded.iter().filter_map(|entry| entry.event.as_ref().ok()).map(|it| it.tenant().clone()).collect();
    Ok(context.platform.tenants.existing(&named).await?)
}

fn judge_block(
    context: &Context,
    fence: &Fence,
    memory: &mut Memory,
    records: Vec<LogRecord>,
    decoded: Vec<Decoded>,
    found: LookedUp,
) -> Block {
    let LookedUp { mut known, originals, tenants } = found;
    let first = records.first().map_or((fence.partition, u64::MAX), |record| (fence.partition, record.offset));
    let bench = Bench {
        partition: fence.partition,
        partitions: context.settings.partitions,
        window: context.settings.window.clone(),
        replayed: &memory.replayed,
        tenant_is_known: &|tenant| tenants.contains(tenant),
        // What this block counts itself is no original yet.
        event_is_kept: &|place| originals.contains_key(&place) || (place.0 == first.0 && place.1 >= first.1),
    };
    let next_offset = records.last().map_or(0, |record| record.offset + 1);
    let mut writer = Writer::new(fence, records.len(), &originals);
    for (record, verdict) in judge(decoded, &mut known, &bench) {
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
    memory.unwritten.push_back(Unwritten { counted: block.counted.clone(), voided: block.voided.clone() });
    block
}
