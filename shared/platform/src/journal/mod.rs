//! The journal in Postgres: decisions are appended, projected in the same transaction, and read in the order in which
//! they were committed. Positions have no gap: whoever reads up to a position has read everything before it.

mod append;
mod numbers;
mod read;

pub use append::{append, append_new};
pub use numbers::take_numbers;
pub use read::{find, head, read, read_stream};

use crate::postgres::{DatabaseError, ErrorClass};
use chrono::{DateTime, Utc};
use talea_domain::journal::{DecodeError, JournalEvent};
use talea_domain::tenant::TenantScope;

/// The most decisions of one append. A larger run is cut by its caller, so that nobody holds the journal for long.
pub const MAX_DECISIONS: usize = 10_000;

/// A decision that is to be recorded.
#[derive(Debug, Clone)]
pub struct Decision {
    pub tenant: TenantScope,
    /// The version that the decider saw of the stream: 0 for a new one. None where any will do.
    pub expected_version: Option<i64>,
    pub event: JournalEvent,
    /// When it holds from.
    pub effective_at: DateTime<Utc>,
    /// When it was decided, by the clock of the process.
    pub recorded_at: DateTime<Utc>,
    /// Who decided: a key's id or a worker's name.
    pub actor: String,
    /// Unique in the tenant: a second decision with this key is not recorded.
    pub idempotency_key: Option<String>,
}

/// A decision as the journal keeps it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// From 1, without gaps, over all tenants; the order of commits.
    pub position: i64,
    pub tenant: TenantScope,
    /// `kind/id`.
    pub stream: String,
    /// From 1 in each stream.
    pub version: i64,
    pub event: JournalEvent,
    /// The stored bytes of the event's payload.
    pub payload: String,
    pub effective_at: DateTime<Utc>,
    pub recorded_at: DateTime<Utc>,
    pub actor: String,
    pub idempotency_key: Option<String>,
}

/// What an append did.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// In the order of the decisions, without the ones in `already`.
    pub recorded: Vec<Recorded>,
    /// Only from [`append_new`]: decisions that an earlier append had recorded.
    pub already: Vec<Already>,
}

/// A decision whose idempotency key is in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Already {
    /// Index into the decisions given.
    pub index: usize,
    /// Where the earlier one stands.
    pub position: i64,
}

/// Why nothing was appended. Nothing was written then, so that the transaction may go on or be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(
        "stream {stream} is at version {actual}, not {expected}: somebody decided in between; read it again and decide anew"
    )]
    Conflict { stream: String, expected: i64, actual: i64 },
    #[error("{} of the decisions were recorded before, the first at position {}", .0.len(), .0[0].position)]
    AlreadyRecorded(Vec<Already>),
    #[error("the idempotency key `{key}` stands twice in one append")]
    KeyTwice { key: String },
    #[error("{count} decisions in one append, the most is {MAX_DECISIONS}; cut the run")]
    TooMany { count: usize },
    #[error("a decision for `{tenant}` in a transaction that may only write another tenant's rows")]
    WrongTenant { tenant: TenantScope },
    #[error("a decision cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl AppendError {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Conflict { .. } => ErrorClass::Retry,
            Self::AlreadyRecorded(_) => ErrorClass::Reject,
            Self::Database(error) => error.class(),
            Self::KeyTwice { .. } | Self::TooMany { .. } | Self::WrongTenant { .. } | Self::Encode(_) => {
                ErrorClass::Stop
            }
        }
    }
}

impl From<sqlx::Error> for AppendError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Why the journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("journal position {position}: {source}")]
    Decode { position: i64, source: DecodeError },
    #[error("journal position {position}: `{text}` is no tenant")]
    Tenant { position: i64, text: String },
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl ReadError {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Database(error) => error.class(),
            Self::Decode { .. } | Self::Tenant { .. } => ErrorClass::Stop,
        }
    }
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}
