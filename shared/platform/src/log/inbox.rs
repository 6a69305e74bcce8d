//! What a consumer has fetched and not yet handed out: assignments and records, in an order that keeps the promise
//! "after Revoked, no record of that partition".
//!
//! Both logs fill it from the background and empty it through [`Inbox::next`]. Each owned partition has an epoch; records
//! that arrive with an older epoch were fetched before a rebalance and are dropped, for the next owner reads them again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Delivery, LogError, LogRecord};

/// Most records of one [`Delivery::Records`]: enough to amortise the hand-over, few enough to keep partitions fair.
const MAX_DELIVERY_RECORDS: usize = 5_000;

/// A part of the inbox that belongs to one owned partition.
#[derive(Default)]
struct Slot {
    epoch: i64,
    /// The offset after the last record that came in.
    fetch_from: u64,
    records: VecDeque<LogRecord>,
    bytes: usize,
    paused: bool,
}

#[derive(Default)]
struct State {
    events: VecDeque<Result<Delivery, LogError>>,
    slots: BTreeMap<u32, Slot>,
    /// The partition that was served last; the next one in order comes first.
    last_served: Option<u32>,
    closed: bool,
}

/// What a fetcher should know of one owned partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotView {
    pub partition: u32,
    pub epoch: i64,
    pub fetch_from: u64,
    pub bytes: usize,
    pub paused: bool,
}

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Something can be taken.
    arrived: Notify,
    /// Partitions were assigned or revoked.
    reassigned: Notify,
    /// Something was taken, paused or resumed.
    room: Notify,
    /// As both, for a fetcher that is a thread.
    changed: Condvar,
}

impl Inbox {
    /// The next event or records. Cancel-safe: nothing is taken before it is returned.
    pub async fn next(&self) -> Result<Delivery, LogError> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(delivery) = self.take() {
                return delivery;
            }
            arrived.await;
        }
    }

    pub fn assign(&self, partition: u32, epoch: i64, next_offset: u64) {
        let mut state = self.lock();
        state.slots.insert(partition, Slot { epoch, fetch_from: next_offset, ..Slot::default() });
        state.events.push_back(Ok(Delivery::Assigned { partition, next_offset }));
        self.announce_reassignment();
    }

    /// Forgets what was fetched of the partition. Nothing happens when it is not owned.
    pub fn revoke(&self, partition: u32) {
        let mut state = self.lock();
        if state.slots.remove(&partition).is_some() {
            state.events.push_back(Ok(Delivery::Revoked { partition }));
            drop(state);
            self.announce_reassignment();
        }
    }

    /// Takes in records of one partition, in offset order. Answers false when they belong to a past ownership.
    pub fn push(&self, partition: u32, epoch: i64, records: Vec<LogRecord>) -> bool {
        let mut state = self.lock();
        let Some(slot) = state.slots.get_mut(&partition).filter(|slot| slot.epoch == epoch) else {
            return false;
        };
        if let Some(last) = records.last() {
            slot.fetch_from = last.offset + 1;
            slot.bytes += records.iter().map(weight).sum::<usize>();
            slot.records.extend(records);
        }
        self.arrived.notify_one();
        true
    }

    /// Hands an error to the reader, unless one waits already.
    pub fn fail(&self, error: LogError) {
        let mut state = self.lock();
        if !state.events.iter().any(Result::is_err) {
            state.events.push_back(Err(error));
        }
        self.arrived.notify_one();
    }

    pub fn set_paused(&self, partition: u32, paused: bool) {
        if let Some(slot) = self.lock().slots.get_mut(&partition) {
            slot.paused = paused;
        }
        self.arrived.notify_one();
        self.announce_room();
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.announce_room();
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub fn epoch(&self, partition: u32) -> Option<i64> {
        self.lock().slots.get(&partition).map(|slot| slot.epoch)
    }

    pub fn slots(&self) -> Vec<SlotView> {
        let view = |(partition, slot): (&u32, &Slot)| SlotView {
            partition: *partition,
            epoch: slot.epoch,
            fetch_from: slot.fetch_from,
            bytes: slot.bytes,
            paused: slot.paused,
        };
        self.lock().slots.iter().map(view).collect()
    }

    /// Waits until partitions are assigned or revoked.
    pub async fn reassigned(&self) {
        self.reassigned.notified().await;
    }

    /// Waits until the reader takes, pauses or resumes something.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Blocks a fetching thread while partitions that are being read hold at least `limit` bytes, at most for `at_most`.
    pub fn wait_for_room(&self, limit: usize, at_most: Duration) {
        let full = |state: &mut State| {
            let held: usize = state.slots.values().filter(|slot| !slot.paused).map(|slot| slot.bytes).sum();
            !state.closed && held >= limit
        };
        let waited = self.changed.wait_timeout_while(self.lock(), at_most, full);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn take(&self) -> Option<Result<Delivery, LogError>> {
        let mut state = self.lock();
        if let Some(event) = state.events.pop_front() {
            return Some(event);
        }
        let ready = |(_, slot): &(&u32, &mut Slot)| !slot.paused && !slot.records.is_empty();
        let after = state.last_served.map_or(0, |partition| partition.saturating_add(1));
        let next = state.slots.range_mut(after..).find(ready).map(|(partition, _)| *partition);
        let partition = next.or_else(|| state.slots.iter_mut().find(ready).map(|(partition, _)| *partition))?;
        state.last_served = Some(partition);
        let slot = state.slots.get_mut(&partition)?;
        let count = slot.records.len().min(MAX_DELIVERY_RECORDS);
        let records: Vec<LogRecord> = slot.records.drain(..count).collect();
        slot.bytes -= records.iter().map(weight).sum::<usize>();
        drop(state);
        self.announce_room();
        Some(Ok(Delivery::Records { partition, records }))
    }

    fn announce_reassignment(&self) {
        self.arrived.notify_one();
        self.reassigned.notify_one();
        self.changed.notify_all();
    }

    fn announce_room(&self) {
        self.room.notify_one();
        self.changed.notify_all();
    }

    /// A panic while the lock is held leaves a state that is still whole: every change above is a single step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that a record holds in memory, roughly.
fn weight(record: &LogRecord) -> usize {
    const OVERHEAD: usize = 128;
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
    OVERHEAD + record.key.len() + record.value.len() + headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chrono::DateTime;

    fn record(partition: u32, offset: u64) -> LogRecord {
        let appended_at = DateTime::UNIX_EPOCH;
        LogRecord { partition, offset, appended_at, key: Bytes::new(), value: Bytes::new(), headers: Vec::new() }
    }

    #[test]
    fn nothing_of_a_revoked_partition_comes_out() {
        let inbox = Inbox::default();
        inbox.assign(1, 7, 0);
        assert!(inbox.push(1, 7, vec![record(1, 0)]));
        inbox.revoke(1);
        assert!(!inbox.push(1, 7, vec![record(1, 1)]), "a late fetch is dropped");
        assert!(matches!(inbox.take(), Some(Ok(Delivery::Assigned { partition: 1, .. }))));
        assert!(matches!(inbox.take(), Some(Ok(Delivery::Revoked { partition: 1 }))));
        assert!(inbox.take().is_none());
    }

    #[test]
    fn partitions_take_turns_and_a_paused_one_waits() {
        let inbox = Inbox::default();
        for partition in 0..3 {
            inbox.assign(partition, 1, 0);
            inbox.push(partition, 1, (0..6_000).map(|offset| record(partition, offset)).collect());
            inbox.take();
        }
        inbox.set_paused(1, true);
        let mut served = Vec::new();
        while let Some(Ok(Delivery::Records { partition, records })) = inbox.take() {
            served.push((partition, records.len()));
        }
        assert_eq!(served, [(0, 5_000), (2, 5_000), (0, 1_000), (2, 1_000)]);
        inbox.set_paused(1, false);
        assert!(matches!(inbox.take(), Some(Ok(Delivery::Records { partition: 1, .. }))));
        assert_eq!(inbox.slots()[0].bytes, 0);
    }
}
