//! Database errors, each with what its receiver should do: try again, refuse the input, or stop.

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The transaction did not happen, or its outcome is unknown; the same work may be tried again.
    Retry,
    /// The input breaks a rule of the data; trying again cannot help.
    Reject,
    /// The program or the set-up is wrong; somebody must look.
    Stop,
}

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("postgres: {0}")]
    Sql(#[from] sqlx::Error),
    /// A runtime role that row-level security cannot hold.
    #[error(
        "the role `{role}` {problem}, and Talea does not serve with it; \
         run `talea migrate`, which makes its roles NOSUPERUSER NOBYPASSRLS"
    )]
    UnsafeRole { role: String, problem: &'static str },
    /// A document in a projection that this version cannot read.
    #[error("a document in table {table} cannot be read: {source}; run a version of Talea that knows it")]
    Document { table: &'static str, source: serde_json::Error },
    /// A row of a projection that this version cannot read, or a decision that does not fit it.
    #[error("a row of table {table} cannot be read or written: {reason}; run `talea rebuild`")]
    Unreadable { table: &'static str, reason: String },
    /// A decision that does not follow from what is recorded.
    #[error("a decision cannot be projected: {0}")]
    Decision(String),
    #[error("the task that begins a transaction ended early: {0}")]
    Begin(String),
}

impl DatabaseError {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Sql(error) => classify(error),
            Self::UnsafeRole { .. } | Self::Document { .. } | Self::Unreadable { .. } | Self::Decision(_) => {
                ErrorClass::Stop
            }
            Self::Begin(_) => ErrorClass::Retry,
        }
    }
}

/// Classes an error of sqlx by its SQLSTATE (PostgreSQL manual, appendix A).
pub fn classify(error: &sqlx::Error) -> ErrorClass {
    use sqlx::Error;
    match error {
        Error::Database(error) => classify_state(error.code().as_deref().unwrap_or_default()),
        Error::Io(_)
        | Error::Tls(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => ErrorClass::Retry,
        _ => ErrorClass::Stop,
    }
}

fn classify_state(state: &str) -> ErrorClass {
    match state {
        // Serialisation failure, deadlock, lock not available, statement or lock timeout.
        "40001" | "40P01" | "55P03" | "57014" => ErrorClass::Retry,
        // Idle transaction ended, server shutting down, starting or crashed.
        "25P03" | "57P01" | "57P02" | "57P03" => ErrorClass::Retry,
        _ => match state.get(..2) {
            // Connection, resources, system errors.
            Some("08" | "53" | "58") => ErrorClass::Retry,
            // Data, integrity constraints.
            Some("22" | "23") => ErrorClass::Reject,
            _ => ErrorClass::Stop,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_what_to_do() {
        for (state, class) in [
            ("40001", ErrorClass::Retry),
            ("40P01", ErrorClass::Retry),
            ("57014", ErrorClass::Retry),
            ("08006", ErrorClass::Retry),
            ("53300", ErrorClass::Retry),
            ("23505", ErrorClass::Reject),
            ("22P02", ErrorClass::Reject),
            ("42501", ErrorClass::Stop),
            ("42P01", ErrorClass::Stop),
            ("28P01", ErrorClass::Stop),
            ("", ErrorClass::Stop),
        ] {
            assert_eq!(classify_state(state), class, "{state}");
        }
        assert_eq!(classify(&sqlx::Error::PoolTimedOut), ErrorClass::Retry);
        assert_eq!(classify(&sqlx::Error::RowNotFound), ErrorClass::Stop);
    }
}
