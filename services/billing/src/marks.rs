//! How far metering is. A period may close when metering has consumed every partition past the offsets that stood in the
//! log at or after the end of its grace: a lag delays an invoice, it never shortens one.
//!
//! A mark is what stood in the log at an instant. Marks are kept in memory: after a restart the first mark is taken anew,
//! which only delays.

use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use talea_platform::log::{Log, LogError, topic};
use talea_platform::runtime::Platform;
use talea_platform::usage::billing::Cut;

/// The consumer group of metering: what it has committed is in the store.
const METERING_GROUP: &str = "talea-metering";
/// Marks that wait at once. One is enough to go on; more let a period close sooner while metering is behind.
const MAX_MARKS: usize = 256;
/// How often the committed offsets are asked for while a caller waits.
const POLL: Duration = Duration::from_millis(25);

#[derive(Default)]
pub struct Marks(Mutex<State>);

#[derive(Default)]
struct State {
    /// Oldest first; instants and offsets never fall.
    waiting: VecDeque<Mark>,
    reached: Option<DateTime<Utc>>,
}

struct Mark {
    at: DateTime<Utc>,
    offsets: Vec<u64>,
}

/// How far metering was when it was asked.
#[derive(Debug, Clone)]
pub struct Consumed {
    /// Everything that stood in the log at this instant is in the store.
    pub reached: Option<DateTime<Utc>>,
    /// What metering had committed: everything below is in the store.
    pub cut: Cut,
}

impl Consumed {
    /// Whether everything that the log held at `instant` is in the store.
    pub fn covers(&self, instant: DateTime<Utc>) -> bool {
        self.reached.is_some_and(|reached| instant <= reached)
    }
}

/// The marks for people.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MarksView {
    /// Everything that stood in the log then has been metered.
    pub reached: Option<DateTime<Utc>>,
    /// The oldest mark that metering has not reached.
    pub oldest_waiting: Option<DateTime<Utc>>,
    pub waiting: usize,
}

impl Marks {
    /// Takes a mark and says how far metering is.
    pub async fn observe(&self, platform: &Platform) -> Result<Consumed, LogError> {
        // The clock is read before the log, so that the offsets stood there at that instant or later.
        let at = platform.clock.now();
        let offsets = platform.log.end_offsets(topic::USAGE).await?;
        self.state().add(Mark { at, offsets });
        self.refresh(platform.log.as_ref()).await
    }

    /// Takes a mark and waits until metering has reached it, at most for `patience`.
    pub async fn wait(&self, platform: &Platform, patience: Duration) -> Result<Consumed, LogError> {
        let (started, asked) = (platform.clock.now(), Instant::now());
        let mut consumed = self.observe(platform).await?;
        while !consumed.covers(started) && asked.elapsed() < patience {
            tokio::time::sleep(POLL).await;
            consumed = self.refresh(platform.log.as_ref()).await?;
        }
        Ok(consumed)
    }

    pub fn view(&self) -> MarksView {
        let state = self.state();
        MarksView {
            reached: state.reached,
            oldest_waiting: state.waiting.front().map(|mark| mark.at),
            waiting: state.waiting.len(),
        }
    }

    async fn refresh(&self, log: &dyn Log) -> Result<Consumed, LogError> {
        let committed = log.committed(METERING_GROUP, topic::USAGE).await?;
        let reached = self.state().reach(&committed);
        Ok(Consumed { reached, cut: Cut(committed) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, mark: Mark) {
        let full = self.waiting.len() >= MAX_MARKS;
        match self.waiting.back_mut() {
            // The same offsets at a later instant: one mark says both.
            Some(last) if last.offsets == mark.offsets => last.at = last.at.max(mark.at),
            // When it is full, the waiting ones are reached first anyway.
            _ if !full => self.waiting.push_back(mark),
            _ => {}
        }
    }

    fn reach(&mut self, committed: &[u64]) -> Option<DateTime<Utc>> {
        while let Some(mark) = self.waiting.pop_front_if(|mark| mark.is_reached(committed)) {
            self.reached = self.reached.max(Some(mark.at));
        }
        self.reached
    }
}

impl Mark {
    fn is_reached(&self, committed: &[u64]) -> bool {
        let done = |partition: usize| committed.get(partition).copied().unwrap_or(0);
        self.offsets.iter().enumerate().all(|(partition, end)| *end <= done(partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("in range")
    }

    #[test]
    fn a_mark_is_reached_when_every_partition_is() {
        let mut state = State::default();
        state.add(Mark { at: at(1), offsets: vec![5, 0] });
        state.add(Mark { at: at(2), offsets: vec![5, 3] });
        assert_eq!(state.reach(&[4, 9]), None);
        assert_eq!(state.reach(&[5, 0]), Some(at(1)));
        assert_eq!(state.reach(&[9, 2]), Some(at(1)));
        assert_eq!(state.reach(&[9]), Some(at(1)), "a partition that never committed is at 0");
        assert_eq!(state.reach(&[5, 3]), Some(at(2)));
    }

    #[test]
    fn an_idle_log_moves_its_mark_and_a_full_queue_keeps_the_oldest() {
        let mut state = State::default();
        state.add(Mark { at: at(1), offsets: vec![5] });
        state.add(Mark { at: at(8), offsets: vec![5] });
        assert_eq!((state.waiting.len(), state.reach(&[5])), (1, Some(at(8))));
        for offset in 0..MAX_MARKS as u64 + 10 {
            state.add(Mark { at: at(9), offsets: vec![10 + offset] });
        }
        assert_eq!((state.waiting.len(), state.waiting[0].offsets[0]), (MAX_MARKS, 10));
    }
}
