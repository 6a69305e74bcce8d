//! A bucket is replaced whole, and a record that was stored twice counts once and is reported.

use super::equality::recount;
use super::support::{Dice, at, dirty_of, event, meter, own_all, place, store, tenant};
use talea_domain::meter::{Aggregation, MeterDefinition};
use talea_domain::period::Period;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::buckets::{buckets_with_events, recompute};
use talea_platform::usage::query::{Source, UsagePage, UsageQuery, Window, usage};

fn query(meter: &MeterDefinition, source: Source) -> UsageQuery {
    UsageQuery {
        tenant: tenant("acme"),
        meter: meter.clone(),
        range: Period::new(at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z")),
        window: Window::None,
        filters: Vec::new(),
        group_by: meter.dimensions.iter().map(|dimension| dimension.name.clone()).collect(),
        source,
        page: UsagePage::default(),
    }
}

fn meters() -> Vec<MeterDefinition> {
    Aggregation::ALL
        .into_iter()
        .map(|aggregation| meter(&mut Dice(aggregation as u64), aggregation.as_str(), aggregation))
        .collect()
}

/// Groups and buckets whose events are gone are gone; an older revision that arrives later changes nothing.
pub async fn a_group_that_disappeared_is_gone(clickhouse: &ClickHouse) {
    let mut dice = Dice(21);
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z"));
    let events: Vec<_> = (0..400).map(|n| event(&mut dice, &tenant("acme"), n, from, to)).collect();
    let rows = place(events, &mut [0; 4], to);
    own_all(clickhouse).await;
    store(clickhouse, &rows, 1).await;
    let (meters, dirty) = (meters(), dirty_of(&rows));
    let mut found = buckets_with_events(clickhouse, "api.call").await.expect("buckets");
    found.sort();
    assert_eq!(found, dirty.iter().filter(|bucket| bucket.event_type == "api.call").cloned().collect::<Vec<_>>());
    recompute(clickhouse, &meters, &dirty, 10).await.expect("recomputed");
    clickhouse
        .execute(clickhouse.query("ALTER TABLE usage_events DELETE WHERE texts['/region'] = 'eu' OR toHour(time) = 5 SETTINGS mutations_sync = 2"))
        .await
        .expect("deleted");
    recompute(clickhouse, &meters, &dirty, 11).await.expect("recomputed");
    let left: Vec<(u32, u64)> =
        clickhouse.rows(clickhouse.query("SELECT partition, offset FROM usage_events")).await.expect("places");
    let rows: Vec<_> = rows.into_iter().filter(|row| left.contains(&(row.partition, row.offset))).collect();
    assert!(!rows.is_empty() && rows.len() < 300);
    for meter in &meters {
        let expect = recount(&rows, &query(meter, Source::Auto));
        assert_eq!(usage(clickhouse, &[], &query(meter, Source::Auto)).await.expect("an answer"), expect);
    }
    let empty: Vec<u64> = clickhouse
        .rows(clickhouse.query("SELECT count() FROM usage_buckets FINAL WHERE empty(groups)"))
        .await
        .expect("a count");
    assert!(empty[0] > 0, "a bucket without events has an empty row");
}

/// The same block stored twice: raw answers, buckets and the naive recount agree, and the buckets are reported.
pub async fn a_record_stored_twice_counts_once(clickhouse: &ClickHouse) {
    let mut dice = Dice(22);
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z"));
    let events: Vec<_> = (0..400).map(|n| event(&mut dice, &tenant("acme"), n, from, to)).collect();
    let rows = place(events, &mut [0; 4], to);
    own_all(clickhouse).await;
    store(clickhouse, &rows, 1).await;
    store(clickhouse, &rows[100..200], 2).await;
    let meters = meters();
    let report = recompute(clickhouse, &meters, &dirty_of(&rows), 1).await.expect("recomputed");
    let mut twice = dirty_of(&rows[100..200]);
    twice.retain(|bucket| bucket.event_type == "api.call");
    assert_eq!(report.duplicated.iter().map(|found| found.bucket.clone()).collect::<Vec<_>>(), twice);
    for meter in &meters {
        for source in [Source::Auto, Source::RawOnly] {
            let query = query(meter, source);
            assert_eq!(usage(clickhouse, &[], &query).await.expect("an answer"), recount(&rows, &query), "{source:?}");
        }
    }
}
