//! The log: the durable, ordered, partitioned record of what was said to Talea.
//!
//! Two real implementations stand behind one trait: [`kafka`] for production and [`postgres`] for one machine. Both pass
//! the same conformance suite (`tests/log`), so a role never knows which one it runs on.

mod inbox;
pub mod kafka;
pub mod partitioner;
pub mod postgres;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

/// The topics of Talea. Names are `talea.<what>.v<version>`.
pub mod topic {
    /// Usage events, as CloudEvents.
    pub const USAGE: &str = "talea.usage.v1";
    /// Live partial totals from metering to quota.
    pub const TOTALS: &str = "talea.totals.v1";
    /// Quota signals for provisioning and for the customer's own consumers.
    pub const QUOTA: &str = "talea.quota.v1";
    /// Lifecycle of tenants.
    pub const TENANTS: &str = "talea.tenants.v1";
    /// What becomes of invoices: payments, notes, dunning.
    pub const BILLING: &str = "talea.billing.v1";
}

/// The largest record (key, value and headers) in bytes, on every log: what one accepts the other accepts too.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Where append times come from when the log does not stamp them itself.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Header that ingest sets to `1` for events of a backfill, which may be older than the window.
pub const BACKFILL_HEADER: &str = "talea-backfill";

/// What a producer hands to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Records with equal keys meet in one partition (murmur2 of the key, as Java's default partitioner does).
    pub key: Bytes,
    pub value: Bytes,
    pub headers: Vec<(String, Bytes)>,
}

/// A record as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub partition: u32,
    pub offset: u64,
    /// When the log took it. Every window is judged against this, never against the reader's clock.
    pub appended_at: DateTime<Utc>,
    pub key: Bytes,
    pub value: Bytes,
    pub headers: Vec<(String, Bytes)>,
}

/// Where an acknowledged record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub partition: u32,
    pub offset: u64,
}

/// Why a record was not acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The record can never be taken (larger than the log allows). Do not send it again.
    #[error("the record has {size} bytes, the log takes at most {limit}")]
    TooLarge { size: usize, limit: usize },
    /// Not acknowledged; whether it was written is unknown. Safe to send again.
    #[error("the log did not acknowledge: {0}")]
    Unavailable(String),
    /// The bounded queue to the log is full. Nothing was written. Send again later.
    #[error("the queue to the log is full")]
    QueueFull,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// The consumer no longer owns this partition: whatever it did for it must not be committed.
    #[error("partition {partition} of {topic} was taken by another consumer")]
    Lost { topic: String, partition: u32 },
    #[error("topic {topic}: {problem}")]
    Topic { topic: String, problem: String },
}

/// A topic as it should exist.
#[derive(Debug, Clone)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: u32,
    /// Records older than this may be dropped.
    pub retention: std::time::Duration,
}

/// What a consumer hears, in order.
#[derive(Debug)]
pub enum Delivery {
    /// The consumer now owns this partition and will read from `next_offset` (the committed one, or the earliest).
    Assigned { partition: u32, next_offset: u64 },
    /// The consumer no longer owns it. Commits for it are refused from now on.
    Revoked { partition: u32 },
    /// Records of one partition in offset order, never empty.
    Records { partition: u32, records: Vec<LogRecord> },
}

#[async_trait]
pub trait Log: Send + Sync {
    /// Creates the topic when it is missing and answers its partition count. A topic that exists with another count is an
    /// error: partitions never change silently.
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<u32, LogError>;

    /// Appends and waits until each record is durable. One answer per record, in order. Retries inside never write a
    /// record twice (idempotent producer).
    async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>>;

    /// Joins a consumer group. A partition belongs to one member at a time; a new group starts at the earliest record.
    async fn subscribe(&self, group: &str, topic: &str) -> Result<Box<dyn Consumer>, LogError>;

    /// Reads one partition from an offset without a group: for look-ups, replays and tools. At most `limit` records.
    async fn read(&self, topic: &str, partition: u32, from: u64, limit: usize) -> Result<Vec<LogRecord>, LogError>;

    /// Per partition, the offset that the next record will get.
    async fn end_offsets(&self, topic: &str) -> Result<Vec<u64>, LogError>;

    /// Per partition, the offset the group will read next (0 where it never committed).
    async fn committed(&self, group: &str, topic: &str) -> Result<Vec<u64>, LogError>;

    /// For the log: warnings about an unsafe set-up (replication below 3, `min.insync.replicas` below 2).
    async fn warnings(&self, topic: &str) -> Vec<String>;
}

#[async_trait]
pub trait Consumer: Send {
    /// The next thing that happened; waits until there is one. Cancel-safe.
    async fn next(&mut self) -> Result<Delivery, LogError>;

    /// Everything of `partition` below `next_offset` is done. Durable when this returns.
    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), LogError>;

    /// Stops reading a partition until `resume` (its worker is busy). Never gives the partition away.
    fn pause(&mut self, partition: u32);
    fn resume(&mut self, partition: u32);

    /// Leaves the group at once, so that others need not wait for a timeout.
    async fn close(self: Box<Self>);
}

/// What counts towards [`MAX_RECORD_BYTES`].
fn record_size(record: &NewRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.len() + record.value.len() + headers
}

/// Says that retention dropped the records `from..to` before a group had read them: the reader goes on behind them, and they are
/// lost to it. An alert stands on it.
fn report_unread_expired(topic: &str, partition: u32, from: u64, to: u64) {
    tracing::error!(
        log.topic = topic,
        log.partition = partition,
        from,
        to,
        "retention dropped records that nobody had read"
    );
    metrics::counter!("talea_log_unread_expired_total", "topic" => topic.to_owned()).increment(to.saturating_sub(from));
}

fn expect_partitions(topic: &str, existing: u32, expected: u32) -> Result<(), LogError> {
    if existing == expected {
        return Ok(());
    }
    let problem = format!(
        "it has {existing} partitions and the configuration says {expected}: set the configuration to {existing}, \
         for keys would move between partitions"
    );
    Err(LogError::Topic { topic: topic.to_owned(), problem })
}
