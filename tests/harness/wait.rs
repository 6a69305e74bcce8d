//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine of two cores. Reaching it is a failure.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `check` answers a value; panics with `what` and the last look's words when the deadline is over.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match check().await {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > DEADLINE => panic!("{what}: not within {DEADLINE:?}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
