//! What became of each event of a request, and the HTTP status that sums it up.

use crate::admission::Refusal;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use talea_domain::error::FieldError;
use talea_platform::log::AppendError;

/// A log that did not acknowledge is worth another try after this.
const LOG_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictStatus {
    /// Durable in the log.
    Accepted,
    /// Never taken; mend it before sending it again.
    Rejected,
    /// Not acknowledged; safe to send again with the same source and id.
    Retry,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventVerdict {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Absent where the event has none that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub status: VerdictStatus,
    /// JSON pointer to the faulty field of a rejected event; empty for the event as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why it was not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the sender can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

/// How many events got which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VerdictCounts {
    pub accepted: u64,
    pub rejected: u64,
    pub retry: u64,
}

/// The verdicts of a request, in the order of its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IngestResponse {
    pub summary: VerdictCounts,
    pub events: Vec<EventVerdict>,
}

/// Why an event was not acknowledged. Each has its own wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unacknowledged {
    OverRate { retry_after: Duration },
    QueueFull { retry_after: Duration },
    Unavailable,
}

/// What became of one event, before it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Accepted,
    Rejected(FieldError),
    Retry(Unacknowledged),
}

/// The answer as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200: at least one event was accepted, or there was none.
    Ok,
    /// 400: every event was rejected.
    Rejected,
    /// 429: nothing was accepted, because a tenant's bucket or the queue is full.
    TooMany { retry_after: Duration },
    /// 503: nothing was accepted, and the log did not acknowledge.
    Unavailable,
}

impl Answer {
    /// The label of the requests' counter.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::TooMany { .. } => "too_many",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<Refusal> for Unacknowledged {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OverRate { retry_after } => Self::OverRate { retry_after },
            Refusal::QueueFull { retry_after } => Self::QueueFull { retry_after },
        }
    }
}

impl From<AppendError> for Fate {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { size, limit } => Self::Rejected(FieldError::new(
                "",
                format!("the event has {size} bytes, the log takes {limit}"),
                "send less data in one event",
            )),
            AppendError::QueueFull => Self::Retry(Unacknowledged::QueueFull { retry_after: LOG_RETRY }),
            AppendError::Unavailable(_) => Self::Retry(Unacknowledged::Unavailable),
        }
    }
}

impl Unacknowledged {
    fn retry_after(self) -> Duration {
        match self {
            Self::OverRate { retry_after } | Self::QueueFull { retry_after } => retry_after,
            Self::Unavailable => LOG_RETRY,
        }
    }

    fn words(self) -> (&'static str, String) {
        let reason = match self {
            Self::OverRate { .. } => "the tenant sends more events a second than it may",
            Self::QueueFull { .. } => "too many events are on their way to the log",
            Self::Unavailable => "the log did not acknowledge the event",
        };
        let seconds = whole_seconds(self.retry_after());
        (reason, format!("send it again after {seconds} s with the same source and id: it will count once"))
    }
}

/// Rounded up, at least one.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

impl EventVerdict {
    pub fn new(index: usize, id: Option<String>, source: Option<String>, fate: Fate) -> Self {
        let plain =
            Self { index, id, source, status: VerdictStatus::Accepted, field: None, reason: None, way_out: None };
        match fate {
            Fate::Accepted => plain,
            Fate::Rejected(FieldError { field, reason, way_out }) => Self {
                status: VerdictStatus::Rejected,
                field: Some(field),
                reason: Some(reason),
                way_out: Some(way_out),
                ..plain
            },
            Fate::Retry(cause) => {
                let (reason, way_out) = cause.words();
                Self { status: VerdictStatus::Retry, reason: Some(reason.into()), way_out: Some(way_out), ..plain }
            }
        }
    }
}

impl VerdictCounts {
    pub fn count(&mut self, fate: &Fate) {
        self.count_status(match fate {
            Fate::Accepted => VerdictStatus::Accepted,
            Fate::Rejected(_) => VerdictStatus::Rejected,
            Fate::Retry(_) => VerdictStatus::Retry,
        });
    }

    pub fn count_status(&mut self, status: VerdictStatus) {
        match status {
            VerdictStatus::Accepted => self.accepted += 1,
            VerdictStatus::Rejected => self.rejected += 1,
            VerdictStatus::Retry => self.retry += 1,
        }
    }

    /// The status for these counts; `causes` are those of the events to send again.
    pub fn answer(&self, causes: impl Iterator<Item = Unacknowledged> + Clone) -> Answer {
        if self.accepted > 0 || self.retry + self.rejected == 0 {
            return Answer::Ok;
        }
        if causes.clone().any(|cause| cause == Unacknowledged::Unavailable) {
            return Answer::Unavailable;
        }
        match causes.map(Unacknowledged::retry_after).max() {
            Some(retry_after) => Answer::TooMany { retry_after },
            None => Answer::Rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVER_RATE: Unacknowledged = Unacknowledged::OverRate { retry_after: Duration::from_millis(2500) };
    const QUEUE_FULL: Unacknowledged = Unacknowledged::QueueFull { retry_after: Duration::from_secs(1) };

    fn rejected() -> Fate {
        Fate::Rejected(FieldError::new("/time", "is missing", "add when it happened, as RFC 3339"))
    }

    #[test]
    fn the_status_sums_the_verdicts_up() {
        let unavailable = || Fate::Retry(Unacknowledged::Unavailable);
        let check = |fates: &[Fate], expected: Answer| {
            let mut summary = VerdictCounts::default();
            fates.iter().for_each(|fate| summary.count(fate));
            let causes = fates.iter().filter_map(|fate| match fate {
                Fate::Retry(cause) => Some(*cause),
                _ => None,
            });
            assert_eq!(summary.answer(causes), expected, "{fates:?}");
        };
        check(&[], Answer::Ok);
        check(&[Fate::Accepted], Answer::Ok);
        check(&[Fate::Accepted, rejected(), unavailable(), Fate::Retry(QUEUE_FULL)], Answer::Ok);
        check(&[rejected(), rejected()], Answer::Rejected);
        check(&[rejected(), unavailable()], Answer::Unavailable);
        check(&[Fate::Retry(OVER_RATE), unavailable()], Answer::Unavailable);
        check(&[Fate::Retry(QUEUE_FULL), rejected()], Answer::TooMany { retry_after: Duration::from_secs(1) });
        check(
            &[Fate::Retry(QUEUE_FULL), Fate::Retry(OVER_RATE)],
            Answer::TooMany { retry_after: Duration::from_millis(2500) },
        );
    }

    #[test]
    fn waits_are_whole_seconds_and_never_zero() {
        for (milliseconds, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2500, 3)] {
            assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), seconds);
        }
    }

    #[test]
    fn what_the_log_cannot_take_is_rejected_and_what_it_did_not_say_is_sent_again() {
        assert!(matches!(AppendError::TooLarge { size: 2, limit: 1 }.into(), Fate::Rejected(_)));
        assert_eq!(Fate::from(AppendError::Unavailable("away".into())), Fate::Retry(Unacknowledged::Unavailable));
        assert!(matches!(AppendError::QueueFull.into(), Fate::Retry(Unacknowledged::QueueFull { .. })));
    }

    #[test]
    fn the_document_is_the_golden_one() {
        let fates = [Fate::Accepted, rejected(), Fate::Retry(OVER_RATE)];
        let mut summary = VerdictCounts::default();
        let events = fates.into_iter().enumerate().map(|(index, fate)| {
            summary.count(&fate);
            EventVerdict::new(index, Some(format!("evt-{index}")), Some("/api".into()), fate)
        });
        let events = events.collect();
        let response = IngestResponse { summary, events };
        let golden = include_str!("../../../schemas/golden/ingest-response/mixed.v1.json");
        assert_eq!(serde_json::to_string_pretty(&response).expect("serialises"), golden.trim_end());
        assert_eq!(serde_json::from_str::<IngestResponse>(golden).expect("reads"), response);
    }
}
