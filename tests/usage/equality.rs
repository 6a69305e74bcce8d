//! The same answer from events, from buckets, and from a naive recount through the domain, to the last decimal: over random events,
//! meters, ranges, zones, filters and groups.

use super::support::{Dice, at, dirty_of, event, meter, own_all, place, store, tenant};
use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use std::collections::BTreeMap;
use talea_domain::meter::{Aggregation, MeterDefinition, Partial, Reading, WindowSize, bucket_start, window_bounds};
use talea_domain::period::Period;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::buckets::recompute;
use talea_platform::usage::query::{Source, UsagePage, UsageQuery, UsageRow, Window, usage};
use talea_platform::usage::rows::StoredEvent;

const ZONES: [Tz; 6] = [
    Tz::UTC,
    Tz::Asia__Kathmandu,
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Chatham,
];

/// Borders of the windows of a query inside its range, ends included.
fn borders(query: &UsageQuery) -> Vec<DateTime<Utc>> {
    let inner = match &query.window {
        Window::None => Vec::new(),
        Window::Size(size, zone) => window_bounds(query.range, *size, *zone).expect("bounds"),
        Window::Bounds(bounds) => bounds.clone(),
    };
    let mut all: Vec<_> = inner.into_iter().filter(|at| query.range.contains(*at)).collect();
    all.extend([query.range.start, query.range.end]);
    all.sort();
    all.dedup();
    all
}

/// The answer by reading every event with the domain's own meter.
pub fn recount(events: &[StoredEvent], query: &UsageQuery) -> Vec<UsageRow> {
    let borders = borders(query);
    let mut groups: BTreeMap<(DateTime<Utc>, Vec<String>), (Partial, u64)> = BTreeMap::new();
    for row in events.iter().filter(|row| row.event.tenant == query.tenant && query.range.contains(row.event.time)) {
        let reading = query.meter.read(&row.event);
        if reading == Reading::Ignored {
            continue;
        }
        let text = |name: &String| {
            let dimension = query.meter.dimensions.iter().find(|d| d.name == *name).expect("a dimension");
            row.event.text_form(&dimension.field).map(|text| text.into_owned()).unwrap_or_default()
        };
        if query.filters.iter().any(|(name, allowed)| !allowed.contains(&text(name))) {
            continue;
        }
        let start = borders[borders.partition_point(|border| *border <= row.event.time) - 1];
        let entry = groups.entry((start, query.group_by.iter().map(text).collect())).or_default();
        if matches!(reading, Reading::Unmetered(_)) {
            entry.1 += 1;
        }
        entry.0.add(&reading, row.event.time, row.event.identity);
    }
    groups
        .into_iter()
        .map(|((start, group), (partial, unmetered))| UsageRow {
            window_start: start,
            window_end: borders[borders.partition_point(|border| *border <= start)],
            group,
            value: partial.value(query.meter.aggregation).expect("fits").map(|value| value.normalize()),
            count: partial.count,
            unmetered,
        })
        .collect()
}

fn random_query(dice: &mut Dice, meter: &MeterDefinition, from: DateTime<Utc>, to: DateTime<Utc>) -> UsageQuery {
    let zone = dice.pick(&ZONES);
    let (mut start, mut end) = (dice.time(from, to), dice.time(from, to));
    if dice.one_in(3) {
        (start, end) = (bucket_start(start), bucket_start(end));
    }
    let mut range = Period::new(start.min(end), start.max(end));
    let window = match dice.below(6) {
        0 => Window::None,
        1 => Window::Size(WindowSize::Month, zone),
        2 | 3 => Window::Size(WindowSize::Day, zone),
        4 => {
            range.end = range.end.min(range.start + Duration::days(20));
            Window::Size(WindowSize::Hour, zone)
        }
        _ if dice.one_in(2) => {
            range.end = range.end.min(range.start + Duration::days(2));
            Window::Size(WindowSize::Minute, zone)
        }
        _ => {
            let mut bounds: Vec<_> = (0..5).map(|_| dice.time(from, to)).collect();
            bounds.sort();
            Window::Bounds(bounds)
        }
    };
    let names: Vec<String> = meter.dimensions.iter().map(|dimension| dimension.name.clone()).collect();
    let group_by = names.iter().rev().filter(|_| dice.one_in(2)).cloned().collect();
    let filters = names
        .iter()
        .filter(|_| dice.one_in(4))
        .map(|name| {
            (name.clone(), vec!["eu".to_owned(), "1".to_owned(), "it's".to_owned(), "1.5".to_owned(), String::new()])
        })
        .collect();
    UsageQuery {
        tenant: tenant(dice.pick(&["acme", "beta"])),
        meter: meter.clone(),
        range,
        window,
        filters,
        group_by,
        source: Source::Auto,
        page: UsagePage::default(),
    }
}

/// Raw events, buckets, and a naive recount agree.
pub async fn three_ways_agree(clickhouse: &ClickHouse) {
    three_ways_agree_from(clickhouse, 20_261_125, 8).await;
}

/// The same from any seed, with so many questions per meter and round.
pub async fn three_ways_agree_from(clickhouse: &ClickHouse, seed: u64, questions: usize) {
    let mut dice = Dice(seed);
    let (from, to) = (at("2026-02-20T00:00:00Z"), at("2026-04-20T00:00:00Z"));
    let tenants = [tenant("acme"), tenant("beta"), tenant("other")];
    let mut next = [0; 4];
    let log_time = at("2026-04-20T00:00:00Z");
    let early: Vec<_> = (0..3_000)
        .map(|n| {
            let t = dice.pick(&tenants);
            event(&mut dice, &t, n, from, to)
        })
        .collect();
    let late: Vec<_> = (3_000..3_400)
        .map(|n| {
            let t = dice.pick(&tenants);
            event(&mut dice, &t, n, from, to)
        })
        .collect();
    let mut events = place(early, &mut next, log_time);
    let late = place(late, &mut next, log_time);
    own_all(clickhouse).await;
    store(clickhouse, &events, 1).await;
    let mut meters = Vec::new();
    for (index, aggregation) in Aggregation::ALL.into_iter().enumerate() {
        for copy in 0..2 {
            meters.push(meter(&mut dice, &format!("m{index}-{copy}"), aggregation));
        }
    }
    let report = recompute(clickhouse, &meters, &dirty_of(&events), 1).await.expect("recomputed");
    assert!(report.duplicated.is_empty());
    // Late ones arrive after the buckets were computed: their buckets are dirty now, and wrong if anyone reads them.
    store(clickhouse, &late, 2).await;
    let dirty = dirty_of(&late);
    events.extend(late);
    for round in 0..2 {
        let mut values = 0;
        for meter in &meters {
            for _ in 0..questions {
                let mut query = random_query(&mut dice, meter, from - Duration::days(1), to + Duration::days(1));
                let expect = recount(&events, &query);
                values += expect.len();
                let marked: Vec<_> = dirty
                    .iter()
                    .filter(|bucket| {
                        round == 0 && bucket.tenant == query.tenant && bucket.event_type == meter.event_type
                    })
                    .map(|bucket| bucket.bucket_start)
                    .collect();
                for source in [Source::RawOnly, Source::Auto] {
                    query.source = source;
                    let answer = usage(clickhouse, &marked, &query).await.expect("an answer");
                    assert_eq!(answer, expect, "seed {seed}, {source:?}: {query:?}");
                }
            }
        }
        assert!(values > 100 * questions, "the questions have answers: {values}");
        if round == 0 {
            recompute(clickhouse, &meters, &dirty, 2).await.expect("recomputed");
        }
    }
}

/// Pages of any size make up the whole answer.
pub async fn pages_tile(clickhouse: &ClickHouse) {
    let mut dice = Dice(7);
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-05T00:00:00Z"));
    let events: Vec<_> = (0..300).map(|n| event(&mut dice, &tenant("acme"), n, from, to)).collect();
    let events = place(events, &mut [0; 4], to);
    own_all(clickhouse).await;
    store(clickhouse, &events, 1).await;
    let mut query = UsageQuery {
        tenant: tenant("acme"),
        meter: (0..)
            .map(|n| meter(&mut Dice(n), "m", Aggregation::Sum))
            .find(|m| m.dimensions.len() == 2)
            .expect("one of them"),
        range: Period::new(from, to),
        window: Window::Size(WindowSize::Day, Tz::Asia__Kathmandu),
        filters: Vec::new(),
        group_by: vec!["model".to_owned(), "region".to_owned()],
        source: Source::RawOnly,
        page: UsagePage::default(),
    };
    let whole = usage(clickhouse, &[], &query).await.expect("an answer");
    assert!(whole.len() > 20);
    let mut paged: Vec<UsageRow> = Vec::new();
    loop {
        let after = paged.last().map(|row| (row.window_start, row.group.clone()));
        query.page = UsagePage { after, limit: 7 };
        let page = usage(clickhouse, &[], &query).await.expect("a page");
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, whole);
}

/// A text form in SQL is the text form in Rust, for every spelling of a quantity.
pub async fn text_forms_are_canonical(clickhouse: &ClickHouse) {
    use rust_decimal::Decimal;
    use talea_domain::quantity::{canonical, to_clickhouse};
    let mut dice = Dice(99);
    let mut values: Vec<Decimal> =
        ["0", "-0", "0.000000000000000001", "-0.100", "120", "99999999999999999999", "1.50", "-7"]
            .iter()
            .map(|text| text.parse().expect("a decimal"))
            .collect();
    for _ in 0..2_000 {
        let mantissa = (i128::from(dice.roll()) << 29) % 10i128.pow(dice.below(28) as u32 + 1);
        values.push(Decimal::from_i128_with_scale(
            if dice.one_in(2) { -mantissa } else { mantissa },
            8 + dice.below(11) as u32,
        ));
    }
    let scaled: Vec<String> = values
        .iter()
        .map(|value| {
            let scaled = to_clickhouse(*value).expect("fits");
            format!(
                "{}{}.{:018}",
                if scaled < 0 { "-" } else { "" },
                scaled.unsigned_abs() / 10u128.pow(18),
                scaled.unsigned_abs() % 10u128.pow(18)
            )
        })
        .collect();
    let query = format!("SELECT toString(arrayJoin(CAST('[{}]', 'Array(Decimal(38, 18))')))", scaled.join(","));
    let texts: Vec<String> = clickhouse.rows(clickhouse.query(&query)).await.expect("texts");
    assert_eq!(texts, values.iter().map(|value| canonical(*value)).collect::<Vec<_>>());
}

/// A total that no decimal can hold is an error, never a rounded or wrapped number.
pub async fn an_overflow_is_an_error(clickhouse: &ClickHouse) {
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z"));
    let mut dice = Dice(1);
    let mut events: Vec<_> = (0..20).map(|n| event(&mut dice, &tenant("acme"), n, from, to)).collect();
    for (index, event) in events.iter_mut().enumerate() {
        event.event_type = "api.call".to_owned();
        let value = if index == 0 { "0.000000000000000001" } else { "99999999999999999999" };
        event.numbers = vec![("/tokens".to_owned(), value.parse().expect("a decimal"))];
        event.texts.clear();
    }
    own_all(clickhouse).await;
    store(clickhouse, &place(events, &mut [0; 4], to), 1).await;
    let mut meter = meter(&mut dice, "m", Aggregation::Sum);
    (meter.filters, meter.dimensions) = (Vec::new(), Vec::new());
    let query = UsageQuery {
        tenant: tenant("acme"),
        meter,
        range: Period::new(from, to),
        window: Window::None,
        filters: Vec::new(),
        group_by: Vec::new(),
        source: Source::RawOnly,
        page: UsagePage::default(),
    };
    let error = usage(clickhouse, &[], &query).await.expect_err("too many digits");
    assert!(error.to_string().contains("1899999999999999999981.000000000000000001"), "{error}");
}

/// A question about something that the meter does not have names the field and what there is.
pub async fn an_unknown_dimension_is_named(clickhouse: &ClickHouse) {
    let meter = meter(&mut Dice(3), "m", Aggregation::Count);
    let mut query = UsageQuery {
        tenant: tenant("acme"),
        meter,
        range: Period::new(at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z")),
        window: Window::None,
        filters: vec![("tenant_id".to_owned(), vec!["beta".to_owned()])],
        group_by: Vec::new(),
        source: Source::Auto,
        page: UsagePage::default(),
    };
    let error = usage(clickhouse, &[], &query).await.expect_err("no such dimension").to_string();
    assert!(error.contains("filters") && error.contains("tenant_id"), "{error}");
    query.filters.clear();
    query.group_by = vec!["identity".to_owned()];
    let error = usage(clickhouse, &[], &query).await.expect_err("no such dimension").to_string();
    assert!(error.contains("group_by") && error.contains("identity"), "{error}");
}
