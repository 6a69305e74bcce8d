//! The log on Apache Kafka: for production, and for producers that do not speak HTTP.
//!
//! - [`producer`] appends idempotently with `acks=all`.
//! - [`consumer`] is a group member with manual offsets and cooperative rebalancing; [`poll`] is its thread, [`rebalance`]
//!   what it hears of the group.
//! - [`topics`] creates topics, looks at their set-up, and reads offsets.
//!
//! librdkafka's calls block; each runs on a blocking thread, never on the runtime's own.

mod consumer;
mod poll;
mod producer;
mod rebalance;
mod records;
mod topics;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use self::consumer::KafkaConsumer;
use self::producer::KafkaProducer;
use super::{AppendError, Clock, Consumer, Log, LogError, LogRecord, NewRecord, Position, TopicSpec};

/// How long a question to the brokers (metadata, offsets) may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct KafkaLogOptions {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The broker stamps records (production). Otherwise the given clock does (a test clock or a demo), and then topics
    /// keep their records for ever, because the broker judges retention by its own clock.
    pub log_append_time: bool,
    /// Of topics that are created here. 3 in production.
    pub replication_factor: u32,
    /// Of topics that are created here. 2 in production.
    pub min_insync_replicas: u32,
    /// Leads the names of topics and groups, so that several installations can share brokers.
    pub topic_prefix: String,
    /// Further librdkafka properties of every client (security, tuning). They go over the ones set here, save those on
    /// which durability rests.
    pub properties: Vec<(String, String)>,
    /// Most records that wait to be acknowledged; beyond them append answers [`AppendError::QueueFull`].
    pub queue_records: u32,
    /// Most bytes that wait to be acknowledged.
    pub queue_bytes: usize,
    /// Most bytes that a consumer holds ready, beside librdkafka's own buffer.
    pub prefetch_bytes: usize,
    /// A consumer that is silent for this long loses its partitions. Brokers take 6 s to 30 min by default.
    pub session_timeout: Duration,
}

impl KafkaLogOptions {
    pub fn new(brokers: impl Into<String>) -> Self {
        KafkaLogOptions {
            brokers: brokers.into(),
            log_append_time: true,
            replication_factor: 3,
            min_insync_replicas: 2,
            topic_prefix: String::new(),
            properties: Vec::new(),
            queue_records: 200_000,
            queue_bytes: 64 << 20,
            prefetch_bytes: 32 << 20,
            session_timeout: Duration::from_secs(10),
        }
    }

    /// A client with `required` set over whatever the configuration says.
    fn client(&self, defaults: &[(&str, String)], required: &[(&str, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "talea");
        for (key, value) in defaults {
            config.set(*key, value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        for (key, value) in required {
            config.set(*key, value);
        }
        config
    }
}

pub struct KafkaLog {
    options: KafkaLogOptions,
    producer: KafkaProducer,
    /// Clients that answer questions, one without a group (the empty name) and one for each group that was asked about.
    inspectors: Mutex<HashMap<String, Arc<BaseConsumer>>>,
}

impl KafkaLog {
    /// Makes the clients; brokers are reached when they are first needed. `clock` stamps records unless the broker does.
    pub fn connect(options: KafkaLogOptions, clock: Clock) -> Result<Self, LogError> {
        let producer = KafkaProducer::new(&options, clock).map_err(unavailable)?;
        Ok(KafkaLog { options, producer, inspectors: Mutex::default() })
    }

    /// The name of a topic or group on the brokers.
    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.options.topic_prefix)
    }

    fn inspector(&self, group: &str) -> Result<Arc<BaseConsumer>, LogError> {
        let mut inspectors = self.inspectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inspector) = inspectors.get(group) {
            return Ok(inspector.clone());
        }
        let inspector = Arc::new(topics::inspector(&self.options, group).map_err(unavailable)?);
        inspectors.insert(group.to_owned(), inspector.clone());
        Ok(inspector)
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<u32, LogError> {
        let spec = &TopicSpec { name: self.named(&spec.name), ..spec.clone() };
        let inspector = self.inspector("")?;
        let existing = match topics::partition_count(inspector.clone(), &spec.name).await? {
            Some(existing) => existing,
            None => {
                topics::create(&self.options, spec).await?;
                topics::await_leaders(inspector, &spec.name).await?
            }
        };
        super::expect_partitions(&spec.name, existing, spec.partitions)?;
        Ok(existing)
    }

    async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        let topic = &self.named(topic);
        self.producer.append(topic, records).await
    }

    async fn subscribe(&self, group: &str, topic: &str) -> Result<Box<dyn Consumer>, LogError> {
        let group = &self.named(group);
        let topic = &self.named(topic);
        let inspector = self.inspector("")?;
        if topics::partition_count(inspector, topic).await?.is_none() {
            return Err(topics::missing(topic));
        }
        Ok(Box::new(KafkaConsumer::start(&self.options, group, topic)?))
    }

    async fn read(&self, topic: &str, partition: u32, from: u64, limit: usize) -> Result<Vec<LogRecord>, LogError> {
        let topic = &self.named(topic);
        let reader = topics::inspector(&self.options, "").map_err(unavailable)?;
        records::read(reader, topic.clone(), partition, from, limit).await
    }

    async fn end_offsets(&self, topic: &str) -> Result<Vec<u64>, LogError> {
        let topic = &self.named(topic);
        topics::end_offsets(self.inspector("")?, topic).await
    }

    async fn committed(&self, group: &str, topic: &str) -> Result<Vec<u64>, LogError> {
        let group = &self.named(group);
        let topic = &self.named(topic);
        topics::committed(self.inspector(group)?, topic).await
    }

    async fn warnings(&self, topic: &str) -> Vec<String> {
        let topic = &self.named(topic);
        let outcome = match self.inspector("") {
            Ok(inspector) => topics::warnings(&self.options, inspector, topic).await,
            Err(error) => Err(error),
        };
        outcome.unwrap_or_else(|error| vec![format!("the set-up of topic {topic} could not be checked: {error}")])
    }
}

/// Runs librdkafka work that blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(unavailable),
        Err(panic) => Err(LogError::Unavailable(panic.to_string())),
    }
}

fn unavailable(error: KafkaError) -> LogError {
    LogError::Unavailable(error.to_string())
}
