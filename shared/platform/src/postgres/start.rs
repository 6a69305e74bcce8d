//! What a serving process asks of Postgres once, at start.

use super::error::DatabaseError;
use super::pools::{Databases, PoolSettings};
use super::target::{RolePasswords, Target};
use crate::config;
use crate::journal::{self, AppendError, Decision};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgPool;
use talea_domain::journal::{JournalEvent, TopicCreated};
use talea_domain::tenant::TenantScope;

/// Why the partitions of a topic could not be remembered.
#[derive(Debug, thiserror::Error)]
pub enum PartitionsError {
    #[error(
        "topic {topic} was created with {journalled} partitions and now has {actual}: identities would move between \
         partitions and count twice; restore the topic with {journalled}"
    )]
    Changed { topic: String, journalled: u32, actual: u32 },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<&config::Postgres> for Target {
    fn from(config: &config::Postgres) -> Self {
        Self {
            url: config.url.clone(),
            database: config.database.clone(),
            passwords: RolePasswords::derive(&config.role_secret),
        }
    }
}

impl Databases {
    /// Connects as the configuration says.
    pub async fn connect(config: &config::Postgres) -> Result<Self, DatabaseError> {
        let settings = PoolSettings { max_connections: config.max_connections, ..PoolSettings::default() };
        Self::connect_to(&Target::from(config), &settings).await
    }

    /// The pool of the Postgres log, whose readers also keep connections of their own.
    pub fn log_pool(&self) -> PgPool {
        self.worker.pool().clone()
    }

    /// Where the test clock stands: where it was left, but not before `start`, which is remembered the first time.
    pub async fn test_clock(&self, start: DateTime<Utc>) -> Result<DateTime<Utc>, DatabaseError> {
        self.advance_test_clock(start).await
    }

    /// Remembers that the test clock stands at `to`, so that a restart does not turn it back. Answers where it stands;
    /// that is later than `to` when somebody was faster.
    pub async fn advance_test_clock(&self, to: DateTime<Utc>) -> Result<DateTime<Utc>, DatabaseError> {
        const ADVANCE: &str = "INSERT INTO test_clock AS c (id, now) VALUES (1, $1) \
            ON CONFLICT (id) DO UPDATE SET now = greatest(c.now, excluded.now) RETURNING now";
        Ok(sqlx::query_scalar(ADVANCE).bind(to).fetch_one(self.worker.pool()).await?)
    }

    /// Journals a topic's partition count the first time and refuses another one later.
    pub async fn remember_partitions(
        &self,
        topic: &str,
        partitions: u32,
        now: DateTime<Utc>,
    ) -> Result<(), PartitionsError> {
        const REMEMBERED: &str = "SELECT partitions FROM topic_partitions WHERE topic = $1";
        let decision = Decision {
            tenant: TenantScope::Global,
            expected_version: None,
            event: JournalEvent::TopicCreated(TopicCreated { topic: topic.to_owned(), partitions }),
            effective_at: now,
            recorded_at: now,
            actor: "talea".to_owned(),
            idempotency_key: Some(format!("topic.created/{topic}")),
        };
        let mut tx = self.worker.begin().await?;
        // Two processes that start at once: the second finds the first's decision and compares.
        journal::append_new(&mut tx, vec![decision]).await?;
        let remembered: i32 =
            sqlx::query_scalar(REMEMBERED).bind(topic).fetch_one(&mut *tx).await.map_err(DatabaseError::from)?;
        tx.commit().await?;
        match u32::try_from(remembered) {
            Ok(journalled) if journalled == partitions => Ok(()),
            other => Err(PartitionsError::Changed {
                topic: topic.to_owned(),
                journalled: other.unwrap_or_default(),
                actual: partitions,
            }),
        }
    }
}
