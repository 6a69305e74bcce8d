//! The outbox: the journal is the only place a decision is written; what others must hear of it is copied from there to
//! the log, in order, at least once. Ids inside the records make it once for their readers.

use crate::journal::{self, ReadError, Recorded};
use crate::log::{AppendError, Log, NewRecord};
use crate::postgres::{DatabaseError, WorkerPool};

/// Decisions of one pass. Bounds how long the cursor is locked.
const BATCH: u32 = 500;

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Everything before this position was published and the cursor stands there; the next pass goes on from it.
    #[error("journal position {position} is not published to {topic}: {source}")]
    Log { position: i64, topic: String, source: AppendError },
}

impl From<sqlx::Error> for OutboxError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// One pass: reads the decisions after the cursor `name`, appends the records that `map` makes of them to `topic`, and
/// moves the cursor past what the log acknowledged. Answers how many decisions were passed; 0 means that the cursor
/// stands at the head. Two processes with one name wait for each other.
pub async fn publish(
    worker: &WorkerPool,
    log: &dyn Log,
    name: &str,
    topic: &str,
    map: fn(&Recorded) -> Option<NewRecord>,
) -> Result<usize, OutboxError> {
    let mut tx = worker.begin().await?;
    sqlx::query("INSERT INTO outbox_cursors (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .execute(&mut *tx)
        .await?;
    let cursor: i64 = sqlx::query_scalar("SELECT position FROM outbox_cursors WHERE name = $1 FOR UPDATE")
        .bind(name)
        .fetch_one(&mut *tx)
        .await?;
    let decisions = journal::read(&mut tx, cursor, BATCH).await?;
    let Some(last) = decisions.last().map(|d| d.position) else {
        // Nothing to keep but a new cursor's row.
        tx.commit().await?;
        return Ok(0);
    };
    let failed = append(log, topic, &decisions, map).await;
    let reached = failed.as_ref().map_or(last, |(position, _)| position - 1);
    sqlx::query("UPDATE outbox_cursors SET position = $2 WHERE name = $1")
        .bind(name)
        .bind(reached)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    match failed {
        Some((position, source)) => Err(OutboxError::Log { position, topic: topic.to_owned(), source }),
        None => Ok(decisions.len()),
    }
}

/// Appends the batch; answers the first decision that the log did not take.
async fn append(
    log: &dyn Log,
    topic: &str,
    decisions: &[Recorded],
    map: fn(&Recorded) -> Option<NewRecord>,
) -> Option<(i64, AppendError)> {
    let (positions, records): (Vec<i64>, Vec<NewRecord>) =
        decisions.iter().filter_map(|decision| Some((decision.position, map(decision)?))).unzip();
    if records.is_empty() {
        return None;
    }
    let answers = log.append(topic, records).await;
    positions.into_iter().zip(answers).find_map(|(position, answer)| Some((position, answer.err()?)))
}
