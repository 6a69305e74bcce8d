//! The thread that polls librdkafka for one group member.
//!
//! Everything that librdkafka says comes out of `poll` in order, rebalances (as callbacks) among the records. The thread
//! keeps that order: what was gathered before a rebalance goes in under the old epoch, and the inbox drops it when the
//! partition is no longer owned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::rebalance::GroupContext;
use super::records::log_record;
use super::{REQUEST_TIMEOUT, unavailable};
use crate::log::inbox::Inbox;
use crate::log::{LogRecord, report_unread_expired};

pub(super) type GroupConsumer = BaseConsumer<GroupContext>;

/// How long one poll waits for a first record; also how fast the thread sees that it should end.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// Most records gathered before they are handed over.
const GATHER_RECORDS: usize = 5_000;

/// The thread that polls.
pub(super) struct Poller {
    pub client: Arc<GroupConsumer>,
    pub topic: String,
    pub inbox: Arc<Inbox>,
    pub prefetch_bytes: usize,
    /// Partitions that librdkafka does not fetch at the moment, with their epochs.
    pub paused: BTreeMap<u32, i64>,
}

type Gathered = BTreeMap<u32, (i64, Vec<LogRecord>)>;

impl Poller {
    pub fn run(mut self) {
        while !self.inbox.is_closed() {
            self.inbox.wait_for_room(self.prefetch_bytes, POLL_WAIT);
            self.hold_back();
            if self.has_room() {
                self.gather();
            }
        }
    }

    /// Takes what librdkafka has, waiting only for the first record.
    fn gather(&self) {
        let mut gathered = Gathered::new();
        let (mut wait, mut count) = (POLL_WAIT, 0);
        while count < GATHER_RECORDS {
            let before = self.client.context().rebalances();
            let polled = self.client.poll(wait);
            if self.client.context().rebalances() != before {
                self.hand_over(&mut gathered);
                self.announce_assignments();
            }
            match polled {
                Some(Ok(message)) => self.add(&mut gathered, &message),
                Some(Err(error)) => self.report(error),
                None => break,
            }
            (wait, count) = (Duration::ZERO, count + 1);
        }
        self.hand_over(&mut gathered);
    }

    fn add(&self, gathered: &mut Gathered, message: &BorrowedMessage<'_>) {
        let Some(record) = log_record(message) else { return };
        if let Some((_, records)) = gathered.get_mut(&record.partition) {
            records.push(record);
        } else if let Some(epoch) = self.inbox.epoch(record.partition) {
            gathered.insert(record.partition, (epoch, vec![record]));
        }
    }

    fn hand_over(&self, gathered: &mut Gathered) {
        for (partition, (epoch, records)) in std::mem::take(gathered) {
            self.inbox.push(partition, epoch, records);
        }
    }

    /// Puts new partitions into the inbox with the offset they go on from. Until the brokers tell it nothing is polled:
    /// a record that came before its assignment would be lost.
    fn announce_assignments(&self) {
        let assigned = self.client.context().take_assigned();
        for (partition, epoch) in assigned {
            while !self.inbox.is_closed() {
                match next_offset(&self.client, &self.topic, partition) {
                    Ok(next) => {
                        self.inbox.assign(partition, epoch, next);
                        break;
                    }
                    Err(error) => {
                        self.report(error);
                        std::thread::sleep(POLL_WAIT);
                    }
                }
            }
        }
    }

    /// A partition that the reader paused is fetched until it holds its share; only then librdkafka is told, because a
    /// pause there throws away what it fetched, and pauses between two batches are short.
    fn hold_back(&mut self) {
        let slots = self.inbox.slots();
        self.paused.retain(|partition, epoch| self.inbox.epoch(*partition) == Some(*epoch));
        let share = self.prefetch_bytes / slots.len().max(1);
        for slot in slots {
            let mut one = TopicPartitionList::new();
            one.add_partition(&self.topic, slot.partition.cast_signed());
            let held_back = self.paused.contains_key(&slot.partition);
            if slot.paused && slot.bytes >= share && !held_back && self.client.pause(&one).is_ok() {
                self.paused.insert(slot.partition, slot.epoch);
            } else if !slot.paused && held_back && self.client.resume(&one).is_ok() {
                self.paused.remove(&slot.partition);
            }
        }
    }

    fn has_room(&self) -> bool {
        let held: usize = self.inbox.slots().iter().filter(|slot| !slot.paused).map(|slot| slot.bytes).sum();
        held < self.prefetch_bytes
    }

    /// librdkafka retries by itself; the reader hears of what a retry does not mend.
    fn report(&self, error: KafkaError) {
        tracing::warn!(log.topic = %self.topic, %error, "polling the log");
        let passing = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::PollExceeded)
        );
        if !passing {
            self.inbox.fail(unavailable(error));
        }
    }
}

/// The committed offset, or the earliest where nothing was committed or what was committed is gone.
fn next_offset(client: &GroupConsumer, topic: &str, partition: u32) -> Result<u64, KafkaError> {
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, partition.cast_signed());
    let committed = client.committed_offsets(wanted, REQUEST_TIMEOUT)?;
    let (earliest, _) = client.fetch_watermarks(topic, partition.cast_signed(), REQUEST_TIMEOUT)?;
    let committed = match committed.find_partition(topic, partition.cast_signed()).map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => {
            if let (Ok(from), Ok(to)) = (u64::try_from(offset), u64::try_from(earliest))
                && from < to
            {
                report_unread_expired(topic, partition, from, to);
            }
            offset
        }
        _ => 0,
    };
    Ok(u64::try_from(committed.max(earliest)).unwrap_or(0))
}
