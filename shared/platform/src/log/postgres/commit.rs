//! One group commit: the records of many appends, made durable by one transaction.
//!
//! The transaction is repeatable: it names the producer and a sequence, and the row in `log.producers` remembers the answer
//! to the last one. A commit whose outcome was not heard is simply run again.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};
use sqlx::{PgConnection, PgPool, Row};

use super::encoding;
use super::wakeups::Wakeups;

/// The range of a topic that holds an append time: days since the epoch, in UTC.
type Range = (Arc<str>, i64);

const LOCK_PRODUCER: &str = "SELECT last_sequence, base_offsets FROM log.producers WHERE producer = $1 FOR UPDATE";
const LOCK_PARTITIONS: &str = "
    SELECT want.place, p.next_offset, greatest(p.last_appended_at, $3) AS appended_at
    FROM unnest($1::text[], $2::int4[]) WITH ORDINALITY AS want(topic, partition, place)
    JOIN log.partitions p USING (topic, partition)
    ORDER BY p.topic, p.partition FOR UPDATE OF p";
const INSERT_BATCHES: &str = "
    INSERT INTO log.batches (topic, partition, base_offset, record_count, appended_at, record_bytes, payload)
    SELECT * FROM unnest($1::text[], $2::int4[], $3::int8[], $4::int4[], $5::timestamptz[], $6::int4[], $7::bytea[])";
const ADVANCE_PARTITIONS: &str = "
    UPDATE log.partitions p SET next_offset = b.base_offset + b.record_count, last_appended_at = b.appended_at
    FROM unnest($1::text[], $2::int4[], $3::int8[], $4::int4[], $5::timestamptz[])
        AS b(topic, partition, base_offset, record_count, appended_at)
    WHERE p.topic = b.topic AND p.partition = b.partition";
const REMEMBER_AND_NOTIFY: &str = "
    WITH remembered AS (
        UPDATE log.producers SET last_sequence = $2, base_offsets = $3, used_at = clock_timestamp() WHERE producer = $1)
    SELECT pg_notify($4, key) FROM unnest($5::text[]) AS key";

#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("the topic is missing from this log: create it with ensure_topic before appending")]
    NoTopic,
    /// A later commit of this producer is durable already: this one was given up.
    #[error("a later commit of the same producer came first")]
    Superseded,
    /// The producer's row is gone (unused for a week): register again.
    #[error("the producer is not registered")]
    NoProducer,
}

/// The records of one partition that go into one row.
struct Batch {
    count: i32,
    record_bytes: i32,
    payload: Vec<u8>,
}

/// Some records of one partition, encoded.
pub(super) struct Part {
    pub partition: u32,
    pub count: u32,
    pub body: Vec<u8>,
}

/// What is committed together, in (topic, partition) order.
pub(super) struct GroupCommit {
    topics: Vec<Arc<str>>,
    partitions: Vec<i32>,
    batches: Vec<Batch>,
}

impl GroupCommit {
    /// Merges the parts of several requests. Answers, for every request and part, the row it is in and how many records
    /// of the row come before it.
    pub fn new(requests: Vec<(Arc<str>, Vec<Part>)>) -> (Self, Vec<Vec<(usize, u64)>>) {
        let mut rows: BTreeMap<(Arc<str>, u32), (u32, Vec<u8>)> = BTreeMap::new();
        let mut places = Vec::with_capacity(requests.len());
        for (topic, parts) in requests {
            let mut of_request = Vec::with_capacity(parts.len());
            for part in parts {
                let (count, body) = rows.entry((topic.clone(), part.partition)).or_default();
                of_request.push(((topic.clone(), part.partition), u64::from(*count)));
                *count += part.count;
                if body.is_empty() { *body = part.body } else { body.extend_from_slice(&part.body) }
            }
            places.push(of_request);
        }
        let rank: BTreeMap<_, usize> = rows.keys().cloned().enumerate().map(|(rank, key)| (key, rank)).collect();
        let ranked =
            places.into_iter().map(|parts| parts.into_iter().map(|(key, ahead)| (rank[&key], ahead)).collect());
        let places = ranked.collect();
        let mut commit = GroupCommit { topics: Vec::new(), partitions: Vec::new(), batches: Vec::new() };
        for ((topic, partition), (count, body)) in rows {
            commit.topics.push(topic);
            commit.partitions.push(partition.cast_signed());
            let record_bytes = i32::try_from(body.len()).unwrap_or(i32::MAX);
            commit.batches.push(Batch { count: count.cast_signed(), record_bytes, payload: encoding::compress(&body) });
        }
        (commit, places)
    }

    fn topic_names(&self) -> Vec<&str> {
        self.topics.iter().map(AsRef::as_ref).collect()
    }
}

/// Commits groups for one producer.
#[derive(Clone)]
pub(super) struct Committer {
    pub pool: PgPool,
    /// Ranges that are known to exist, so that the usual commit does not ask.
    ranges: Arc<Mutex<HashSet<Range>>>,
}

impl Committer {
    pub fn new(pool: PgPool) -> Self {
        Committer { pool, ranges: Arc::default() }
    }

    /// Registers a producer; its sequences start at 1.
    pub async fn register(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("INSERT INTO log.producers DEFAULT VALUES RETURNING producer").fetch_one(&self.pool).await
    }

    /// Runs the commit, or answers what it did when it ran before. Answers the base offset of each row, and the topics
    /// that got a new range (time to look for expired ones). Must run to its end: call it in a task of its own.
    pub async fn commit(
        &self,
        producer: i64,
        sequence: i64,
        group: &GroupCommit,
        now: DateTime<Utc>,
    ) -> Result<(Vec<i64>, Vec<Arc<str>>), CommitError> {
        let mut transaction = self.pool.begin().await?;
        if let Some(base_offsets) = answered_before(&mut transaction, producer, sequence).await? {
            return Ok((base_offsets, Vec::new()));
        }
        let (base_offsets, times) = lock_partitions(&mut transaction, group, now.trunc_subsecs(6)).await?;
        let created = self.ensure_ranges(&mut transaction, group, &times).await?;
        insert(&mut transaction, group, &base_offsets, &times).await.inspect_err(|_| self.forget_ranges())?;
        let mut keys: Vec<String> = group.topics.iter().map(|topic| Wakeups::records_key(topic)).collect();
        keys.dedup();
        sqlx::query(REMEMBER_AND_NOTIFY)
            .bind(producer)
            .bind(sequence)
            .bind(&base_offsets)
            .bind(super::wakeups::CHANNEL)
            .bind(keys)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let ranges = group.topics.iter().cloned().zip(times.iter().map(range_of));
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).extend(ranges);
        Ok((base_offsets, created))
    }

    async fn ensure_ranges(
        &self,
        connection: &mut PgConnection,
        group: &GroupCommit,
        times: &[DateTime<Utc>],
    ) -> Result<Vec<Arc<str>>, sqlx::Error> {
        let mut missing: BTreeMap<Range, DateTime<Utc>> = BTreeMap::new();
        {
            let known = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
            for (topic, at) in group.topics.iter().zip(times) {
                let range = (topic.clone(), range_of(at));
                if !known.contains(&range) {
                    missing.insert(range, *at);
                }
            }
        }
        let mut created = Vec::new();
        for ((topic, _), at) in missing {
            let query = sqlx::query_scalar("SELECT log.ensure_range($1, $2)").bind(topic.as_ref()).bind(at);
            if query.fetch_one(&mut *connection).await? {
                created.push(topic);
            }
        }
        Ok(created)
    }

    /// A failed insert may mean that retention dropped a range: ask again next time.
    fn forget_ranges(&self) {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

async fn answered_before(
    connection: &mut PgConnection,
    producer: i64,
    sequence: i64,
) -> Result<Option<Vec<i64>>, CommitError> {
    let row = sqlx::query(LOCK_PRODUCER).bind(producer).fetch_optional(connection).await?;
    let row = row.ok_or(CommitError::NoProducer)?;
    match row.try_get::<i64, _>("last_sequence")?.cmp(&sequence) {
        std::cmp::Ordering::Less => Ok(None),
        std::cmp::Ordering::Equal => Ok(Some(row.try_get("base_offsets")?)),
        std::cmp::Ordering::Greater => Err(CommitError::Superseded),
    }
}

/// Locks the partitions in order. Answers the base offset and the append time of each row.
async fn lock_partitions(
    connection: &mut PgConnection,
    group: &GroupCommit,
    now: DateTime<Utc>,
) -> Result<(Vec<i64>, Vec<DateTime<Utc>>), CommitError> {
    let query = sqlx::query(LOCK_PARTITIONS).bind(group.topic_names()).bind(&group.partitions).bind(now);
    let rows = query.fetch_all(connection).await?;
    if rows.len() != group.batches.len() {
        return Err(CommitError::NoTopic);
    }
    let mut locked = BTreeMap::new();
    for row in rows {
        let head: (i64, DateTime<Utc>) = (row.try_get("next_offset")?, row.try_get("appended_at")?);
        locked.insert(row.try_get::<i64, _>("place")?, head);
    }
    Ok(locked.into_values().unzip())
}

async fn insert(
    connection: &mut PgConnection,
    group: &GroupCommit,
    base_offsets: &[i64],
    times: &[DateTime<Utc>],
) -> Result<(), sqlx::Error> {
    let counts: Vec<i32> = group.batches.iter().map(|batch| batch.count).collect();
    let sizes: Vec<i32> = group.batches.iter().map(|batch| batch.record_bytes).collect();
    let payloads: Vec<&[u8]> = group.batches.iter().map(|batch| batch.payload.as_slice()).collect();
    let topics = group.topic_names();
    let rows = sqlx::query(INSERT_BATCHES).bind(&topics).bind(&group.partitions).bind(base_offsets).bind(&counts);
    rows.bind(times).bind(sizes).bind(payloads).execute(&mut *connection).await?;
    let heads = sqlx::query(ADVANCE_PARTITIONS).bind(&topics).bind(&group.partitions).bind(base_offsets).bind(&counts);
    heads.bind(times).execute(connection).await?;
    Ok(())
}

fn range_of(at: &DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(86_400)
}
