//! An instant as people write it: RFC 3339, or a date, which means the beginning of that day in the subscription's zone.

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use talea_domain::error::FieldError;
use talea_domain::period::TimeZone;
use talea_domain::period::zone::start_of_day;

/// `field` names it in the error. The instant is as precise as what is stored: microseconds.
pub fn parse(field: &str, text: &str, zone: TimeZone) -> Result<DateTime<Utc>, FieldError> {
    let wrong = || {
        let way_out =
            "write 2026-10-01T00:00:00Z, or 2026-10-01 for the beginning of that day in the subscription's zone";
        FieldError::new(field, "is no instant", way_out)
    };
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.to_utc().trunc_subsecs(6));
    }
    let date: NaiveDate = text.parse().map_err(|_| wrong())?;
    start_of_day(date, zone).map_err(|error| FieldError::new(field, error.to_string(), "check the year"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_begins_in_the_subscriptions_zone() {
        for (text, zone, expect) in [
            ("2023-11-01", chrono_tz::UTC, Some("2023-11-01T00:00:00Z")),
            ("2023-11-01", chrono_tz::Asia::Kathmandu, Some("2023-10-31T18:15:00Z")),
            ("2023-11-01T01:00:00+01:00", chrono_tz::Asia::Kathmandu, Some("2023-11-01T00:00:00Z")),
            ("2023-11-01T00:00:00.123456789Z", chrono_tz::UTC, Some("2023-11-01T00:00:00.123456Z")),
            ("2023-11", chrono_tz::UTC, None),
            ("", chrono_tz::UTC, None),
        ] {
            let expect = expect.map(|text| text.parse::<DateTime<Utc>>().expect("a time"));
            assert_eq!(parse("/start_at", text, zone).ok(), expect, "{text}");
        }
    }
}
