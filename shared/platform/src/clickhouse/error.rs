//! What can go wrong with the store, sorted by what a caller can do about it.

/// A query or statement that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {
    /// The configuration is at fault: nothing was sent.
    #[error("{0}")]
    Setup(String),
    /// The server could not be reached, or the connection broke: try again.
    #[error("ClickHouse is not reachable: {0}; check clickhouse.url and that the server runs")]
    Connection(String),
    /// No answer within the limit: try again, or ask for less.
    #[error("ClickHouse did not answer in time; try again, or ask for a shorter range")]
    TimedOut,
    /// The server refused the query (limits, types, access).
    #[error("ClickHouse refused the query: {0}")]
    Refused(String),
    /// A row does not have the shape that this version of the program expects.
    #[error("a row from ClickHouse cannot be read: {0}; run `talea migrate` with this version")]
    Row(String),
}

impl ClickHouseError {
    /// Whether a statement under a fence was refused because a newer owner exists: give the partition up.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Refused(text) if text.contains("Code: 395") && text.contains("fenced"))
    }
}

impl From<::clickhouse::error::Error> for ClickHouseError {
    fn from(error: ::clickhouse::error::Error) -> Self {
        use ::clickhouse::error::Error as E;
        match error {
            E::Network(source) => Self::Connection(chain(source.as_ref())),
            E::TimedOut => Self::TimedOut,
            E::BadResponse(message) => Self::Refused(message),
            E::InvalidParams(source) => Self::Setup(chain(source.as_ref())),
            other => Self::Row(chain(&other)),
        }
    }
}

/// An insert that did not end with success.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// A newer owner of the partition exists: stop writing and give the partition up.
    #[error("fenced: a newer owner of this partition has written its epoch")]
    Fenced,
    /// It is not known whether the rows are stored, in whole or in part (timeout, broken connection, killed, overload): recover
    /// (read what is stored), then go on.
    #[error("the outcome of the insert is not known: {0}")]
    Unknown(String),
    /// The server refused the rows; the same request will be refused again. A block that spans months can still be stored in part,
    /// so recovery comes first here too.
    #[error("ClickHouse refused the insert: {0}")]
    Rejected(String),
}

/// The error with its causes, which `Display` of HTTP errors leaves out.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
