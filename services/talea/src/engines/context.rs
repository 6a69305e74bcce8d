//! What every engine's start needs to know, and where it reports slow steps.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::error::EngineError;
use super::{EngineOptions, host};

/// What every engine's start needs to know.
pub(super) struct Context {
    pub(super) folder: PathBuf,
    pub(super) cache: PathBuf,
    pub(super) executable: PathBuf,
    pub(super) ephemeral: bool,
    pub(super) installed_binaries: bool,
    pub(super) progress: Progress,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) http: reqwest::Client,
}

impl Context {
    pub(super) fn new(options: &EngineOptions, progress: Progress) -> Result<Self, EngineError> {
        let absolute = |path: &Path| {
            host::create_folder(path)?;
            path.canonicalize().map_err(EngineError::file(path))
        };
        let http = reqwest::Client::builder().no_proxy().build();
        let folder = absolute(&options.folder())?;
        // Usage and decisions are below: nobody else on the machine reads them.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(EngineError::file(&folder))?;
        Ok(Self {
            folder,
            cache: absolute(&options.cache)?,
            executable: options.executable.clone(),
            ephemeral: options.ephemeral,
            installed_binaries: options.installed_binaries,
            progress,
            runtime: tokio::runtime::Handle::current(),
            http: http.map_err(|error| EngineError::file("HTTP client")(std::io::Error::other(error)))?,
        })
    }

    pub(super) fn data(&self, engine: &str) -> PathBuf {
        self.folder.join(engine)
    }
}

/// Where lines about slow steps go.
#[derive(Clone)]
pub(super) struct Progress(pub(super) UnboundedSender<String>);

impl Progress {
    pub(super) fn say(&self, line: String) {
        // A caller that no longer listens is no reason to fail.
        let _ = self.0.send(line);
    }

    /// Says that a step is done if it took long enough for a person to wonder.
    pub(super) fn slow(&self, begin: Instant, done: &str) {
        let elapsed = begin.elapsed();
        if elapsed > Duration::from_secs(2) {
            self.say(format!("{done} in {} s", elapsed.as_secs()));
        }
    }
}
