//! Every place between two effects of a block, made by hand: what a crash there leaves behind, and what the next start
//! makes of it.

use super::stored::{derived_is_complete, holds_exactly};
use crate::events::ALWAYS;
use crate::events::windows_of_usage::{dirty, recompute};
use crate::harness::{Event, LogChoice, Stage, TestPlatform, event};
use bytes::Bytes;
use std::collections::BTreeSet;
use talea_domain::event::{EventLimits, UsageEvent};
use talea_platform::clickhouse::InsertError;
use talea_platform::log::{LogRecord, NewRecord, topic};
use talea_platform::usage::fence;
use talea_platform::usage::insert::{Fence, Table, statement};
use talea_platform::usage::rows::{
    DeadLetter, StoredEvent, StoredIdentity, encode_dead_letter, encode_event, encode_identity,
};

/// What the block of a process that is gone had written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Nothing,
    HalfOfTheEvents,
    Events,
    HalfOfTheIdentities,
    Identities,
    DeadLetters,
}

const PLACES: [Reached; 6] = [
    Reached::Nothing,
    Reached::HalfOfTheEvents,
    Reached::Events,
    Reached::HalfOfTheIdentities,
    Reached::Identities,
    Reached::DeadLetters,
];

fn numbered(n: u64) -> Event {
    event("acme", &n.to_string()).tokens(n)
}

fn parse(value: &[u8]) -> UsageEvent {
    UsageEvent::parse_structured(value, None, &EventLimits::default()).expect("valid")
}

/// Appends as ingest does: 40 events, one of them twice, and one of nobody's.
async fn fill(platform: &TestPlatform) {
    let mut events: Vec<Event> = (0..40).chain([3]).map(numbered).collect();
    events.push(event("nobody", "1"));
    let records = events.iter().map(|event| {
        let value: Bytes = event.bytes().into();
        NewRecord { key: Bytes::copy_from_slice(&parse(&value).identity.0.to_be_bytes()), value, headers: Vec::new() }
    });
    for answer in platform.log.append(topic::USAGE, records.collect()).await {
        answer.expect("the record is acknowledged");
    }
}

/// Writes what the dead process had written of one partition, under its epoch.
async fn write(platform: &TestPlatform, partition: u32, reached: Reached) {
    let epoch = platform.databases.next_epoch(topic::USAGE, partition).await.expect("an epoch");
    let fence = Fence { topic: topic::USAGE.to_owned(), partition, epoch };
    fence::take(&platform.clickhouse, &fence).await.expect("the partition is taken");
    let records = platform.log.read(topic::USAGE, partition, 0, 1000).await.expect("reads");
    let mut seen = BTreeSet::new();
    let counted: Vec<(&LogRecord, UsageEvent)> = records
        .iter()
        .map(|record| (record, parse(&record.value)))
        .filter(|(_, event)| event.tenant.as_str() == "acme" && seen.insert(event.identity))
        .collect();
    let part = |from: Reached| match reached {
        reached if reached > from => counted.len(),
        reached if reached == from => counted.len() / 2,
        _ => 0,
    };
    let mut events = Vec::new();
    for (record, event) in counted.iter().take(part(Reached::HalfOfTheEvents)) {
        let stored = StoredEvent {
            event: event.clone(),
            partition,
            offset: record.offset,
            epoch,
            log_time: record.appended_at,
            backfill: false,
        };
        encode_event(&mut events, &stored).expect("storable");
    }
    let mut identities = Vec::new();
    for (record, event) in counted.iter().take(part(Reached::HalfOfTheIdentities)) {
        let identity = StoredIdentity {
            identity: event.identity,
            body_hash: event.body_hash,
            partition,
            offset: record.offset,
            first_seen: record.appended_at,
            backfill: false,
        };
        encode_identity(&mut identities, &identity);
    }
    let mut letters = Vec::new();
    if reached == Reached::DeadLetters {
        for record in &records {
            let event = parse(&record.value);
            if event.tenant.as_str() == "nobody" {
                encode_dead_letter(&mut letters, &letter(record, &event, epoch));
            }
        }
    }
    for (table, body) in [(Table::Events, events), (Table::Identities, identities), (Table::DeadLetters, letters)] {
        if !body.is_empty() {
            let id = fence.query_id(table, 1);
            platform.clickhouse.insert_whole(&statement(table, &fence), body.into(), &id).await.expect("stored");
        }
    }
}

fn letter(record: &LogRecord, event: &UsageEvent, epoch: u64) -> DeadLetter {
    DeadLetter {
        tenant_id: event.tenant.to_string(),
        topic: topic::USAGE.to_owned(),
        partition: record.partition,
        offset: record.offset,
        source: event.source.clone(),
        id: event.id.clone(),
        identity: event.identity.0,
        event_type: event.event_type.clone(),
        reason: "unknown_tenant".to_owned(),
        field: "tenantid".to_owned(),
        detail: "is not a known tenant".to_owned(),
        way_out: "create the tenant, then resubmit the event".to_owned(),
        payload: record.value.to_vec(),
        headers: Vec::new(),
        log_time: record.appended_at,
        epoch,
        resubmitted_at: None,
    }
}

/// Whatever the dead process had written, the next start writes what is missing, once, and forgets no mark.
pub async fn a_crash_between_any_two_effects_is_mended(log: LogChoice) {
    for reached in PLACES {
        let stage = Stage::new(log).await;
        stage.tenant("acme").await;
        let platform = stage.platform().await;
        fill(&platform).await;
        for partition in 0..crate::harness::stage::PARTITIONS {
            write(&platform, partition, reached).await;
        }
        let server = stage.serve().await;
        server.meter("tokens", "sum", "/tokens").await;
        server.drained().await;
        let ids: BTreeSet<String> = (0..40).map(|n| n.to_string()).collect();
        holds_exactly(&stage, "acme", &ids).await;
        assert_eq!(server.dead_letters(&[]).await.len(), 1, "the dead letter is there once");
        assert_eq!(server.fate("acme", "/api", "3").await["duplicates"].as_array().map(Vec::len), Some(1));
        // What was stored before the crash is remembered: sent again, it is a duplicate.
        server.count(&(0..40).map(numbered).collect::<Vec<_>>()).await;
        derived_is_complete(&stage).await;
        let expected = ("780".to_owned(), 40, 0);
        assert_eq!(server.total("acme", "tokens", ALWAYS).await, expected);
        assert!(dirty(&stage).await > 0, "the buckets of what was stored are marked");
        recompute(&stage, &server, "2026-10-15T13:00:00Z").await;
        assert_eq!(server.usage("acme", "tokens", ALWAYS, &[]).await[0]["value"], "780");
    }
}

/// The owner that lost its partition wakes up again: what it still wants to write is refused.
pub async fn an_owner_that_lost_its_partition_cannot_write(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let platform = stage.platform().await;
    let old: Vec<Fence> = old_fences(&platform).await;
    let server = stage.serve().await;
    server.count(&[numbered(1), numbered(2), numbered(3)]).await;
    let clickhouse = &platform.clickhouse;
    for fence in &old {
        let stored = StoredEvent {
            event: parse(&numbered(99).bytes()),
            partition: fence.partition,
            offset: 99,
            epoch: fence.epoch,
            log_time: crate::harness::stage::start(),
            backfill: false,
        };
        let mut body = Vec::new();
        encode_event(&mut body, &stored).expect("storable");
        let id = fence.query_id(Table::Events, 7);
        let error = clickhouse.insert_whole(&statement(Table::Events, fence), body.into(), &id).await;
        assert!(matches!(error, Err(InsertError::Fenced)), "{error:?}");
    }
    holds_exactly(&stage, "acme", &(1..=3).map(|n| n.to_string()).collect()).await;
}

async fn old_fences(platform: &TestPlatform) -> Vec<Fence> {
    let mut fences = Vec::new();
    for partition in 0..crate::harness::stage::PARTITIONS {
        let epoch = platform.databases.next_epoch(topic::USAGE, partition).await.expect("an epoch");
        let fence = Fence { topic: topic::USAGE.to_owned(), partition, epoch };
        fence::take(&platform.clickhouse, &fence).await.expect("the partition is taken");
        fences.push(fence);
    }
    fences
}
