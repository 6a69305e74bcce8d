//! A cell that tells a time becomes an instant, exactly or not at all.

use anyhow::ensure;
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

#[derive(Debug, Clone)]
pub enum TimeFormat {
    Rfc3339,
    /// A strftime format, and the zone of the times that carry no offset.
    Strftime {
        format: String,
        zone: Tz,
    },
}

impl TimeFormat {
    pub fn new(format: Option<&str>, zone: Tz) -> anyhow::Result<Self> {
        let Some(format) = format else { return Ok(Self::Rfc3339) };
        let understood = !StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
        ensure!(understood, "`time.format` \"{format}\" is no strftime format; for example \"%Y-%m-%d %H:%M:%S%.f\"");
        Ok(Self::Strftime { format: format.to_owned(), zone })
    }

    /// The instant that the cell tells; the error is the reason for the row's reject.
    pub fn parse(&self, text: &str) -> Result<DateTime<Utc>, String> {
        match self {
            Self::Rfc3339 => match DateTime::parse_from_rfc3339(text) {
                Ok(time) => Ok(time.to_utc()),
                Err(_) => Err(format!("`{text}` is not a time in RFC 3339")),
            },
            Self::Strftime { format, zone } => {
                if let Ok(time) = DateTime::parse_from_str(text, format) {
                    return Ok(time.to_utc());
                }
                let local = NaiveDateTime::parse_from_str(text, format)
                    .or_else(|_| NaiveDate::parse_from_str(text, format).map(|day| day.and_time(NaiveTime::MIN)))
                    .map_err(|_| format!("`{text}` is not a time in the format \"{format}\""))?;
                in_zone(local, *zone)
            }
        }
    }
}

/// A local time that the zone's clocks showed twice, or never, is no instant: guessing could move usage into another period.
fn in_zone(local: NaiveDateTime, zone: Tz) -> Result<DateTime<Utc>, String> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) => Ok(time.to_utc()),
        MappedLocalTime::Ambiguous(..) => {
            Err(format!("{local} occurred twice in {zone}: give the time with its offset"))
        }
        MappedLocalTime::None => Err(format!("{local} did not occur in {zone}: the clocks were put forward")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Option<&str>, zone: Tz, text: &str, expected: Result<&str, &str>) {
        let format = TimeFormat::new(format, zone).expect("a format");
        match (format.parse(text), expected) {
            (Ok(time), Ok(expected)) => {
                assert_eq!(time, expected.parse::<DateTime<Utc>>().expect("RFC 3339"), "{text}")
            }
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{text}: {reason}"),
            (outcome, _) => panic!("{text}: {outcome:?}"),
        }
    }

    #[test]
    fn times_are_exact_or_refused() {
        let seconds = Some("%Y-%m-%d %H:%M:%S%.f");
        check(None, Tz::UTC, "2023-11-16T18:17:03.97996Z", Ok("2023-11-16T18:17:03.979960Z"));
        check(None, Tz::UTC, "2023-11-16T18:17:03+05:45", Ok("2023-11-16T12:32:03Z"));
        check(None, Tz::UTC, "2023-11-16 at noon", Err("RFC 3339"));
        check(seconds, Tz::UTC, "2023-11-16 18:17:03.9799600", Ok("2023-11-16T18:17:03.979960Z"));
        check(seconds, Tz::UTC, "2023-11-16 18:17:03", Ok("2023-11-16T18:17:03Z"));
        check(seconds, Tz::Asia__Kathmandu, "2023-11-16 00:00:00", Ok("2023-11-15T18:15:00Z"));
        check(seconds, Tz::UTC, "2023-13-16 18:17:03", Err("not a time in the format"));
        check(seconds, Tz::UTC, "", Err("not a time"));
        check(seconds, Tz::Europe__Berlin, "2023-10-29 02:30:00", Err("twice"));
        check(seconds, Tz::Europe__Berlin, "2023-03-26 02:30:00", Err("did not occur"));
        check(Some("%d.%m.%Y"), Tz::Europe__Berlin, "16.11.2023", Ok("2023-11-15T23:00:00Z"));
        check(Some("%Y-%m-%dT%H:%M:%S%z"), Tz::Europe__Berlin, "2023-11-16T10:00:00-0500", Ok("2023-11-16T15:00:00Z"));
        check(Some("%s"), Tz::UTC, "1700000000", Ok("2023-11-14T22:13:20Z"));
    }
}
