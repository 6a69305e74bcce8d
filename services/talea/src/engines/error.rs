//! Why an engine could not be had, in words that name the way out.

use std::path::PathBuf;

/// A failure to find, fetch, start or stop a local engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Neither a URL, nor a binary, nor the client that would fetch one.
    #[error("{engine} is not on this machine and cannot be fetched: {reason}. {way_out}")]
    Missing { engine: &'static str, reason: String, way_out: &'static str },
    /// The package client ran and failed.
    #[error(
        "fetching {what} failed: {reason}. Check the network and the package client's configuration, then run again"
    )]
    Fetch { what: String, reason: String },
    /// The engine's process ended, or did not answer in time.
    #[error("{engine} did not start: {reason}. Its log: {}", log.display())]
    Start { engine: &'static str, reason: String, log: PathBuf },
    /// Another living process has this data folder.
    #[error("{engine}: {} belongs to another running process, which {reason}. Stop that process, or use another folder", folder.display())]
    Busy { engine: &'static str, folder: PathBuf, reason: String },
    /// A folder that we need exists and is not ours.
    #[error("refusing to use {}: {reason}. Remove it, or use another folder", folder.display())]
    Unsafe { folder: PathBuf, reason: String },
    /// The operating system refused a file operation.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// A command of the operating system could not be run.
    #[error("running `{program}` failed: {reason}")]
    Command { program: String, reason: String },
}

impl EngineError {
    /// Names the path that an input or output error belongs to.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
