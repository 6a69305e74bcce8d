//! What a new owner reads back is what was stored, and writing what is missing twice writes it once.

use super::support::{Dice, at, event, own, own_all, place, store, tenant};
use chrono::Duration;
use std::collections::{BTreeSet, HashMap};
use talea_domain::event::Identity;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::insert::{Table, statement};
use talea_platform::usage::lookup::{RecentKey, recent_events, what_became_of};
use talea_platform::usage::recovery::{known_identities, recent_identities, stored_since, write_missing_identities};
use talea_platform::usage::rows::{Repeat, StoredIdentity, encode_identity, encode_repeat};

/// Events, identities and repeats of a partition after an offset.
pub async fn what_is_stored_is_read_back(clickhouse: &ClickHouse) {
    let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-03-02T00:00:00Z"));
    let mut dice = Dice(11);
    let acme = tenant("acme");
    let events: Vec<_> = (0..500).map(|n| event(&mut dice, &acme, n, from, to)).collect();
    let rows = place(events, &mut [0; 4], to);
    own_all(clickhouse).await;
    store(clickhouse, &rows, 1).await;

    let stored = stored_since(clickhouse, "talea.usage.v1", 2, 50).await.expect("read");
    let expect: Vec<_> = rows
        .iter()
        .filter(|row| row.partition == 2 && row.offset >= 50)
        .map(|row| (row.offset, row.event.identity.0, row.event.body_hash))
        .collect();
    assert!(expect.len() > 20);
    assert_eq!(stored.events.iter().map(|at| (at.offset, at.identity, at.body_hash)).collect::<Vec<_>>(), expect);
    assert!(stored.repeats.is_empty() && stored.dead_letters.is_empty());

    let ids: Vec<u128> = rows.iter().map(|row| row.event.identity.0).chain([0, u128::MAX]).collect();
    assert!(known_identities(clickhouse, &ids).await.expect("known").is_empty(), "identities are not written yet");
    // One identity was written before the crash, by the block's own insert.
    let first = rows.iter().find(|row| row.partition == 2).expect("a row");
    let mut body = Vec::new();
    encode_identity(
        &mut body,
        &StoredIdentity {
            identity: first.event.identity,
            body_hash: first.event.body_hash,
            partition: 2,
            offset: first.offset,
            first_seen: first.log_time,
            backfill: false,
        },
    );
    let fence = own(2, 1);
    clickhouse.insert_whole(&statement(Table::Identities, &fence), body.into(), "i-1").await.expect("stored");
    for _ in 0..2 {
        for partition in 0..4 {
            write_missing_identities(clickhouse, &own(partition, 1), 0).await.expect("written");
        }
    }
    let count: Vec<u64> =
        clickhouse.rows(clickhouse.query("SELECT count() FROM usage_identities")).await.expect("a count");
    assert_eq!(count, [500]);
    let known = known_identities(clickhouse, &ids).await.expect("known");
    let expect: HashMap<u128, (u128, u32, u64)> =
        rows.iter().map(|row| (row.event.identity.0, (row.event.body_hash, row.partition, row.offset))).collect();
    let read: HashMap<u128, (u128, u32, u64)> =
        known.iter().map(|(key, known)| (*key, (known.body_hash, known.partition, known.offset))).collect();
    assert_eq!(read, expect);
    assert!(known.values().all(|known| known.first_seen == to));

    let mut seen = BTreeSet::new();
    let count = recent_identities(clickhouse, 1, to, |identity| {
        seen.insert(identity);
    })
    .await
    .expect("streamed");
    assert_eq!(count as usize, rows.iter().filter(|row| row.partition == 1).count());
    assert!(rows.iter().filter(|row| row.partition == 1).all(|row| seen.contains(&row.event.identity.0)));
    assert_eq!(recent_identities(clickhouse, 1, to + Duration::microseconds(1), |_| {}).await.expect("streamed"), 0);
}

/// An event comes back as it was stored, with its repeats; nothing is said to another tenant.
pub async fn what_became_of_an_event(clickhouse: &ClickHouse) {
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z"));
    let mut dice = Dice(12);
    let acme = tenant("acme");
    let events: Vec<_> = (0..200).map(|n| event(&mut dice, &acme, n, from, to)).collect();
    let rows = place(events, &mut [0; 4], to);
    own_all(clickhouse).await;
    store(clickhouse, &rows, 1).await;
    let row = &rows[57];
    let identity = row.event.identity;
    let repeat = Repeat {
        tenant_id: "acme".to_owned(),
        identity,
        body_hash: row.event.body_hash,
        partition: row.partition,
        offset: 9_999,
        of_partition: row.partition,
        of_offset: row.offset,
        epoch: 1,
        log_time: to,
    };
    let mut body = Vec::new();
    encode_repeat(&mut body, &repeat);
    encode_repeat(&mut body, &repeat);
    let fence = own(row.partition, 1);
    clickhouse.insert_whole(&statement(Table::Repeats, &fence), body.into(), "r-1").await.expect("stored");
    for with_identities in [false, true] {
        if with_identities {
            write_missing_identities(clickhouse, &fence, 0).await.expect("written");
        }
        let fate = what_became_of(clickhouse, &acme, identity).await.expect("looked up");
        assert_eq!(fate.event.as_ref().map(normalized), Some(normalized(row)));
        assert_eq!(fate.known.is_some(), with_identities);
        assert_eq!(fate.repeats, std::slice::from_ref(&repeat), "a repeat that was stored twice is told once");
    }
    let fate = what_became_of(clickhouse, &tenant("beta"), identity).await.expect("looked up");
    assert!(fate.event.is_none() && fate.repeats.is_empty() && fate.dead_letters.is_empty());
    let fate = what_became_of(clickhouse, &acme, Identity(1)).await.expect("looked up");
    assert_eq!(fate, Default::default());
    let stored = stored_since(clickhouse, "talea.usage.v1", row.partition, 9_999).await.expect("read");
    assert_eq!(stored.repeats.len(), 2);

    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(RecentKey::of);
        let page = recent_events(clickhouse, &acme, from, after, 33).await.expect("a page");
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed.len(), rows.len());
    let places: BTreeSet<_> = listed.iter().map(|row| (row.partition, row.offset)).collect();
    assert_eq!(places.len(), rows.len());
}

/// Decimals compare by value already; their scale is not stored.
fn normalized(row: &talea_platform::usage::rows::StoredEvent) -> talea_platform::usage::rows::StoredEvent {
    let mut row = row.clone();
    for (_, value) in &mut row.event.numbers {
        *value = value.normalize();
    }
    row
}
