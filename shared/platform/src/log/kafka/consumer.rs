//! A member of a Kafka consumer group: one thread polls librdkafka and fills an inbox, the caller empties it.
//!
//! librdkafka's client leaves the group when it is dropped, also without [`Consumer::close`].

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::poll::{GroupConsumer, Poller};
use super::producer::MAX_MESSAGE_BYTES;
use super::rebalance::GroupContext;
use super::{KafkaLogOptions, blocking, unavailable};
use crate::log::inbox::Inbox;
use crate::log::{Consumer, Delivery, LogError};

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
