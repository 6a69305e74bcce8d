//! A member of a Kafka consumer group: one thread polls librdkafka and fills an inbox, the caller empties it.
//!
//! Everything that librdkafka says comes out of `poll` in order, rebalances (as callbacks) among the records. The thread
//! keeps that order: what was gathered before a rebalance goes in under the old epoch, and the inbox drops it when the
//! partition is no longer owned. librdkafka's client leaves the group when it is dropped, also without [`Consumer::close`].

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::producer::MAX_MESSAGE_BYTES;
use super::rebalance::GroupContext;
use super::records::log_record;
use super::{KafkaLogOptions, REQUEST_TIMEOUT, blocking, unavailable};
use crate::log::inbox::Inbox;
use crate::log::{Consumer, Delivery, LogError, LogRecord};

type GroupConsumer = BaseConsumer<GroupContext>;

/// How long one poll waits for a first record; also how fast the thread sees that it should end.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// Most records gathered before they are handed over.
const GATHER_RECORDS: usize = 5_000;
/// A commit that meets a rebalance is tried again this often, for as long as the partition is still owned.
const COMMIT_ATTEMPTS: u32 = 20;
const COMMIT_RETRY_AFTER: Duration = Duration::from_millis(100);

pub(super) struct KafkaConsumer {
    topic: String,
    inbox: Arc<Inbox>,
    /// The thread owns the client, so that its blocking end is never on the runtime.
    client: Weak<GroupConsumer>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaConsumer {
    pub fn start(options: &KafkaLogOptions, group: &str, topic: &str) -> Result<Self, LogError> {
        let inbox = Arc::new(Inbox::default());
        let context = GroupContext::new(inbox.clone());
        let client: GroupConsumer =
            consumer_config(options, group).create_with_context(context).map_err(unavailable)?;
        client.subscribe(&[topic]).map_err(unavailable)?;
        let client = Arc::new(client);
        let weak = Arc::downgrade(&client);
        let poller = Poller {
            client,
            topic: topic.to_owned(),
            inbox: inbox.clone(),
            prefetch_bytes: options.prefetch_bytes,
            paused: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name(format!("log {group}")).spawn(move || poller.run());
        let thread = thread.map_err(|error| LogError::Unavailable(format!("no thread for a consumer: {error}")))?;
        Ok(KafkaConsumer { topic: topic.to_owned(), inbox, client: weak, thread: Some(thread) })
    }
}

fn consumer_config(options: &KafkaLogOptions, group: &str) -> rdkafka::ClientConfig {
    let session = options.session_timeout.as_millis();
    let defaults = [
        ("session.timeout.ms", session.to_string()),
        ("heartbeat.interval.ms", (session / 4).max(1).to_string()),
        ("fetch.message.max.bytes", MAX_MESSAGE_BYTES.to_string()),
        ("queued.max.messages.kbytes", "32768".to_owned()),
    ];
    let required = [
        ("group.id", group.to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("auto.offset.reset", "earliest".to_owned()),
        ("allow.auto.create.topics", "false".to_owned()),
        ("partition.assignment.strategy", "cooperative-sticky".to_owned()),
    ];
    options.client(&defaults, &required)
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        self.inbox.next().await
    }

    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), LogError> {
        let lost = || LogError::Lost { topic: self.topic.clone(), partition };
        let epoch = self.inbox.epoch(partition).ok_or_else(lost)?;
        let client = self.client.upgrade().ok_or_else(lost)?;
        let (topic, inbox) = (self.topic.clone(), self.inbox.clone());
        let stored = blocking(move || {
            let owned = || inbox.epoch(partition) == Some(epoch);
            commit_while_owned(&client, &topic, partition, next_offset, owned)
        });
        if stored.await? { Ok(()) } else { Err(lost()) }
    }

    fn pause(&mut self, partition: u32) {
        self.inbox.set_paused(partition, true);
    }

    fn resume(&mut self, partition: u32) {
        self.inbox.set_paused(partition, false);
    }

    async fn close(mut self: Box<Self>) {
        self.inbox.close();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has left nothing to wait for.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Answers false when the partition is not this member's (any more).
fn commit_while_owned(
    client: &GroupConsumer,
    topic: &str,
    partition: u32,
    next_offset: u64,
    owned: impl Fn() -> bool,
) -> Result<bool, KafkaError> {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition.cast_signed(), Offset::Offset(next_offset.cast_signed()))?;
    for attempt in 1.. {
        // A revocation waits for this lock: no commit of ours can follow it under the next generation.
        let committing = client.context().committing();
        if !owned() {
            return Ok(false);
        }
        let outcome = client.commit(&offsets, CommitMode::Sync);
        drop(committing);
        match outcome.as_ref().map_err(|error| error.rdkafka_error_code()) {
            Ok(()) => return Ok(true),
            Err(Some(
                RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::FencedInstanceId
                | RDKafkaErrorCode::AssignmentLost,
            )) => return Ok(false),
            Err(Some(RDKafkaErrorCode::RebalanceInProgress)) if attempt < COMMIT_ATTEMPTS => {
                std::thread::sleep(COMMIT_RETRY_AFTER);
            }
            Err(_) => return outcome.map(|()| true),
        }
    }
    Ok(false)
}

/// The thread that polls.
struct Poller {
    client: Arc<GroupConsumer>,
    topic: String,
    inbox: Arc<Inbox>,
    prefetch_bytes: usize,
    /// Partitions that librdkafka does not fetch at the moment, with their epochs.
    paused: BTreeMap<u32, i64>,
}

type Gathered = BTreeMap<u32, (i64, Vec<LogRecord>)>;

impl Poller {
    fn run(mut self) {
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
        Some(Offset::Offset(offset)) => offset,
        _ => 0,
    };
    Ok(u64::try_from(committed.max(earliest)).unwrap_or(0))
}
