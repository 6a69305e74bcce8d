//! Periods tile, in every zone and from every anchor.

mod intervals;

use super::zone::{day_of, local, start_of_day};
use super::*;
use chrono::{Duration, NaiveDate};
use proptest::prelude::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    name.parse().unwrap()
}

fn anchor(day: u8, origin: &str, zone_name: &str) -> BillingAnchor {
    let (interval, calendar) = (Interval::MONTHLY, Alignment::Anniversary);
    BillingAnchor { interval, calendar, day, origin: origin.parse().unwrap(), zone: zone(zone_name) }
}

fn period(start: &str, end: &str) -> Period {
    Period::new(at(start), at(end))
}

#[test]
fn a_day_begins_at_the_first_instant_that_bears_its_date() {
    let check = |date: &str, name: &str, expect: &str| {
        assert_eq!(start_of_day(date.parse().unwrap(), zone(name)), Ok(at(expect)), "{date} {name}");
    };
    check("2024-03-31", "Europe/Berlin", "2024-03-30T23:00:00Z");
    check("2024-04-01", "Europe/Berlin", "2024-03-31T22:00:00Z");
    check("2024-01-01", "Asia/Kathmandu", "2023-12-31T18:15:00Z");
    // Midnight does not exist: clocks jump from 00:00 to 01:00.
    check("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z");
    check("2023-04-28", "Africa/Cairo", "2023-04-27T22:00:00Z");
    // Clocks jumped from 00:01 to 01:01; midnight itself exists.
    check("1988-04-03", "America/St_Johns", "1988-04-03T03:30:00Z");
    // Midnight happens twice: the first counts.
    check("2022-11-06", "America/Havana", "2022-11-06T04:00:00Z");
    // Samoa left out the whole 30 December 2011.
    check("2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00Z");
    check("2011-12-31", "Pacific/Apia", "2011-12-30T10:00:00Z");
    assert_eq!(start_of_day(NaiveDate::MAX, zone("UTC")), Err(PeriodError::OutOfRange));
}

#[test]
fn an_anchor_on_the_31st_comes_back_to_the_31st() {
    let anchor = anchor(31, "2023-01-31", "UTC");
    let starts: Vec<String> =
        (0..5).map(|index| anchor.period_at(index).unwrap().start.date_naive().to_string()).collect();
    assert_eq!(starts, ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30", "2023-05-31"]);
}

#[test]
fn a_period_is_found_by_instant_and_the_bound_belongs_to_the_next() {
    let check = |day, origin, name, instant: &str, expect: (&str, &str)| {
        let found = anchor(day, origin, name).period_containing(at(instant));
        assert_eq!(found, Ok(period(expect.0, expect.1)), "{day} {name} {instant}");
    };
    let november = ("2023-11-01T00:00:00Z", "2023-12-01T00:00:00Z");
    check(1, "2023-11-16", "UTC", "2023-11-01T00:00:00Z", november);
    check(1, "2023-11-16", "UTC", "2023-11-30T23:59:59.999999999Z", november);
    check(1, "2023-11-16", "UTC", "2023-12-01T00:00:00Z", ("2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z"));
    // The spring month of Berlin is an hour short.
    check(1, "2024-03-10", "Europe/Berlin", "2024-03-31T21:59:59Z", ("2024-02-29T23:00:00Z", "2024-03-31T22:00:00Z"));
    check(30, "2024-01-30", "UTC", "2024-02-29T00:00:00Z", ("2024-02-29T00:00:00Z", "2024-03-30T00:00:00Z"));
    check(30, "2024-01-30", "UTC", "2023-02-27T00:00:00Z", ("2023-01-30T00:00:00Z", "2023-02-28T00:00:00Z"));
}

#[test]
fn intervals_of_several_months_count_from_the_origin() {
    let quarterly =
        BillingAnchor { interval: Interval { unit: IntervalUnit::Month, every: 3 }, ..anchor(31, "2023-11-30", "UTC") };
    assert_eq!(quarterly.period_at(0), Ok(period("2023-11-30T00:00:00Z", "2024-02-29T00:00:00Z")));
    assert_eq!(quarterly.index_containing(at("2024-02-29T00:00:00Z")), Ok(1));
    assert_eq!(quarterly.index_containing(at("2023-11-29T23:59:59Z")), Ok(-1));
}

#[test]
fn a_list_of_periods_is_bounded() {
    let anchor = anchor(1, "2000-01-01", "UTC");
    assert_eq!(anchor.periods_between(period("2023-11-05T00:00:00Z", "2024-01-01T00:00:00Z")).unwrap().len(), 2);
    assert_eq!(anchor.periods_between(period("2023-11-05T00:00:00Z", "2023-11-05T00:00:00Z")), Ok(vec![]));
    let centuries = period("2000-01-01T00:00:00Z", "2200-01-01T00:00:00Z");
    assert_eq!(anchor.periods_between(centuries), Err(PeriodError::TooMany));
    assert_eq!(anchor.period_at(i64::MAX), Err(PeriodError::OutOfRange));
    assert_eq!(anchor.period_at(i64::MAX - 30_000), Err(PeriodError::OutOfRange));
}

#[test]
fn a_limits_period_is_local() {
    let check = |kind, name: &str, instant: &str, expect: (&str, &str)| {
        let billing = anchor(15, "2023-01-15", name);
        let found = limit_period(kind, at(instant), zone(name), &billing);
        assert_eq!(found, Ok(period(expect.0, expect.1)), "{kind:?} {name} {instant}");
    };
    let now = "2023-11-20T10:07:30.5Z";
    check(LimitPeriod::Billing, "UTC", now, ("2023-11-15T00:00:00Z", "2023-12-15T00:00:00Z"));
    check(LimitPeriod::Month, "UTC", now, ("2023-11-01T00:00:00Z", "2023-12-01T00:00:00Z"));
    check(LimitPeriod::Day, "Asia/Kathmandu", now, ("2023-11-19T18:15:00Z", "2023-11-20T18:15:00Z"));
    check(LimitPeriod::Hour, "Asia/Kathmandu", now, ("2023-11-20T09:15:00Z", "2023-11-20T10:15:00Z"));
    // Berlin's day of 25 hours.
    check(LimitPeriod::Day, "Europe/Berlin", "2023-10-29T12:00:00Z", ("2023-10-28T22:00:00Z", "2023-10-29T23:00:00Z"));
    // Lord Howe sets its clocks back by half an hour at 15:00Z, in the middle of a local hour.
    check(
        LimitPeriod::Hour,
        "Australia/Lord_Howe",
        "2023-04-01T14:59:59Z",
        ("2023-04-01T14:00:00Z", "2023-04-01T15:00:00Z"),
    );
    check(
        LimitPeriod::Hour,
        "Australia/Lord_Howe",
        "2023-04-01T15:00:00Z",
        ("2023-04-01T15:00:00Z", "2023-04-01T15:30:00Z"),
    );
}

#[test]
fn a_share_weighs_every_local_day_the_same() {
    let check = |name: &str, served: (&str, &str), numerator, denominator| {
        let full = anchor(1, "2024-03-01", name).period_at(0).unwrap();
        let share = Fraction::of_period(&period(served.0, served.1), &full, zone(name));
        assert_eq!(share, Ok(Fraction { numerator, denominator }), "{name} {served:?}");
    };
    check("UTC", ("2024-03-01T00:00:00Z", "2024-03-15T00:00:00Z"), 14, 31);
    check("UTC", ("2024-03-16T12:00:00Z", "2024-04-01T00:00:00Z"), 1, 2);
    check("UTC", ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"), 1, 1);
    check("UTC", ("2024-04-01T00:00:00Z", "2024-05-01T00:00:00Z"), 0, 1);
    check("UTC", ("2024-03-01T00:00:00Z", "2024-03-01T00:00:01Z"), 1, 31 * 86_400);
    // New York's 10 March has 23 hours, and still is one of 31 days.
    check("America/New_York", ("2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z"), 1, 31);
    check("America/New_York", ("2024-03-01T05:00:00Z", "2024-03-15T04:00:00Z"), 14, 31);
    check("America/New_York", ("2024-03-10T05:00:00Z", "2024-03-10T16:30:00Z"), 1, 62);
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    prop::sample::select(&chrono_tz::TZ_VARIANTS[..])
}

fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
    let (from, to) = (at("1990-01-01T00:00:00Z").timestamp(), at("2060-01-01T00:00:00Z").timestamp());
    (from..to, 0..1_000_000_000_u32).prop_map(|(second, nano)| DateTime::from_timestamp(second, nano).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn limit_periods_tile(start in any_instant(), zone in any_zone()) {
        let billing = BillingAnchor::calendar_months(day_of(start, zone).unwrap(), zone);
        for kind in [LimitPeriod::Billing, LimitPeriod::Month, LimitPeriod::Day, LimitPeriod::Hour] {
            let of = |instant| limit_period(kind, instant, zone, &billing).unwrap();
            let period = of(start);
            prop_assert!(period.contains(start));
            prop_assert_eq!(of(period.start), period);
            prop_assert_eq!(of(period.end - Duration::nanoseconds(1)), period);
            prop_assert_eq!(of(period.end).start, period.end);
        }
    }

    #[test]
    fn a_day_holds_what_its_clock_says_except_where_it_repeats(instant in any_instant(), zone in any_zone()) {
        let day = day_of(instant, zone).unwrap();
        let clock = local(instant, zone).date();
        prop_assert!(day == clock || day.pred_opt() == Some(clock));
    }

    #[test]
    fn shares_of_parts_sum_to_one(instant in any_instant(), cut in 1..40_000_u32, zone in any_zone()) {
        let full = BillingAnchor::calendar_months(day_of(instant, zone).unwrap(), zone).period_at(0).unwrap();
        let seconds = (full.end - full.start).num_seconds() * i64::from(cut) / 40_000;
        let middle = full.start + Duration::seconds(seconds);
        let share = |start, end| Fraction::of_period(&Period::new(start, end), &full, zone).unwrap();
        let (first, second) = (share(full.start, middle), share(middle, full.end));
        let (a, b) = (u128::from(first.numerator), u128::from(first.denominator));
        let (c, d) = (u128::from(second.numerator), u128::from(second.denominator));
        prop_assert_eq!(a * d + c * b, b * d);
    }
}
