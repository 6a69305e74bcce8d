//! A local PostgreSQL: found or fetched, initialised once, started, adopted, stopped.
//!
//! The postmaster outlives its parent on purpose: after a kill -9 the next start adopts it. When we are root, it runs as
//! an unprivileged user in a folder below the system's temporary folder that this user can reach.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::EngineError;
use super::postgres_files::url;
use super::postgres_place::{Place, STOP_LIMIT_SECONDS};
use super::watchdog::Watchdog;
use super::{Context, fetch, host};

/// A running PostgreSQL that this process stops at its end, or only uses.
pub(super) struct Postgres {
    pub(super) url: String,
    owned: Option<Owned>,
}

struct Owned {
    place: Place,
    binaries: PathBuf,
    ephemeral: bool,
    _watchdog: Option<Watchdog>,
    _owner: fs::File,
}

pub(super) fn start(context: &Context) -> Result<Postgres, EngineError> {
    let place = Place::prepare(&context.data("postgres"))?;
    let owner = host::try_lock(&place.own.join("owner.lock"))?;
    if let Some(state) = place.adopt(context, owner.is_some())? {
        let url = url(&state.password, state.port);
        let owned = owner.map(|owner| Owned::new(place, state.binaries, context, owner)).transpose()?;
        return Ok(Postgres { url, owned });
    }
    let Some(owner) = owner else {
        return Err(EngineError::Busy {
            engine: "PostgreSQL",
            folder: place.own,
            reason: "has no PostgreSQL that answers".to_owned(),
        });
    };
    let installed = if context.installed_binaries { installed_binaries() } else { None };
    let binaries = match installed {
        Some(binaries) => binaries,
        None => place.reachable(&fetch::postgres_folder(&context.cache, &context.progress)?)?.join("bin"),
    };
    let state = place.launch(context, binaries)?;
    Ok(Postgres {
        url: url(&state.password, state.port),
        owned: Some(Owned::new(place, state.binaries, context, owner)?),
    })
}

/// Stops what is left of the server of this folder, and removes its data.
pub(super) fn reset(own: &Path) -> Result<(), EngineError> {
    if !own.is_dir() {
        return Ok(());
    }
    let place = Place::prepare(own)?;
    let Some(_owner) = host::try_lock(&own.join("owner.lock"))? else {
        return Err(EngineError::Busy { engine: "PostgreSQL", folder: own.to_owned(), reason: "uses it".to_owned() });
    };
    if let Some(pid) = place.living_postmaster() {
        host::signal(pid, "QUIT");
        place.wait_gone(pid);
    }
    host::remove_folder(&place.server)?;
    if let Some(parent) = place.server.parent().filter(|_| place.runs_as.is_some()) {
        host::remove_folder(parent)?;
    }
    host::remove_folder(own)
}

/// Debian keeps each version in a folder of its own; elsewhere the programs are in PATH.
fn installed_binaries() -> Option<PathBuf> {
    let complete = |folder: &Path| ["initdb", "postgres", "pg_ctl"].iter().all(|name| folder.join(name).is_file());
    let debian = fs::read_dir("/usr/lib/postgresql").ok().and_then(|versions| {
        versions
            .filter_map(|entry| entry.ok())
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
            .filter(|(_, folder)| complete(folder))
            .max_by_key(|(version, _)| *version)
            .map(|(_, folder)| folder)
    });
    let in_path = || host::find_program("pg_ctl")?.canonicalize().ok()?.parent().map(Path::to_owned);
    debian.or_else(|| in_path().filter(|folder| complete(folder)))
}

impl Owned {
    fn new(place: Place, binaries: PathBuf, context: &Context, owner: fs::File) -> Result<Self, EngineError> {
        let watchdog = if context.ephemeral { Some(Self::watchdog(&place)?) } else { None };
        Ok(Self { place, binaries, ephemeral: context.ephemeral, _watchdog: watchdog, _owner: owner })
    }

    /// For tests, which have no end that could stop it: stops the server and removes it when this process is gone.
    fn watchdog(place: &Place) -> Result<Watchdog, EngineError> {
        let remove = match place.runs_as {
            Some(_) => place.server.parent().unwrap_or(&place.server),
            None => &place.server,
        };
        Watchdog::remove_after_us(&place.data().join("postmaster.pid"), remove)
    }
}

impl Postgres {
    /// Stops the server if it is ours to stop; bounded.
    pub(super) fn stop(&mut self) {
        let Some(owned) = self.owned.take() else {
            return;
        };
        let mode = if owned.ephemeral { "immediate" } else { "fast" };
        let mut command = owned.place.command(&owned.binaries.join("pg_ctl"));
        command.args(["stop", "-w", "-m", mode, "-t", &STOP_LIMIT_SECONDS.to_string(), "-D"]).arg(owned.place.data());
        if let Err(error) = host::run(&mut command) {
            tracing::warn!(engine = "postgres", %error, "the server did not stop; the next start adopts it");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
