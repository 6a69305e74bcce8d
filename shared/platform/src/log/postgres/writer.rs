//! The one writer of a process: collects concurrent appends and commits them in groups.
//!
//! While one group is being committed the next one gathers, so the cost of a commit is shared by whoever came meanwhile.
//! The queue is bounded in bytes and in requests; a full queue answers at once instead of letting memory grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::commit::{CommitError, Committer, GroupCommit, Part};
use super::encoding;
use crate::log::partitioner::partition_for;
use crate::log::{AppendError, Clock, MAX_RECORD_BYTES, NewRecord, Position, record_size};

/// A request is cut here, and a group commit takes no further request beyond it.
const GROUP_BYTES: usize = 8 << 20;
/// The queue's bytes are counted in units of this size, so that the count fits a semaphore.
const PERMIT_BYTES: usize = 1_024;
/// Counted for each record beside its bytes, so that a multitude of tiny records is bounded too.
const RECORD_OVERHEAD: usize = 64;
/// How long one attempt may take before its outcome counts as unknown.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a group is tried in all before its appenders hear "unavailable".
const GIVE_UP_AFTER: Duration = Duration::from_secs(20);
const RETRY_AFTER: Duration = Duration::from_millis(100);

struct Request {
    topic: Arc<str>,
    parts: Vec<Part>,
    answer: oneshot::Sender<Result<Vec<u64>, AppendError>>,
    bytes: usize,
    _room: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    capacity: u32,
}

impl Writer {
    /// Starts the writer; it ends when this handle is dropped and the queue is empty.
    pub fn start(committer: Committer, producer: i64, clock: Clock, queue_requests: usize, queue_bytes: usize) -> Self {
        let (queue, requests) = mpsc::channel(queue_requests.max(1));
        let capacity = u32::try_from(queue_bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX >> 4).max(1);
        tokio::spawn(Loop { committer, producer, sequence: 0, clock }.run(requests));
        Writer { queue, room: Arc::new(Semaphore::new(capacity as usize)), capacity }
    }

    /// Appends to a topic of `partitions` partitions. One answer per record, in order.
    pub async fn append(
        &self,
        topic: &str,
        partitions: u32,
        records: Vec<NewRecord>,
    ) -> Vec<Result<Position, AppendError>> {
        let topic: Arc<str> = topic.into();
        let mut answers: Vec<Result<Position, AppendError>> = vec![Err(AppendError::QueueFull); records.len()];
        let mut waiting = Vec::new();
        let mut chunk = Chunk::default();
        let mut full = false;
        for (index, record) in records.iter().enumerate() {
            let size = record_size(record);
            if size > MAX_RECORD_BYTES {
                answers[index] = Err(AppendError::TooLarge { size, limit: MAX_RECORD_BYTES });
                continue;
            }
            // After one refusal nothing more is queued: records of one key must not overtake each other.
            if !full {
                chunk.add(index, partition_for(&record.key, partitions), record);
                if chunk.bytes >= GROUP_BYTES {
                    full = !self.enqueue(&topic, std::mem::take(&mut chunk), &mut waiting);
                }
            }
        }
        if !full && chunk.bytes > 0 {
            self.enqueue(&topic, chunk, &mut waiting);
        }
        for (indices, answer) in waiting {
            let gone = || Err(AppendError::Unavailable("the log's writer ended".to_owned()));
            settle(&mut answers, indices, answer.await.unwrap_or_else(|_| gone()));
        }
        answers
    }

    fn enqueue(&self, topic: &Arc<str>, chunk: Chunk, waiting: &mut Vec<Waiting>) -> bool {
        let permits = u32::try_from(chunk.bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX).min(self.capacity);
        let Ok(room) = self.room.clone().try_acquire_many_owned(permits) else { return false };
        let (answer, receiver) = oneshot::channel();
        let (indices, parts) = chunk.parts.into_values().unzip();
        let request = Request { topic: topic.clone(), parts, answer, bytes: chunk.bytes, _room: room };
        let queued = self.queue.try_send(request).is_ok();
        if queued {
            waiting.push((indices, receiver));
        }
        queued
    }
}

/// The indices of each part's records in the append, and where the parts' base offsets will come.
type Waiting = (Vec<(u32, Vec<usize>)>, oneshot::Receiver<Result<Vec<u64>, AppendError>>);

/// Records of one append that travel together.
#[derive(Default)]
struct Chunk {
    parts: BTreeMap<u32, ((u32, Vec<usize>), Part)>,
    bytes: usize,
}

impl Chunk {
    fn add(&mut self, index: usize, partition: u32, record: &NewRecord) {
        let new = || ((partition, Vec::new()), Part { partition, count: 0, body: Vec::new() });
        let ((_, indices), part) = self.parts.entry(partition).or_insert_with(new);
        indices.push(index);
        part.count += 1;
        let before = part.body.len();
        encoding::encode_record(&mut part.body, record);
        self.bytes += RECORD_OVERHEAD + part.body.len() - before;
    }
}

fn settle(
    answers: &mut [Result<Position, AppendError>],
    parts: Vec<(u32, Vec<usize>)>,
    outcome: Result<Vec<u64>, AppendError>,
) {
    match outcome {
        Ok(bases) => {
            for ((partition, indices), base) in parts.into_iter().zip(bases) {
                for (index, offset) in indices.into_iter().zip(base..) {
                    answers[index] = Ok(Position { partition, offset });
                }
            }
        }
        Err(error) => {
            for index in parts.into_iter().flat_map(|(_, indices)| indices) {
                answers[index] = Err(error.clone());
            }
        }
    }
}

struct Loop {
    committer: Committer,
    producer: i64,
    sequence: i64,
    clock: Clock,
}

impl Loop {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.recv().await {
            let mut bytes = first.bytes;
            let mut group = vec![first];
            while bytes < GROUP_BYTES {
                let Ok(request) = requests.try_recv() else { break };
                bytes += request.bytes;
                group.push(request);
            }
            self.commit(group).await;
        }
    }

    async fn commit(&mut self, group: Vec<Request>) {
        let (parts, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|request| ((request.topic, request.parts), (request.answer, request._room))).unzip();
        let (group, places) = GroupCommit::new(parts);
        let outcome = self.commit_until_known(Arc::new(group)).await;
        for ((answer, _room), places) in answers.into_iter().zip(places) {
            let bases = outcome.as_ref().map_err(|problem| AppendError::Unavailable(problem.clone()));
            let of_parts = |bases: &Vec<i64>| {
                places.iter().map(|(row, ahead)| bases[*row].cast_unsigned() + ahead).collect::<Vec<u64>>()
            };
            // An appender that was cancelled does not listen; its records are written all the same.
            let _ = answer.send(bases.map(of_parts));
        }
    }

    /// Tries under one sequence until the outcome is known, bounded. The transaction runs in a task of its own: cancelling
    /// it inside `begin` could hand an open transaction to the next borrower of the connection.
    async fn commit_until_known(&mut self, group: Arc<GroupCommit>) -> Result<Vec<i64>, String> {
        self.sequence += 1;
        let started = Instant::now();
        loop {
            let problem = match self.attempt(group.clone()).await {
                Ok((bases, new_ranges)) => {
                    self.drop_expired(new_ranges);
                    return Ok(bases);
                }
                Err(CommitError::NoTopic) => return Err(CommitError::NoTopic.to_string()),
                Err(CommitError::NoProducer) => match self.committer.register().await {
                    Ok(producer) => {
                        self.producer = producer;
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            if started.elapsed() >= GIVE_UP_AFTER {
                tracing::error!(problem, "a group commit of the log was given up");
                return Err(problem);
            }
            tracing::warn!(problem, "a group commit of the log is tried again");
            sleep(RETRY_AFTER).await;
        }
    }

    async fn attempt(&self, group: Arc<GroupCommit>) -> Result<(Vec<i64>, Vec<Arc<str>>), CommitError> {
        let (committer, producer, sequence) = (self.committer.clone(), self.producer, self.sequence);
        let now = (self.clock)();
        let task = tokio::spawn(async move { committer.commit(producer, sequence, &group, now).await });
        match timeout(ATTEMPT_TIMEOUT, task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(CommitError::Database(sqlx::Error::Protocol(panic.to_string()))),
            Err(_) => Err(CommitError::Database(sqlx::Error::PoolTimedOut)),
        }
    }

    /// A new day began for these topics: see which days have ended their retention.
    fn drop_expired(&self, topics: Vec<Arc<str>>) {
        for topic in topics {
            let (pool, now) = (self.committer.pool.clone(), (self.clock)());
            tokio::spawn(async move {
                if let Err(error) = super::drop_expired(&pool, &topic, now).await {
                    tracing::warn!(log.topic = %topic, %error, "expired ranges stay until the next day");
                }
            });
        }
    }
}
