//! Windows in every kind of zone, and buckets.

use super::*;
use crate::period::Period;
use chrono::Duration;
use chrono_tz::Tz;

fn check_windows(from: &str, to: &str, size: WindowSize, zone: Tz, expect: &[&str]) {
    let bounds = window_bounds(Period::new(time(from), time(to)), size, zone).expect("windows");
    assert_eq!(bounds, expect.iter().map(|text| time(text)).collect::<Vec<_>>(), "{size:?} in {zone}");
}

#[test]
fn windows_follow_the_local_clock() {
    use WindowSize::*;
    // Clipped at both ends.
    check_windows(
        "2026-01-01T10:30:00Z",
        "2026-01-01T12:10:00Z",
        Hour,
        Tz::UTC,
        &["2026-01-01T10:30:00Z", "2026-01-01T11:00:00Z", "2026-01-01T12:00:00Z", "2026-01-01T12:10:00Z"],
    );
    check_windows(
        "2026-01-01T10:00:00Z",
        "2026-01-01T11:00:00Z",
        Hour,
        Tz::UTC,
        &["2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"],
    );
    check_windows(
        "2026-01-01T10:00:00.5Z",
        "2026-01-01T10:02:00Z",
        Minute,
        Tz::UTC,
        &["2026-01-01T10:00:00.5Z", "2026-01-01T10:01:00Z", "2026-01-01T10:02:00Z"],
    );
    // +05:45: hours start at a quarter past in UTC.
    check_windows(
        "2026-01-01T10:00:00Z",
        "2026-01-01T12:00:00Z",
        Hour,
        Tz::Asia__Kathmandu,
        &["2026-01-01T10:00:00Z", "2026-01-01T10:15:00Z", "2026-01-01T11:15:00Z", "2026-01-01T12:00:00Z"],
    );
    check_windows(
        "2026-01-01T00:00:00Z",
        "2026-01-03T00:00:00Z",
        Day,
        Tz::Asia__Kathmandu,
        &["2026-01-01T00:00:00Z", "2026-01-01T18:15:00Z", "2026-01-02T18:15:00Z", "2026-01-03T00:00:00Z"],
    );
    // 23 and 25 hours.
    check_windows(
        "2026-03-28T23:00:00Z",
        "2026-03-30T22:00:00Z",
        Day,
        Tz::Europe__Berlin,
        &["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"],
    );
    check_windows(
        "2026-10-24T22:00:00Z",
        "2026-10-26T23:00:00Z",
        Day,
        Tz::Europe__Berlin,
        &["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"],
    );
    // The hour that occurs twice is two windows; half an hour more makes a long one.
    check_windows(
        "2026-10-25T00:00:00Z",
        "2026-10-25T02:00:00Z",
        Hour,
        Tz::Europe__Berlin,
        &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
    );
    check_windows(
        "2026-04-04T14:00:00Z",
        "2026-04-04T16:30:00Z",
        Hour,
        Tz::Australia__Lord_Howe,
        &["2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"],
    );
    check_windows(
        "2026-10-03T14:30:00Z",
        "2026-10-03T17:00:00Z",
        Hour,
        Tz::Australia__Lord_Howe,
        &["2026-10-03T14:30:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z", "2026-10-03T17:00:00Z"],
    );
    // Midnight is skipped: the day starts at 01:00.
    check_windows(
        "2018-11-03T03:00:00Z",
        "2018-11-05T02:00:00Z",
        Day,
        Tz::America__Sao_Paulo,
        &["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
    );
    check_windows(
        "2026-03-27T22:00:00Z",
        "2026-03-29T21:00:00Z",
        Day,
        Tz::Asia__Beirut,
        &["2026-03-27T22:00:00Z", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"],
    );
    // The hour before midnight occurs twice.
    check_windows(
        "2018-02-17T02:00:00Z",
        "2018-02-19T03:00:00Z",
        Day,
        Tz::America__Sao_Paulo,
        &["2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z", "2018-02-19T03:00:00Z"],
    );
    // Midnight occurs twice.
    check_windows(
        "2026-10-31T04:00:00Z",
        "2026-11-02T05:00:00Z",
        Day,
        Tz::America__Havana,
        &["2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"],
    );
    // Samoa had no 30 December 2011.
    check_windows(
        "2011-12-29T10:00:00Z",
        "2011-12-31T10:00:00Z",
        Day,
        Tz::Pacific__Apia,
        &["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"],
    );
    check_windows(
        "2024-01-31T00:00:00Z",
        "2024-04-01T00:00:00Z",
        Month,
        Tz::UTC,
        &["2024-01-31T00:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"],
    );
    check_windows(
        "2026-03-01T05:00:00Z",
        "2026-05-01T04:00:00Z",
        Month,
        Tz::America__New_York,
        &["2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z", "2026-05-01T04:00:00Z"],
    );
}

#[test]
fn a_range_without_end_is_refused() {
    let bounds = |to: &str, size| window_bounds(Period::new(time("2026-01-01T00:00:00Z"), time(to)), size, Tz::UTC);
    assert_eq!(bounds("2026-01-01T00:00:00Z", WindowSize::Day).expect_err("empty").field, "range");
    assert_eq!(bounds("2025-01-01T00:00:00Z", WindowSize::Day).expect_err("reversed").field, "range");
    assert_eq!(bounds("2026-01-07T22:40:00Z", WindowSize::Minute).map(|bounds| bounds.len()), Ok(MAX_WINDOWS + 1));
    assert_eq!(
        bounds("2026-01-07T22:40:01Z", WindowSize::Minute).map(|bounds| bounds.len()).expect_err("too many").field,
        "window"
    );
    assert_eq!(
        bounds("9999-01-01T00:00:00Z", WindowSize::Minute).map(|bounds| bounds.len()).expect_err("too many").field,
        "window"
    );
}

#[test]
fn buckets_are_quarters_of_an_hour_in_utc() {
    let check = |at: &str, expect: &str| assert_eq!(bucket_start(time(at)), time(expect), "{at}");
    check("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    check("2026-01-01T00:14:59.999999999Z", "2026-01-01T00:00:00Z");
    check("2026-01-01T00:15:00Z", "2026-01-01T00:15:00Z");
    check("1969-12-31T23:59:59.5Z", "1969-12-31T23:45:00Z");
}

fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec())
}

proptest! {
    #[test]
    fn windows_tile_their_range(zone in zone(), start in 0i64..3_000_000_000, length in 1i64..3_000_000, size in prop::sample::select(vec![WindowSize::Hour, WindowSize::Day, WindowSize::Month])) {
        let at = |second| DateTime::from_timestamp(second, 0).expect("in range");
        let range = Period::new(at(start), at(start + length));
        let bounds = window_bounds(range, size, zone).expect("windows");
        prop_assert_eq!((bounds.first(), bounds.last()), (Some(&range.start), Some(&range.end)));
        prop_assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
        // Cut anywhere, the parts have the bounds of the whole: a window does not depend on where the range starts.
        let middle = at(start + length / 2);
        if middle > range.start {
            let mut parts = window_bounds(Period::new(range.start, middle), size, zone).expect("windows");
            parts.extend(window_bounds(Period::new(middle, range.end), size, zone).expect("windows"));
            parts.retain(|bound| *bound != middle || bounds.contains(bound));
            parts.dedup();
            prop_assert_eq!(parts, bounds);
        }
    }

    #[test]
    fn an_hour_and_a_day_have_their_length(zone in zone(), start in 0i64..3_000_000_000) {
        let from = DateTime::from_timestamp(start, 0).expect("in range");
        let check = |size, days: i64, most: Duration| {
            let bounds = window_bounds(Period::new(from, from + Duration::days(days)), size, zone).expect("windows");
            bounds.windows(2).all(|pair| pair[1] - pair[0] <= most)
        };
        prop_assert!(check(WindowSize::Hour, 4, Duration::minutes(150)));
        prop_assert!(check(WindowSize::Day, 40, Duration::hours(49)));
    }
}
