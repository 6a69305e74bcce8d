//! One data folder of a local PostgreSQL and its server: made, started, adopted.
//!
//! When we are root, the server runs as an unprivileged user in a folder of its own below /var/tmp.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};

use super::Context;
use super::error::EngineError;
use super::host;
use super::postgres_files::{PidFile, SUPERUSER, configuration, root_folder};

/// The user that runs PostgreSQL when we are root: nobody, by its number on Linux.
const UNPRIVILEGED: u32 = 65_534;
/// Crash recovery of a large data folder may take this long.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long the processes of a killed server may hold its shared memory.
const ORPHAN_LIMIT: Duration = Duration::from_secs(20);
/// How long a server may take to end.
pub(super) const STOP_LIMIT_SECONDS: u32 = 20;

/// What is remembered from one start to the next. Holds a secret: the file is private.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    pub(super) port: u16,
    pub(super) password: String,
    pub(super) binaries: PathBuf,
}

/// The folders of one local PostgreSQL.
pub(super) struct Place {
    /// Ours: state, locks.
    pub(super) own: PathBuf,
    /// Holds `data` and the server's log; owned by `runs_as` when we are root.
    pub(super) server: PathBuf,
    pub(super) runs_as: Option<u32>,
}

impl Place {
    pub(super) fn prepare(own: &Path) -> Result<Self, EngineError> {
        host::create_folder(own)?;
        let own = own.canonicalize().map_err(EngineError::file(own))?;
        if host::effective_user(&own)? != 0 {
            return Ok(Self { server: own.clone(), own, runs_as: None });
        }
        let outer = root_folder(&own);
        match fs::create_dir(&outer) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(EngineError::file(&outer)(error));
            }
            _ => {}
        }
        require_owner(&outer, &[0])?;
        fs::set_permissions(&outer, fs::Permissions::from_mode(0o711)).map_err(EngineError::file(&outer))?;
        // From here on nobody but root can change an entry of the outer folder.
        let server = outer.join("server");
        host::create_folder(&server)?;
        require_owner(&server, &[0, UNPRIVILEGED])?;
        fs::set_permissions(&server, fs::Permissions::from_mode(0o700)).map_err(EngineError::file(&server))?;
        chown(&server, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).map_err(EngineError::file(&server))?;
        Ok(Self { own, server, runs_as: Some(UNPRIVILEGED) })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.server.join("data")
    }

    fn log(&self) -> PathBuf {
        self.server.join("postgres.log")
    }

    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.server).env("LC_ALL", "C").process_group(0);
        if let Some(user) = self.runs_as {
            command.uid(user).gid(user).env("HOME", &self.server);
        }
        command
    }

    /// A folder of binaries that the server's user can read: a copy when the cache may lie in a closed home.
    pub(super) fn reachable(&self, folder: &Path) -> Result<PathBuf, EngineError> {
        let Some(outer) = self.server.parent().filter(|_| self.runs_as.is_some()) else {
            return Ok(folder.to_owned());
        };
        let copy = outer.join("native");
        if !copy.is_dir() {
            let partial = host::partial_folder(&copy);
            host::run(Command::new("cp").arg("-a").arg(folder).arg(&partial))?;
            host::run(Command::new("chmod").args(["-R", "a+rX"]).arg(&partial))?;
            fs::rename(&partial, &copy).map_err(EngineError::file(&copy))?;
        }
        Ok(copy)
    }

    fn pid_file(&self) -> Option<PidFile> {
        PidFile::parse(&fs::read_to_string(self.data().join("postmaster.pid")).ok()?)
    }

    /// The process of the pid file, when it is alive and a PostgreSQL of this data folder and not a later process with that number.
    pub(super) fn living_postmaster(&self) -> Option<u32> {
        let pid = self.pid_file()?.pid;
        let arguments = host::run(Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]))
            .or_else(|_| fs::read_to_string(format!("/proc/{pid}/cmdline")).map(|text| text.replace('\0', " ")))
            .ok()?;
        arguments.contains(self.data().to_str()?).then_some(pid)
    }

    pub(super) fn wait_gone(&self, pid: u32) -> bool {
        let deadline = Instant::now() + Duration::from_secs(u64::from(STOP_LIMIT_SECONDS));
        while self.living_postmaster() == Some(pid) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(host::POLL);
        }
        true
    }

    /// The state of a server of this folder that is alive, once it answers; `None` when none is.
    pub(super) fn adopt(&self, context: &Context, own: bool) -> Result<Option<State>, EngineError> {
        let Some(mut state) = host::read_state::<State>(&self.own.join("state.json")) else {
            return Ok(None);
        };
        let deadline = Instant::now() + START_LIMIT;
        while self.living_postmaster().is_some() {
            if let Some(port) = self.pid_file().and_then(|file| file.port) {
                state.port = port;
                if self.answers(context, &state) {
                    return Ok(Some(state));
                }
            }
            if Instant::now() >= deadline {
                return Err(self.failed(format!("the living one does not answer within {} s", START_LIMIT.as_secs())));
            }
            std::thread::sleep(host::POLL);
        }
        if own {
            self.remove_stale_locks()?;
        }
        Ok(None)
    }

    /// Removes what a killed server left: its number may belong to another process by now, and PostgreSQL would then
    /// refuse to start. Whether a server process still has the data is decided by PostgreSQL itself, from its shared memory.
    fn remove_stale_locks(&self) -> Result<(), EngineError> {
        let entries = fs::read_dir(&self.server).map_err(EngineError::file(&self.server))?;
        let sockets = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(".s.PGSQL."))
            .map(|entry| entry.path());
        for stale in sockets.chain([self.data().join("postmaster.pid")]) {
            match fs::remove_file(&stale) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(EngineError::file(&stale)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the server at this port takes our password and has our data folder.
    fn answers(&self, context: &Context, state: &State) -> bool {
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(state.port)
            .username(SUPERUSER)
            .password(&state.password)
            .database("postgres");
        let folder = context.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(5), async {
                let mut connection = PgConnection::connect_with(&options).await.ok()?;
                let folder: Option<String> =
                    sqlx::query_scalar("SHOW data_directory").fetch_one(&mut connection).await.ok();
                let _ = connection.close().await;
                folder
            })
            .await
            .ok()
            .flatten()
        });
        folder.as_deref() == self.data().to_str()
    }

    pub(super) fn launch(&self, context: &Context, binaries: PathBuf) -> Result<State, EngineError> {
        let path = self.own.join("state.json");
        let remembered = host::read_state::<State>(&path).filter(|_| self.data().join("PG_VERSION").is_file());
        let password = match &remembered {
            Some(state) => state.password.clone(),
            None => {
                let password = host::random_token();
                // The data folder is renamed into place only after its password is on disk.
                let state =
                    State { port: host::free_port(None)?, password: password.clone(), binaries: binaries.clone() };
                host::write_state(&path, &state)?;
                self.initialise(context, &binaries, &password)?;
                password
            }
        };
        let port = host::free_port(remembered.map(|state| state.port))?;
        let state = State { port, password, binaries };
        host::write_state(&path, &state)?;
        let configuration_path = self.data().join("postgresql.conf");
        let text = configuration(&self.server, state.port, context.ephemeral);
        fs::write(&configuration_path, text).map_err(EngineError::file(&configuration_path))?;
        let begin = Instant::now();
        while let Err(error) = self.run_server(&state) {
            let log = host::tail(&self.log());
            // The processes of a killed server end a moment after it.
            if !log.contains("shared memory block") || begin.elapsed() > ORPHAN_LIMIT {
                return Err(self.failed(format!("{error}; {log}")));
            }
            std::thread::sleep(host::POLL);
        }
        if !self.answers(context, &state) {
            return Err(self.failed("another PostgreSQL answers at its port, or it refuses our password".to_owned()));
        }
        context.progress.slow(begin, "started PostgreSQL");
        Ok(state)
    }

    fn run_server(&self, state: &State) -> Result<(), EngineError> {
        let mut command = self.command(&state.binaries.join("pg_ctl"));
        command.args(["start", "-w", "-t", &START_LIMIT.as_secs().to_string(), "-D"]).arg(self.data());
        // Without its own log file the server would keep our output open after our end.
        command.arg("-l").arg(self.log());
        host::run(&mut command).map(drop)
    }

    fn initialise(&self, context: &Context, binaries: &Path, password: &str) -> Result<(), EngineError> {
        let begin = Instant::now();
        if self.data().exists() {
            self.set_aside(context)?;
        }
        let partial = host::partial_folder(&self.data());
        let secret = self.server.join("initial-password");
        host::write_private(&secret, password)?;
        if let Some(user) = self.runs_as {
            chown(&secret, Some(user), Some(user)).map_err(EngineError::file(&secret))?;
        }
        let mut command = self.command(&binaries.join("initdb"));
        command.args(["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username", SUPERUSER]);
        command.arg("--pwfile").arg(&secret).arg("--pgdata").arg(&partial);
        if context.ephemeral {
            command.arg("--no-sync");
        }
        let result = host::run(&mut command);
        let _ = fs::remove_file(&secret);
        result.map_err(|error| self.failed(error.to_string()))?;
        fs::rename(&partial, self.data()).map_err(EngineError::file(self.data()))?;
        context.progress.slow(begin, "initialised PostgreSQL");
        Ok(())
    }

    /// Data whose password is lost: it belonged to a project folder that was deleted and made anew, as a second clone at one
    /// place is, while root's server keeps its data elsewhere. It is of no use to us, but may be someone's: it is kept
    /// beside, and only the last such data is, so that clones do not fill the disk.
    fn set_aside(&self, context: &Context) -> Result<(), EngineError> {
        if let Some(pid) = self.living_postmaster() {
            host::signal(pid, "INT");
            if !self.wait_gone(pid) {
                return Err(self.failed(format!("process {pid} of an earlier project folder has its data; end it")));
            }
        }
        let aside = self.server.join("data.earlier");
        host::remove_folder(&aside)?;
        fs::rename(self.data(), &aside).map_err(EngineError::file(&aside))?;
        context.progress.say(format!(
            "set the PostgreSQL data of an earlier project folder aside, as {}: its password went with that folder",
            aside.display()
        ));
        Ok(())
    }

    fn failed(&self, reason: String) -> EngineError {
        EngineError::Start { engine: "PostgreSQL", reason, log: self.log() }
    }
}

/// A folder that someone else made beforehand could be read, or swapped, by that user.
fn require_owner(folder: &Path, owners: &[u32]) -> Result<(), EngineError> {
    let metadata = fs::symlink_metadata(folder).map_err(EngineError::file(folder))?;
    let refuse = |reason: &str| Err(EngineError::Unsafe { folder: folder.to_owned(), reason: reason.to_owned() });
    if !metadata.is_dir() {
        return refuse("it is not a folder");
    }
    if !owners.contains(&metadata.uid()) {
        return refuse("another user owns it");
    }
    Ok(())
}
