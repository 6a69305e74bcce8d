//! What each role says of itself: `/readyz` asks every entry, so that a consumer that is stuck is not called ready.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of one process.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Vec<(String, Check)>>>);

impl Health {
    /// Adds a check: `Err` says in one sentence why the role is not ready.
    pub fn add(&self, name: impl Into<String>, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.into(), Box::new(check)));
    }

    /// Every check's answer, in the order in which they were added.
    pub fn ask(&self) -> Vec<(String, Result<(), String>)> {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().map(|(name, check)| (name.clone(), check())).collect()
    }
}

/// A sign of life with a limit: whoever does not beat within it is stuck.
#[derive(Clone)]
pub struct Pulse(Arc<Mutex<Beat>>);

struct Beat {
    last: Instant,
    trouble: Option<String>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Beat { last: Instant::now(), trouble: None })))
    }
}

impl Pulse {
    /// All is well now.
    pub fn beat(&self) {
        self.set(None);
    }

    /// Nothing is to be done, so that no progress is expected. Trouble stays until the next good beat.
    pub fn rest(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last = Instant::now();
    }

    /// Alive, but failing: the reason is shown until the next good beat.
    pub fn trouble(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, trouble: Option<String>) {
        let mut beat = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *beat = Beat { last: Instant::now(), trouble };
    }

    /// A check for [`Health::add`].
    pub fn check(&self, limit: Duration) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let pulse = self.clone();
        move || {
            let beat = pulse.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &beat.trouble {
                Some(reason) => Err(reason.clone()),
                None if beat.last.elapsed() > limit => {
                    Err(format!("no progress for {} s", beat.last.elapsed().as_secs()))
                }
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_keeps_trouble_and_a_beat_ends_it() {
        let pulse = Pulse::default();
        let check = pulse.check(Duration::from_secs(3600));
        pulse.trouble("away");
        pulse.rest();
        assert_eq!(check(), Err("away".to_owned()));
        pulse.beat();
        assert_eq!(check(), Ok(()));
    }

    #[test]
    fn who_rests_is_not_stuck() {
        let pulse = Pulse::default();
        let check = pulse.check(Duration::ZERO);
        while check().is_ok() {}
        assert!(check().is_err_and(|reason| reason.contains("no progress")));
        let patient = pulse.check(Duration::from_secs(3600));
        pulse.rest();
        assert_eq!(patient(), Ok(()));
    }
}
