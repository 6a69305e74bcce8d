//! Billing periods of every length: days, weeks, months and years, by the calendar and from any anchor.

use super::*;

fn of(unit: IntervalUnit, every: u16, calendar: Alignment, day: u8, origin: &str, zone_name: &str) -> BillingAnchor {
    let interval = Interval { unit, every };
    BillingAnchor { interval, calendar, day, origin: origin.parse().unwrap(), zone: zone(zone_name) }
}

/// The starts of the periods from `first` on, as local clock times without the midnight.
fn starts(anchor: &BillingAnchor, first: i64, count: usize) -> Vec<String> {
    let start = |index| {
        let at = local(anchor.period_at(index).unwrap().start, anchor.zone);
        at.format("%Y-%m-%d %H:%M").to_string().replace(" 00:00", "")
    };
    (first..).take(count).map(start).collect()
}

/// Days of a month by the Gregorian rule, without any library.
fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1 January 1970 to a date, by adding up months.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|year| (1..=12).map(|month| days_in(year, month)).sum::<i64>()).sum();
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>() + day - 1
}

#[test]
fn every_month_end_from_2000_to_2100_is_what_counting_on_fingers_gives() {
    let (years, months) = (2000..=2100, 1..=12);
    let mut months_begin = Vec::new();
    for year in years {
        for month in months.clone() {
            months_begin.push((year, month, days_before(year, month, 1)));
        }
    }
    for day in 1..=31_u8 {
        let expect: Vec<i64> = months_begin
            .iter()
            .map(|(year, month, first)| first + i64::from(day).min(days_in(*year, *month)) - 1)
            .collect();
        for (unit, every, step) in [
            (IntervalUnit::Month, 1, 1),
            (IntervalUnit::Month, 3, 3),
            (IntervalUnit::Month, 6, 6),
            (IntervalUnit::Year, 1, 12),
        ] {
            // From every month in which such a period can begin.
            for offset in 0..step {
                let origin = format!("2000-{:02}-{:02}", offset + 1, i64::from(day).min(days_in(2000, offset + 1)));
                let anchor = of(unit, every, Alignment::Anniversary, day, &origin, "UTC");
                let expect: Vec<i64> = expect[usize::try_from(offset).unwrap()..]
                    .iter()
                    .step_by(usize::try_from(step).unwrap())
                    .copied()
                    .collect();
                for (index, pair) in (0..).zip(expect.windows(2)) {
                    let period = anchor.period_at(index).unwrap();
                    let days = |instant: DateTime<Utc>| (instant.timestamp() / 86_400, instant.timestamp() % 86_400);
                    let found = (days(period.start), days(period.end));
                    assert_eq!(found, ((pair[0], 0), (pair[1], 0)), "{unit:?} {every}, day {day}, {period:?}");
                }
            }
        }
    }
}

#[test]
fn weeks_begin_on_a_monday_or_on_the_anchors_day() {
    use Alignment::{Anniversary, Calendar};
    let check = |every, calendar, day, origin, name, expect: [&str; 4]| {
        let anchor = of(IntervalUnit::Week, every, calendar, day, origin, name);
        assert_eq!(starts(&anchor, 0, 4), expect, "{every} {calendar:?} {day} {origin} {name}");
        assert_eq!(anchor.index_containing(anchor.period_at(2).unwrap().start), Ok(2));
    };
    // 1 January 2024 was a Monday; 2023-11-16 a Thursday.
    check(1, Calendar, 1, "2024-01-01", "UTC", ["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22"]);
    check(1, Calendar, 1, "2023-11-16", "UTC", ["2023-11-13", "2023-11-20", "2023-11-27", "2023-12-04"]);
    check(1, Calendar, 7, "2023-11-16", "UTC", ["2023-11-12", "2023-11-19", "2023-11-26", "2023-12-03"]);
    check(1, Anniversary, 4, "2023-11-16", "UTC", ["2023-11-16", "2023-11-23", "2023-11-30", "2023-12-07"]);
    check(2, Anniversary, 4, "2023-11-16", "UTC", ["2023-11-16", "2023-11-30", "2023-12-14", "2023-12-28"]);
    // The clocks change inside these weeks: they still begin at midnight.
    check(1, Calendar, 1, "2024-03-25", "Europe/Berlin", ["2024-03-25", "2024-04-01", "2024-04-08", "2024-04-15"]);
    check(1, Calendar, 7, "2024-10-26", "Europe/Berlin", ["2024-10-20", "2024-10-27", "2024-11-03", "2024-11-10"]);
    check(4, Calendar, 1, "2024-02-29", "Asia/Kathmandu", ["2024-02-26", "2024-03-25", "2024-04-22", "2024-05-20"]);
    // Sunday 4 November 2018 began at one o'clock in São Paulo.
    let jumped = ["2018-10-28", "2018-11-04 01:00", "2018-11-11", "2018-11-18"];
    check(1, Anniversary, 7, "2018-10-28", "America/Sao_Paulo", jumped);
    // Samoa left out Friday 30 December 2011: its week begins with the Saturday.
    check(1, Anniversary, 5, "2011-12-23", "Pacific/Apia", ["2011-12-23", "2011-12-31", "2012-01-06", "2012-01-13"]);
}

#[test]
fn years_begin_on_the_first_of_january_or_on_the_anchors_day() {
    use Alignment::{Anniversary, Calendar};
    let check = |every, calendar, day, origin, name, expect: [&str; 4]| {
        let anchor = of(IntervalUnit::Year, every, calendar, day, origin, name);
        assert_eq!(starts(&anchor, 0, 4), expect, "{every} {calendar:?} {day} {origin} {name}");
    };
    check(1, Calendar, 1, "2023-11-16", "UTC", ["2023-01-01", "2024-01-01", "2025-01-01", "2026-01-01"]);
    check(2, Calendar, 1, "2023-11-16", "UTC", ["2023-01-01", "2025-01-01", "2027-01-01", "2029-01-01"]);
    check(1, Anniversary, 16, "2023-11-16", "UTC", ["2023-11-16", "2024-11-16", "2025-11-16", "2026-11-16"]);
    // 29 February comes back in leap years only.
    check(1, Anniversary, 29, "2024-02-29", "UTC", ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28"]);
    check(4, Anniversary, 29, "2096-02-29", "UTC", ["2096-02-29", "2100-02-28", "2104-02-29", "2108-02-29"]);
    check(1, Anniversary, 31, "2024-02-29", "Asia/Kathmandu", ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28"]);
    // An anchor's day after the start's: the year began in the month before.
    check(1, Anniversary, 20, "2024-03-10", "UTC", ["2024-02-20", "2025-02-20", "2026-02-20", "2027-02-20"]);
    let jumped = ["2015-11-04", "2016-11-04", "2017-11-04", "2018-11-04 01:00"];
    check(1, Anniversary, 4, "2015-11-04", "America/Sao_Paulo", jumped);
    check(1, Anniversary, 30, "2010-12-30", "Pacific/Apia", ["2010-12-30", "2011-12-31", "2012-12-30", "2013-12-30"]);
    check(1, Calendar, 1, "2024-07-01", "Europe/Berlin", ["2024-01-01", "2025-01-01", "2026-01-01", "2027-01-01"]);
}

#[test]
fn days_are_local_and_one_that_a_zone_left_out_is_no_period() {
    let check = |every, origin, name, expect: [&str; 4]| {
        let anchor = of(IntervalUnit::Day, every, Alignment::Calendar, 1, origin, name);
        let range = Period::new(anchor.period_at(0).unwrap().start, anchor.period_at(6).unwrap().start);
        let periods = anchor.periods_between(range).unwrap();
        let begins = |period: &Period| local(period.start, anchor.zone).format("%m-%d %H:%M").to_string();
        assert_eq!(periods.iter().take(4).map(begins).collect::<Vec<_>>(), expect, "{every} {origin} {name}");
    };
    check(1, "2024-03-30", "Europe/Berlin", ["03-30 00:00", "03-31 00:00", "04-01 00:00", "04-02 00:00"]);
    check(10, "2024-03-30", "Asia/Kathmandu", ["03-30 00:00", "04-09 00:00", "04-19 00:00", "04-29 00:00"]);
    check(1, "2018-11-03", "America/Sao_Paulo", ["11-03 00:00", "11-04 01:00", "11-05 00:00", "11-06 00:00"]);
    check(1, "2011-12-28", "Pacific/Apia", ["12-28 00:00", "12-29 00:00", "12-31 00:00", "01-01 00:00"]);
}

#[test]
fn no_period_falls_short_of_its_intervals_shortest() {
    for unit in [IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month, IntervalUnit::Year] {
        for every in [1, 2, unit.most()] {
            let interval = Interval { unit, every };
            assert!(interval.is_valid());
            for name in ["UTC", "Europe/Berlin", "Pacific/Apia", "America/Sao_Paulo"] {
                let anchor = of(unit, every, Alignment::Anniversary, 1, "2009-12-30", name);
                for index in 0..200 {
                    let period = anchor.period_at(index).unwrap();
                    assert!(period.end - period.start >= Duration::days(interval.shortest_days()), "{period:?} {name}");
                }
            }
        }
        assert!(!Interval { unit, every: 0 }.is_valid() && !Interval { unit, every: unit.most() + 1 }.is_valid());
    }
}

fn any_anchor() -> impl Strategy<Value = (BillingAnchor, DateTime<Utc>)> {
    let units = vec![IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month, IntervalUnit::Year];
    let terms = (prop::sample::select(units), 1..=12_u16, any::<bool>(), 1..=31_u8, any_instant(), any_zone());
    terms.prop_map(|(unit, every, is_calendar, day, start, zone)| {
        let calendar = if is_calendar { Alignment::Calendar } else { Alignment::Anniversary };
        let interval = Interval { unit, every: every.min(unit.most()) };
        let days = interval.anchor_days(calendar);
        let day = day.clamp(*days.start(), *days.end());
        let origin = day_of(start, zone).unwrap();
        (BillingAnchor { interval, calendar, day, origin, zone }, start)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn billing_periods_tile((anchor, start) in any_anchor(), span in 1..2_000_i64) {
        // Twenty periods at most, so that many anchors are tried.
        let longest = 20 * i64::from(anchor.interval.every) * match anchor.interval.unit {
            IntervalUnit::Day => 1,
            IntervalUnit::Week => 7,
            IntervalUnit::Month | IntervalUnit::Year => 31,
        };
        let range = Period::new(start, start + Duration::days(span.min(longest)));
        let periods = anchor.periods_between(range).unwrap();
        prop_assert!(periods[0].contains(range.start));
        prop_assert!(periods[periods.len() - 1].end >= range.end);
        prop_assert!(periods.windows(2).all(|pair| pair[0].end == pair[1].start));
        for period in &periods {
            prop_assert!(!period.is_empty());
            let last_instant = period.end - Duration::nanoseconds(1);
            prop_assert_eq!(anchor.period_containing(period.start), Ok(*period));
            prop_assert_eq!(anchor.period_containing(last_instant), Ok(*period));
        }
    }

    #[test]
    fn a_period_that_starts_a_subscription_holds_its_start((anchor, start) in any_anchor()) {
        prop_assert_eq!(anchor.index_containing(start), Ok(0));
        let own = anchor.interval.own_anchor_day(anchor.calendar, start, anchor.zone).unwrap();
        prop_assert!(anchor.interval.anchor_days(anchor.calendar).contains(&own));
        let own = BillingAnchor { day: own, ..anchor };
        if anchor.calendar == Alignment::Anniversary {
            let first = own.period_containing(start).unwrap();
            prop_assert_eq!(first.start, start_of_day(anchor.origin, anchor.zone).unwrap());
        }
    }
}
