//! The one clock. Every `now` of Talea comes from here, so that a demo, a test or an auditor can watch a month pass.

use chrono::{DateTime, Duration, Utc};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Notify;

/// Cheap to clone; all clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Test(Arc<Test>),
}

#[derive(Debug)]
struct Test {
    micros: AtomicI64,
    advanced: Notify,
}

/// A test clock only goes forward.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AdvanceError {
    #[error("this server runs on the system clock; start it with --clock FROM to advance time by hand")]
    NotATestClock,
    #[error("the clock stands at {now} and only goes forward; ask for a later time")]
    Backward { now: DateTime<Utc> },
}

impl Clock {
    pub fn system() -> Self {
        Self(Kind::System)
    }

    pub fn test(start: DateTime<Utc>) -> Self {
        Self(Kind::Test(Arc::new(Test { micros: AtomicI64::new(start.timestamp_micros()), advanced: Notify::new() })))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Kind::System => Utc::now(),
            Kind::Test(test) => {
                DateTime::from_timestamp_micros(test.micros.load(Ordering::Acquire)).unwrap_or(DateTime::<Utc>::MAX_UTC)
            }
        }
    }

    pub fn is_test(&self) -> bool {
        matches!(self.0, Kind::Test(_))
    }

    /// Moves a test clock forward to `to` and wakes whoever waits in [`Clock::advanced`].
    pub fn advance(&self, to: DateTime<Utc>) -> Result<(), AdvanceError> {
        let Kind::Test(test) = &self.0 else { return Err(AdvanceError::NotATestClock) };
        let before = test.micros.fetch_max(to.timestamp_micros(), Ordering::AcqRel);
        test.advanced.notify_waiters();
        if before > to.timestamp_micros() {
            return Err(AdvanceError::Backward { now: self.now() });
        }
        Ok(())
    }

    /// Resolves when a test clock was advanced; never on the system clock.
    pub async fn advanced(&self) {
        match &self.0 {
            Kind::System => std::future::pending().await,
            Kind::Test(test) => test.advanced.notified().await,
        }
    }

    /// For collaborators that only want to ask the time.
    pub fn as_fn(&self) -> Arc<dyn Fn() -> DateTime<Utc> + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

/// Whole seconds as a chrono duration; settings are bounded far below the range of `i64`.
pub fn seconds(count: u64) -> Duration {
    Duration::seconds(i64::try_from(count).unwrap_or(i64::MAX / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_clock_only_goes_forward() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("in range");
        let clock = Clock::test(start);
        let other = clock.clone();
        assert!(clock.advance(start + Duration::days(1)).is_ok());
        assert_eq!(other.now(), start + Duration::days(1));
        assert_eq!(clock.advance(start), Err(AdvanceError::Backward { now: start + Duration::days(1) }));
        assert_eq!(Clock::system().advance(start), Err(AdvanceError::NotATestClock));
    }
}
