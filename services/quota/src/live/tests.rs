use super::*;
use chrono::Duration;
use talea_domain::id::MeterKey;
use talea_domain::meter::{Aggregation, BUCKET_SECONDS, ValueHash};

fn start() -> DateTime<Utc> {
    "2026-10-01T00:00:00Z".parse().expect("a time")
}

fn bucket(number: i64) -> DateTime<Utc> {
    start() + Duration::seconds(number * BUCKET_SECONDS)
}

fn meter(aggregation: Aggregation) -> LiveMeter {
    LiveMeter::new(MeterDefinition {
        key: MeterKey::parse("tokens").expect("a key"),
        version: 1,
        event_type: "completion".into(),
        aggregation,
        field: Some("/tokens".into()),
        filters: vec![],
        dimensions: vec![],
        unit: None,
        created_at: start(),
    })
}

fn total(epoch: u64, offset: u64, sum: i64, uniques: &[&str]) -> Total {
    let sum = Decimal::from(sum);
    let partial = Partial {
        count: 1,
        sum: Some(sum),
        max: Some(sum),
        min: Some(sum),
        latest: None,
        uniques: uniques.iter().map(|text| ValueHash::of(text)).collect(),
    };
    Total { epoch, offset, partial, is_whole: false }
}

fn day() -> Period {
    Period::new(start(), start() + Duration::days(1))
}

#[test]
fn the_higher_epoch_and_offset_hold_never_the_higher_value() {
    let mut live = meter(Aggregation::Sum);
    live.keep(&[day()]);
    let place = (bucket(0), 1);
    for (epoch, offset, sum, expect) in
        [(1, 10, 50, 50), (1, 9, 70, 50), (1, 10, 99, 50), (1, 11, 40, 40), (2, 3, 5, 5), (1, 99, 500, 5), (2, 4, 6, 6)]
    {
        live.apply(place, total(epoch, offset, sum, &[]));
        assert_eq!(live.used(day()), Some(Decimal::from(expect)), "after ({epoch}, {offset}) = {sum}");
    }
}

#[test]
fn partitions_and_buckets_of_the_period_come_together_and_others_stay_out() {
    let mut live = meter(Aggregation::Sum);
    live.keep(&[day()]);
    for (number, partition, sum, taken) in
        [(0, 0, 1, true), (0, 1, 2, true), (95, 0, 4, true), (96, 0, 8, true), (-1, 0, 16, false)]
    {
        assert_eq!(live.apply((bucket(number), partition), total(1, 1, sum, &[])), taken, "bucket {number}");
    }
    assert_eq!(live.used(day()), Some(Decimal::from(7)));
    let next = Period::new(day().end, day().end + Duration::days(1));
    assert_eq!(live.used(next), Some(Decimal::from(8)), "a period that nobody keeps is folded for the question");
    live.keep(&[next]);
    assert_eq!(live.totals().len(), 1, "what no period needs is forgotten");
    assert_eq!(live.used(next), Some(Decimal::from(8)));
}

#[test]
fn unique_values_are_a_union_whatever_order_their_records_come_in() {
    let mut live = meter(Aggregation::UniqueCount);
    live.keep(&[day()]);
    live.apply((bucket(0), 0), total(1, 5, 0, &["b"]));
    assert!(live.apply((bucket(0), 0), total(1, 4, 0, &["a"])), "an older record still brings its values");
    assert!(!live.apply((bucket(0), 0), total(1, 4, 0, &["a"])));
    live.apply((bucket(1), 1), total(1, 6, 0, &["a", "c"]));
    live.apply((bucket(0), 0), total(2, 1, 0, &[]));
    assert_eq!(live.used(day()), Some(Decimal::from(3)));
}

#[test]
fn a_correction_replaces_whatever_is_held() {
    let mut live = meter(Aggregation::Max);
    live.keep(&[day()]);
    live.apply((bucket(0), 0), total(9, 9, 100, &[]));
    live.correct((bucket(0), 0), Some(total(1, 1, 3, &[])));
    assert_eq!(live.used(day()), Some(Decimal::from(3)));
    live.correct((bucket(0), 0), None);
    assert_eq!(live.used(day()), Some(Decimal::ZERO));
}

/// Any interleaving of two partitions' records, repeated and late ones among them, ends in the same use.
#[test]
fn order_and_repetition_change_nothing() {
    let records: Vec<(Place, Total)> = vec![
        ((bucket(0), 0), total(1, 1, 1, &["a"])),
        ((bucket(0), 0), total(1, 2, 3, &["b"])),
        ((bucket(0), 1), total(4, 1, 10, &["a"])),
        ((bucket(2), 1), total(4, 2, 20, &["c"])),
    ];
    for aggregation in
        [Aggregation::Sum, Aggregation::Max, Aggregation::Min, Aggregation::Count, Aggregation::UniqueCount]
    {
        let mut expect = None;
        for order in 0..256usize {
            let mut live = meter(aggregation);
            live.keep(&[day()]);
            // Four picks with repetition, then all of them once in a rotated order.
            let picks = (0..4).map(|digit| (order >> (2 * digit)) & 3).chain((0..4).map(|at| (at + order) & 3));
            for (place, total) in picks.map(|pick| records[pick].clone()) {
                live.apply(place, total);
            }
            let used = live.used(day());
            assert_eq!(*expect.get_or_insert(used), used, "{aggregation} {order}");
            assert_eq!(live.fold(day()).used(aggregation), used, "{aggregation} {order}");
        }
    }
}

#[test]
fn what_is_whole_takes_voided_values_away() {
    let mut live = meter(Aggregation::UniqueCount);
    live.keep(&[day()]);
    live.apply((bucket(0), 0), total(1, 5, 0, &["a", "b"]));
    live.apply((bucket(1), 0), total(1, 6, 0, &["b", "c"]));
    let whole = Total { is_whole: true, ..total(1, 7, 0, &["b"]) };
    assert!(live.apply((bucket(0), 0), whole));
    assert_eq!(live.used(day()), Some(Decimal::TWO), "a is gone, b is in another bucket too");
    live.apply((bucket(0), 0), total(1, 8, 0, &["d"]));
    assert_eq!(live.used(day()), Some(Decimal::from(3)));
}
