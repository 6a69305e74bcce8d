//! When a bill moment may be closed: its usage is given a grace in which it may still come, and late usage of a subscription
//! that has ended is collected before it gets a document of its own.

use super::BillMoment;
use chrono::{DateTime, Duration, Utc};

/// How long after the last closing late usage of an ended subscription is collected before it makes a document, in hours.
pub const COLLECT_HOURS: i64 = 24;

/// When the grace of a moment is over. A moment that ends no period with usage waits for nothing; one whose subscription was
/// recorded later than it waits from then, so that its history can be sent first. `None` past the end of the calendar.
pub fn closes_at(moment: &BillMoment, recorded_at: DateTime<Utc>, grace: Duration) -> Option<DateTime<Utc>> {
    let from = moment.at.max(recorded_at);
    if moment.usage.is_empty() || moment.closes.is_none() { Some(from) } else { from.checked_add_signed(grace) }
}
