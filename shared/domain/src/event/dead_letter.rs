//! Why an event cannot be counted, and the window of event times that is admitted.

use crate::error::FieldError;
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why an event is in the dead letters instead of the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterReason {
    /// It is no valid event; the field and the way out are told beside it.
    Malformed,
    /// Its tenant does not exist.
    UnknownTenant,
    /// It happened longer ago than identities are remembered, so that it could be counted twice.
    TooLate,
    /// It claims to happen later than clocks can differ.
    InFuture,
    /// Its identity was seen with another body. The first stays counted.
    Conflict,
    /// Its time is outside the years that can be stored.
    OutOfRange,
    /// It voids an event that is not counted.
    UnknownEvent,
}

impl DeadLetterReason {
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::UnknownTenant,
        Self::TooLate,
        Self::InFuture,
        Self::Conflict,
        Self::OutOfRange,
        Self::UnknownEvent,
    ];

    /// The name as stored and as shown: snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownTenant => "unknown_tenant",
            Self::TooLate => "too_late",
            Self::InFuture => "in_future",
            Self::Conflict => "conflict",
            Self::OutOfRange => "out_of_range",
            Self::UnknownEvent => "unknown_event",
        }
    }

    /// What its sender, or an operator, can do about it.
    pub fn way_out(self) -> &'static str {
        match self {
            Self::Malformed => "mend the named field and send the event again with the same id",
            Self::UnknownTenant => "create the tenant, then resubmit the event",
            Self::TooLate => "send it in a backfill, which admits old times",
            Self::InFuture => "set the sender's clock and send the event again with the same id",
            Self::Conflict => {
                "give different things different ids; void the counted event, and send what is right under an id of its own"
            }
            Self::OutOfRange => "send the time at which it happened, from 1970 up to 2200",
            Self::UnknownEvent => {
                "check source and id; if the event is still to come, resubmit the void once it is counted"
            }
        }
    }

    /// The reason of an event that could not be read.
    pub fn of(error: &FieldError) -> Self {
        if error.reason == super::time::OUT_OF_RANGE { Self::OutOfRange } else { Self::Malformed }
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeadLetterReason {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let names = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or_else(|| {
            FieldError::new("reason", "is not a dead letter's reason", format!("use one of {}", names()))
        })
    }
}

/// How far an event's time may lie from its append to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// How late it may be: as long as identities are remembered.
    pub late: Duration,
    /// How far ahead of the log's clock the sender's clock may run.
    pub future: Duration,
}

impl Default for Window {
    fn default() -> Self {
        Self { late: Duration::days(35), future: Duration::hours(1) }
    }
}

/// Judges an event's time against its append time, never against now, so that a replay decides the same. Both ends are
/// admitted. A backfill may be late, but not in the future.
pub fn window(
    event_time: DateTime<Utc>,
    appended_at: DateTime<Utc>,
    window: &Window,
    backfill: bool,
) -> Result<(), DeadLetterReason> {
    let age = appended_at.signed_duration_since(event_time);
    if age > window.late && !backfill {
        return Err(DeadLetterReason::TooLate);
    }
    if age < -window.future {
        return Err(DeadLetterReason::InFuture);
    }
    Ok(())
}
