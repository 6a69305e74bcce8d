//! The log on one machine: record batches as rows of Postgres, so that a newcomer needs no broker.
//!
//! - [`writer`] gathers appends; [`commit`] makes a group durable and assigns offsets under the partitions' row locks.
//! - [`consumer`] is a group member: [`membership`] and [`balance`] settle who owns what, [`fetch`] reads, and
//!   [`wakeups`] tells waiting readers by LISTEN/NOTIFY.
//! - [`encoding`] is the stored form of a batch. The tables are in `migrations/postgres/0002_log.sql`.
//!
//! Append times come from the clock that is given; leases run on the database's clock.

mod balance;
mod commit;
mod consumer;
mod encoding;
mod fetch;
mod membership;
mod wakeups;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use self::commit::Committer;
use self::consumer::PostgresConsumer;
use self::wakeups::Wakeups;
use self::writer::Writer;
use super::{AppendError, Clock, Consumer, Log, LogError, LogRecord, NewRecord, Position, TopicSpec};

/// How much of a partition [`Log::read`] asks for at once, in bytes before compression.
const READ_BYTES: usize = 4 << 20;

#[derive(Debug, Clone)]
pub struct PostgresLogOptions {
    /// A consumer that is silent for this long loses its partitions. At least a second outside tests.
    pub lease: Duration,
    /// How often a waiting reader looks although nothing woke it.
    pub poll_interval: Duration,
    /// Most bytes that a consumer holds ready.
    pub prefetch_bytes: usize,
    /// Most bytes that wait to be written; beyond them append answers [`AppendError::QueueFull`].
    pub queue_bytes: usize,
    /// Most appends that wait to be written.
    pub queue_requests: usize,
}

impl Default for PostgresLogOptions {
    fn default() -> Self {
        PostgresLogOptions {
            lease: Duration::from_secs(8),
            poll_interval: Duration::from_millis(500),
            prefetch_bytes: 32 << 20,
            queue_bytes: 64 << 20,
            queue_requests: 10_000,
        }
    }
}

pub struct PostgresLog {
    pool: PgPool,
    options: PostgresLogOptions,
    writer: Writer,
    wakeups: Arc<Wakeups>,
    clock: Clock,
    partitions: RwLock<HashMap<String, u32>>,
}

impl PostgresLog {
    /// Starts the writer and the listener. The pool's role needs the grants of `talea_app` or `talea_worker` in schema
    /// `log`. One further connection, outside the pool, listens.
    pub async fn connect(pool: PgPool, clock: Clock, options: PostgresLogOptions) -> Result<Self, LogError> {
        let committer = Committer::new(pool.clone());
        let producer = committer.register().await.map_err(unavailable)?;
        let (requests, bytes) = (options.queue_requests, options.queue_bytes);
        let writer = Writer::start(committer, producer, clock.clone(), requests, bytes);
        let wakeups = Wakeups::start(&pool);
        Ok(PostgresLog { pool, options, writer, wakeups, clock, partitions: RwLock::default() })
    }

    /// Drops the days of a topic that ended their retention, by the log's clock. Answers how many. The writer does the
    /// same whenever a new day begins.
    pub async fn drop_expired(&self, topic: &str) -> Result<u32, LogError> {
        let (pool, topic, now) = (self.pool.clone(), topic.to_owned(), (self.clock)());
        detached(async move { drop_expired(&pool, &topic, now).await }).await
    }

    async fn partition_count(&self, topic: &str) -> Result<u32, LogError> {
        let known = self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        if let Some(partitions) = known {
            return Ok(partitions);
        }
        let query = sqlx::query_scalar("SELECT partitions FROM log.topics WHERE topic = $1").bind(topic);
        let partitions: Option<i32> = query.fetch_optional(&self.pool).await.map_err(unavailable)?;
        let partitions = partitions.ok_or_else(|| LogError::Topic {
            topic: topic.to_owned(),
            problem: "it does not exist: create it with ensure_topic".to_owned(),
        })?;
        self.remember(topic, partitions.cast_unsigned());
        Ok(partitions.cast_unsigned())
    }

    fn remember(&self, topic: &str, partitions: u32) {
        self.partitions.write().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), partitions);
    }
}

#[async_trait]
impl Log for PostgresLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<u32, LogError> {
        let (pool, spec) = (self.pool.clone(), spec.clone());
        let (name, expected) = (spec.name.clone(), spec.partitions);
        let existing: i32 = detached(async move {
            let query = sqlx::query_scalar("SELECT log.ensure_topic($1, $2, $3)").bind(spec.name);
            let retention = i64::try_from(spec.retention.as_secs()).unwrap_or(i64::MAX);
            query.bind(spec.partitions.cast_signed()).bind(retention).fetch_one(&pool).await
        })
        .await?;
        let existing = existing.cast_unsigned();
        super::expect_partitions(&name, existing, expected)?;
        self.remember(&name, existing);
        Ok(existing)
    }

    async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        match self.partition_count(topic).await {
            Ok(partitions) => self.writer.append(topic, partitions, records).await,
            Err(error) => vec![Err(AppendError::Unavailable(error.to_string())); records.len()],
        }
    }

    async fn subscribe(&self, group: &str, topic: &str) -> Result<Box<dyn Consumer>, LogError> {
        self.partition_count(topic).await?;
        Ok(Box::new(PostgresConsumer::start(self, group, topic).await?))
    }

    async fn read(&self, topic: &str, partition: u32, from: u64, limit: usize) -> Result<Vec<LogRecord>, LogError> {
        let mut records: Vec<LogRecord> = Vec::new();
        while records.len() < limit {
            let next = records.last().map_or(from, |last| last.offset + 1);
            let Some((_, more)) = fetch::fetch(&self.pool, topic, &[(partition, next)], READ_BYTES).await?.pop() else {
                break;
            };
            records.extend(more);
        }
        records.truncate(limit);
        Ok(records)
    }

    async fn end_offsets(&self, topic: &str) -> Result<Vec<u64>, LogError> {
        let query = "SELECT next_offset FROM log.partitions WHERE topic = $1 ORDER BY partition";
        let offsets: Vec<i64> =
            sqlx::query_scalar(query).bind(topic).fetch_all(&self.pool).await.map_err(unavailable)?;
        Ok(offsets.into_iter().map(i64::cast_unsigned).collect())
    }

    async fn committed(&self, group: &str, topic: &str) -> Result<Vec<u64>, LogError> {
        let query = "
            SELECT coalesce(g.next_offset, 0) FROM log.partitions p
            LEFT JOIN log.group_partitions g ON g.topic = p.topic AND g.partition = p.partition AND g.group_name = $1
            WHERE p.topic = $2 ORDER BY p.partition";
        let query = sqlx::query_scalar(query).bind(group).bind(topic);
        let offsets: Vec<i64> = query.fetch_all(&self.pool).await.map_err(unavailable)?;
        Ok(offsets.into_iter().map(i64::cast_unsigned).collect())
    }

    /// None: durability is that of the Postgres server (`fsync`, `synchronous_commit`), which its own start checks.
    async fn warnings(&self, _topic: &str) -> Vec<String> {
        Vec::new()
    }
}

async fn drop_expired(pool: &PgPool, topic: &str, now: DateTime<Utc>) -> Result<u32, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT log.drop_expired($1, $2)").bind(topic).bind(now);
    let dropped: i32 = query.fetch_one(pool).await?;
    if dropped > 0 {
        tracing::info!(log.topic = topic, log.ranges = dropped, "retention dropped whole days");
    }
    Ok(dropped.cast_unsigned())
}

/// Runs database work in a task of its own, so that a caller that is cancelled does not cancel it midway.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome.map_err(unavailable),
        Err(panic) => Err(LogError::Unavailable(panic.to_string())),
    }
}

fn unavailable(error: sqlx::Error) -> LogError {
    LogError::Unavailable(error.to_string())
}
