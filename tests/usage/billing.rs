//! Billed usage is exactly the events inside each span's cut: value, count and digest, by a naive recount.

use super::support::{Dice, PARTITIONS, at, event, meter, own_all, place, store, tenant};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap};
use talea_domain::id::TenantId;
use talea_domain::meter::{Aggregation, MeterDefinition, Partial, Reading, bucket_start};
use talea_domain::period::Period;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::billing::{Cut, UsageSpan, billed_usage, digest, events_of_line, late_since};
use talea_platform::usage::lookup::EventKey;
use talea_platform::usage::partials::partials_since;
use talea_platform::usage::rows::StoredEvent;

const TENANTS: [&str; 5] = ["acme", "beta", "gamma", "delta", "nobody"];

pub fn random_cut(dice: &mut Dice, next: &[u64; 4]) -> Cut {
    let len = 1 + dice.below(u64::from(PARTITIONS)) as usize;
    Cut(next[..len].iter().map(|n| dice.below(*n + 1)).collect())
}

pub async fn stored(clickhouse: &ClickHouse, seed: u64) -> (Dice, Vec<StoredEvent>, [u64; 4]) {
    let mut dice = Dice(seed);
    let (from, to) = (at("2026-01-20T00:00:00Z"), at("2026-04-05T00:00:00Z"));
    let events: Vec<_> = (0..3_000)
        .map(|n| {
            let owner = tenant(dice.pick(&TENANTS[..4]));
            event(&mut dice, &owner, n, from, to)
        })
        .collect();
    let mut next = [0; 4];
    let rows = place(events, &mut next, to);
    own_all(clickhouse).await;
    store(clickhouse, &rows, 1).await;
    (dice, rows, next)
}

pub fn random_spans(dice: &mut Dice, next: &[u64; 4]) -> Vec<UsageSpan> {
    let shared = random_cut(dice, next);
    (0..60)
        .map(|key| {
            let ends = (
                dice.time(at("2026-01-15T00:00:00Z"), at("2026-04-10T00:00:00Z")),
                dice.time(at("2026-01-15T00:00:00Z"), at("2026-04-10T00:00:00Z")),
            );
            let cut = match dice.below(3) {
                0 => None,
                1 => Some(shared.clone()),
                _ => Some(random_cut(dice, next)),
            };
            let period = Period::new(ends.0.min(ends.1), ends.0.max(ends.1));
            UsageSpan { key: key * 7, tenant: tenant(dice.pick(&TENANTS)), period, cut }
        })
        .collect()
}

pub fn readings<'a>(
    rows: &'a [StoredEvent],
    meter: &'a MeterDefinition,
    tenant: &'a TenantId,
    period: Period,
) -> impl Iterator<Item = (&'a StoredEvent, Reading)> {
    rows.iter()
        .filter(move |row| row.event.tenant == *tenant && period.contains(row.event.time))
        .map(|row| (row, meter.read(&row.event)))
        .filter(|(_, reading)| *reading != Reading::Ignored)
}

/// Thousands of spans in one statement, each with its own cut.
pub async fn spans_are_billed_inside_their_cuts(clickhouse: &ClickHouse) {
    let (mut dice, rows, next) = stored(clickhouse, 31).await;
    for (index, aggregation) in Aggregation::ALL.into_iter().enumerate() {
        let meter = meter(&mut dice, &format!("m{index}"), aggregation);
        let spans = random_spans(&mut dice, &next);
        let up_to = random_cut(&mut dice, &next);
        let answers = billed_usage(clickhouse, &meter, &spans, &up_to).await.expect("billed");
        let late = late_since(clickhouse, &meter, &spans, &up_to).await.expect("late");
        let mut expect_late = HashMap::new();
        for (span, answer) in spans.iter().zip(&answers) {
            let cut = span.cut.as_ref().unwrap_or(&up_to);
            let (mut partial, mut unmetered, mut sums) = (Partial::default(), 0, (0u128, 0u128));
            for (row, reading) in readings(&rows, &meter, &span.tenant, span.period) {
                if !cut.contains(row.partition, row.offset) {
                    if up_to.contains(row.partition, row.offset) && span.cut.is_some() {
                        let entry = expect_late.entry(span.key).or_insert((row.event.time, 0));
                        *entry = (entry.0.min(row.event.time), entry.1 + 1);
                    }
                    continue;
                }
                if matches!(reading, Reading::Unmetered(_)) {
                    unmetered += 1;
                    continue;
                }
                partial.add(&reading, row.event.time, row.event.identity);
                sums = (sums.0.wrapping_add(row.event.identity.0), sums.1.wrapping_add(row.event.body_hash));
            }
            assert_eq!(answer.key, span.key);
            assert_eq!((answer.count, answer.unmetered), (partial.count, unmetered), "{span:?}");
            assert_eq!(answer.value, partial.value(aggregation).expect("fits"), "{aggregation} {span:?}");
            assert_eq!(answer.digest, digest(sums.0, sums.1));
            assert!(answer.is_counted_once());
        }
        let read: HashMap<u32, (DateTime<Utc>, u64)> =
            late.into_iter().map(|(key, late)| (key, (late.earliest, late.count))).collect();
        assert_eq!(read, expect_late);
    }
}

/// The events listed behind a line are those in its digest, page by page in order.
pub async fn a_line_lists_its_events(clickhouse: &ClickHouse) {
    let (mut dice, _, next) = stored(clickhouse, 32).await;
    let mut meter = meter(&mut dice, "m", Aggregation::Sum);
    meter.filters.clear();
    let cut = Cut(next.iter().map(|n| n * 2 / 3).collect());
    let period = Period::new(at("2026-02-01T00:00:00Z"), at("2026-03-01T00:00:00Z"));
    let span = UsageSpan { key: 1, tenant: tenant("acme"), period, cut: None };
    let billed = billed_usage(clickhouse, &meter, &[span], &cut).await.expect("billed").remove(0);
    let mut listed: Vec<StoredEvent> = Vec::new();
    loop {
        let after = listed.last().map(EventKey::of);
        let page = events_of_line(clickhouse, &tenant("acme"), &meter, period, &cut, after, 17).await.expect("a page");
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert!(listed.is_sorted_by_key(|row| (row.event.time, row.event.identity)));
    assert!(billed.count > 50);
    assert_eq!(listed.len() as u64, billed.count);
    let sums = listed.iter().fold((0u128, 0u128), |sums, row| {
        (sums.0.wrapping_add(row.event.identity.0), sums.1.wrapping_add(row.event.body_hash))
    });
    assert_eq!(digest(sums.0, sums.1), billed.digest);
}

/// A record that was stored twice shows in the answer, so that nothing is finalised over it.
pub async fn a_double_stops_the_closing(clickhouse: &ClickHouse) {
    let (mut dice, rows, next) = stored(clickhouse, 33).await;
    let mut meter = meter(&mut dice, "m", Aggregation::Count);
    meter.filters.clear();
    let whole = Period::new(at("2026-01-01T00:00:00Z"), at("2026-05-01T00:00:00Z"));
    let spans: Vec<UsageSpan> =
        (0..4).map(|key| UsageSpan { key, tenant: tenant(TENANTS[key as usize]), period: whole, cut: None }).collect();
    let once = billed_usage(clickhouse, &meter, &spans, &Cut(next.to_vec())).await.expect("billed");
    assert!(once.iter().all(|usage| usage.is_counted_once()));
    let double = rows
        .iter()
        .find(|row| row.event.tenant == tenant("beta") && row.event.event_type == "api.call")
        .expect("a row");
    store(clickhouse, std::slice::from_ref(double), 9).await;
    let twice = billed_usage(clickhouse, &meter, &spans, &Cut(next.to_vec())).await.expect("billed");
    assert_eq!(twice.iter().map(|usage| usage.is_counted_once()).collect::<Vec<_>>(), [true, false, true, true]);
}

/// Totals by bucket and partition are what the domain folds from the events.
pub async fn totals_for_quota_agree(clickhouse: &ClickHouse) {
    let (mut dice, rows, _) = stored(clickhouse, 34).await;
    let meters: Vec<MeterDefinition> = Aggregation::ALL
        .into_iter()
        .enumerate()
        .map(|(index, aggregation)| meter(&mut dice, &format!("m{index}"), aggregation))
        .collect();
    let since = at("2026-03-10T10:07:00Z");
    type Key = (String, String, DateTime<Utc>, u32);
    let mut expect: BTreeMap<Key, (u64, Partial)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.event.time >= bucket_start(since)) {
        for meter in &meters {
            let reading = meter.read(&row.event);
            if reading == Reading::Ignored {
                continue;
            }
            let key =
                (row.event.tenant.to_string(), meter.key.to_string(), bucket_start(row.event.time), row.partition);
            let entry = expect.entry(key).or_default();
            entry.0 = entry.0.max(row.offset);
            entry.1.add(&reading, row.event.time, row.event.identity);
        }
    }
    expect.retain(|_, (_, partial)| partial.count > 0);
    let totals = partials_since(clickhouse, &meters, since).await.expect("totals");
    assert_eq!(totals.len(), expect.len());
    for total in totals {
        let meter = meters.iter().find(|meter| meter.key == total.meter).expect("a meter");
        let key = (total.tenant.to_string(), total.meter.to_string(), total.bucket_start, total.partition);
        let (offset, partial) = &expect[&key];
        assert_eq!((total.epoch, total.offset, total.partial.count), (1, *offset, partial.count));
        assert_eq!(total.partial.value(meter.aggregation), partial.value(meter.aggregation), "{key:?}");
        if meter.aggregation == Aggregation::Latest {
            assert_eq!(total.partial.latest, partial.latest);
        }
        if meter.aggregation == Aggregation::UniqueCount {
            assert_eq!(total.partial.uniques, partial.uniques);
        }
    }
}
