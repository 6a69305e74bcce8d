//! The loop that every background task runs in. A worker takes no input: it is woken by a timer or a signal, reads the
//! state, does what is due, and can be killed anywhere and run again.

use crate::clock::Clock;
use crate::health::{Health, Pulse};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What a pass found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There may be more: run again at once.
    Again,
    /// Nothing more is due: wait for the timer or a signal.
    Idle,
}

/// The longest pause between two tries of a failing worker.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// A pass that takes longer than this is reported as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);

type Pass = Box<dyn FnMut() -> BoxFuture<'static, anyhow::Result<Outcome>> + Send>;

pub struct Worker {
    name: &'static str,
    interval: Duration,
    wake: Arc<Notify>,
    pass: Pass,
}

impl Worker {
    /// `pass` is one idempotent pass; `interval` the longest pause between two.
    pub fn new<F, Fut>(name: &'static str, interval: Duration, mut pass: F) -> Self
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<Outcome>> + Send + 'static,
    {
        Self { name, interval, wake: Arc::new(Notify::new()), pass: Box::new(move || Box::pin(pass())) }
    }

    /// Uses this signal, so that others can wake the worker.
    pub fn woken_by(mut self, wake: Arc<Notify>) -> Self {
        self.wake = wake;
        self
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How long nothing may be heard of it: it beats once a pass, and one that rests for long is not stuck.
    fn patience(&self) -> Duration {
        self.interval + STUCK_AFTER
    }

    /// Runs until `stop`; a pass that has begun is finished first.
    pub async fn run(mut self, clock: Clock, health: Health, stop: CancellationToken) {
        let pulse = Pulse::default();
        health.add(self.name, pulse.check(self.patience()));
        let mut backoff = Duration::from_millis(100);
        while !stop.is_cancelled() {
            let pause = match (self.pass)().await {
                Ok(Outcome::Again) => {
                    pulse.beat();
                    continue;
                }
                Ok(Outcome::Idle) => {
                    pulse.beat();
                    backoff = Duration::from_millis(100);
                    self.interval
                }
                Err(error) => {
                    tracing::warn!(worker.name = self.name, error = format!("{error:#}"), "worker.failed");
                    metrics::counter!("talea_worker_failures_total", "worker" => self.name).increment(1);
                    pulse.trouble(format!("{error:#}"));
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    backoff
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = clock.advanced() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_worker_that_rests_for_an_hour_is_not_called_stuck_before_it_is_due_again() {
        let worker = Worker::new("test", Duration::from_secs(3600), || async { Ok(Outcome::Idle) });
        assert!(worker.patience() > Duration::from_secs(3600));
    }

    #[tokio::test]
    async fn a_failing_pass_is_tried_again_and_shown() {
        let passes = Arc::new(AtomicU32::new(0));
        let (health, stop) = (Health::default(), CancellationToken::new());
        let counted = passes.clone();
        let worker = Worker::new("test", Duration::from_secs(3600), move || {
            let pass = counted.fetch_add(1, Ordering::SeqCst);
            async move { if pass == 0 { anyhow::bail!("engine away") } else { Ok(Outcome::Idle) } }
        });
        let task = tokio::spawn(worker.run(Clock::system(), health.clone(), stop.clone()));
        while passes.load(Ordering::SeqCst) < 2 || health.ask()[0].1.is_err() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        task.await.expect("ends");
    }
}
