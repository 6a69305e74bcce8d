//! A local ClickHouse: a child process that hosts the engine and ends with its parent.
//!
//! Its last statement reads a named pipe that only this process holds open, so the server ends cleanly when this process
//! ends, however it ends. `clickhouse local` cannot ask its own session for a password, so the default user has none:
//! the server listens on 127.0.0.1 only, and every local user can reach it. Give a URL where that is too open.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::clickhouse_files::{configuration, statements, users};
use super::error::EngineError;
use super::{Context, fetch, host};

/// A start loads all tables; with many parts on a slow disk that takes a while.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long an old server may take to end after its parent is gone.
const END_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(15);

#[derive(Serialize, Deserialize)]
struct State {
    port: u16,
    /// Answered by the server as a macro, so that another server at the same port is not taken for ours.
    instance: String,
}

/// A running ClickHouse; ours when it has a process.
pub(super) struct ClickHouse {
    pub(super) url: String,
    process: Option<Process>,
}

struct Process {
    child: Child,
    /// The write end of the named pipe. Closing it ends the server.
    pipe: Option<File>,
    _owner: File,
}

pub(super) fn start(context: &Context) -> Result<ClickHouse, EngineError> {
    let folder = context.data("clickhouse");
    host::create_folder(&folder)?;
    let state_path = folder.join("state.json");
    let Some(owner) = host::try_lock(&folder.join("owner.lock"))? else {
        let state = host::read_state::<State>(&state_path);
        return state.filter(|state| answers(context, state)).map_or_else(
            || Err(busy("ClickHouse", &folder, "has no ClickHouse that answers")),
            |state| Ok(ClickHouse { url: url(state.port), process: None }),
        );
    };
    let program = Program::find(context)?;
    // The server holds this lock as its standard output, so it is free only when an earlier server has ended.
    let Some(output) = ended_server(&folder, END_LIMIT)? else {
        return Err(failed(&folder, "the one of an earlier run does not end".to_owned()));
    };
    output.set_len(0).map_err(EngineError::file(&folder))?;
    let state = State {
        port: host::free_port(host::read_state::<State>(&state_path).map(|state| state.port))?,
        instance: host::random_token(),
    };
    host::write_state(&state_path, &state)?;
    let begin = Instant::now();
    let mut process = launch(&folder, &program, &state, output, owner)?;
    while !answers(context, &state) {
        if !matches!(process.child.try_wait(), Ok(None)) || begin.elapsed() > START_LIMIT {
            return Err(failed(&folder, host::tail(&folder.join("output.log"))));
        }
        std::thread::sleep(host::POLL);
    }
    context.progress.slow(begin, "started ClickHouse");
    Ok(ClickHouse { url: url(state.port), process: Some(process) })
}

/// Removes the data, when no living process has it.
pub(super) fn reset(folder: &Path) -> Result<(), EngineError> {
    reset_hosted("ClickHouse", folder, END_LIMIT)
}

/// Removes the data of a server that ends with its owner.
pub(super) fn reset_hosted(engine: &'static str, folder: &Path, limit: Duration) -> Result<(), EngineError> {
    if !folder.is_dir() {
        return Ok(());
    }
    let Some(_owner) = host::try_lock(&folder.join("owner.lock"))? else {
        return Err(busy(engine, folder, "uses it"));
    };
    let Some(_output) = ended_server(folder, limit)? else {
        return Err(busy(engine, folder, "is an engine of an earlier run that does not end"));
    };
    host::remove_folder(folder)
}

/// Waits for the server of a dead owner to end, and gives the lock that it held.
///
/// If its owner died before the server had opened the pipe, the server waits there for a writer that never comes. So the
/// pipe gets one for a moment, again and again: the server opens it, finds its end, and ends too.
fn ended_server(folder: &Path, limit: Duration) -> Result<Option<File>, EngineError> {
    let deadline = Instant::now() + limit;
    loop {
        let lock = host::lock_within(&folder.join("output.log"), Duration::from_millis(200))?;
        if lock.is_some() || Instant::now() >= deadline {
            return Ok(lock);
        }
        let pipe = folder.join("parent.pipe");
        if pipe.exists() {
            drop(OpenOptions::new().read(true).write(true).open(&pipe));
        }
    }
}

/// What runs `clickhouse local`: a binary, or our own executable with the library.
enum Program {
    Binary(PathBuf),
    Library { executable: PathBuf, library: PathBuf },
}

impl Program {
    fn find(context: &Context) -> Result<Self, EngineError> {
        let binary = host::find_program("clickhouse").filter(|_| context.installed_binaries);
        match binary {
            Some(binary) => Ok(Self::Binary(binary)),
            None => Ok(Self::Library {
                executable: context.executable.clone(),
                library: fetch::clickhouse_library(&context.cache, &context.progress)?,
            }),
        }
    }

    fn command(&self) -> Command {
        match self {
            Self::Binary(binary) => {
                let mut command = Command::new(binary);
                command.arg("local");
                command
            }
            Self::Library { executable, library } => {
                let mut command = Command::new(executable);
                command.args(["engine", "clickhouse"]).arg(library);
                command
            }
        }
    }
}

fn launch(folder: &Path, program: &Program, state: &State, output: File, owner: File) -> Result<Process, EngineError> {
    let text = |path: PathBuf| {
        path.to_str().map(str::to_owned).ok_or_else(|| EngineError::Unsafe {
            folder: folder.to_owned(),
            reason: "ClickHouse needs a path that is UTF-8".to_owned(),
        })
    };
    let (config, users_config, pipe) =
        (folder.join("config.xml"), folder.join("users.xml"), folder.join("parent.pipe"));
    host::write_private(&users_config, &users())?;
    let xml = configuration(&text(folder.to_owned())?, &state.instance);
    host::write_private(&config, &xml)?;
    let _ = fs::remove_file(&pipe);
    host::run(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe))?;
    // Opened for both directions, so that opening does not wait for the reader.
    let held = OpenOptions::new().read(true).write(true).open(&pipe).map_err(EngineError::file(&pipe))?;
    let errors = output.try_clone().map_err(EngineError::file(folder))?;
    let child = program
        .command()
        .arg(format!("--path={}", text(folder.join("data"))?))
        .arg(format!("--http_port={}", state.port))
        .arg("--listen_host=127.0.0.1")
        .arg(format!("--config-file={}", text(config)?))
        .arg("--multiquery")
        .arg(format!("--query={}", statements(&text(pipe)?)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        // A Ctrl-C at the terminal is for us, and we then stop the engines in order.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(folder, error.to_string()))?;
    Ok(Process { child, pipe: Some(held), _owner: owner })
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Whether the server is ready and is ours.
fn answers(context: &Context, state: &State) -> bool {
    let get = |path: &str| {
        let request = context.http.get(format!("{}{path}", url(state.port))).timeout(Duration::from_secs(3));
        context.runtime.block_on(async { request.send().await?.error_for_status()?.text().await })
    };
    get("/ping").is_ok_and(|text| text.trim() == "Ok.")
        && get("/?query=SELECT%20getMacro('instance')").is_ok_and(|text| text.trim() == state.instance)
}

fn busy(engine: &'static str, folder: &Path, reason: &str) -> EngineError {
    EngineError::Busy { engine, folder: folder.to_owned(), reason: reason.to_owned() }
}

fn failed(folder: &Path, reason: String) -> EngineError {
    EngineError::Start { engine: "ClickHouse", reason, log: folder.join("server.log") }
}

impl ClickHouse {
    /// Ends the server if it is ours; bounded.
    pub(super) fn stop(&mut self) {
        drop(self.process.take());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.pipe.take());
        host::signal(self.child.id(), "TERM");
        if !host::wait_child(&mut self.child, STOP_LIMIT) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
