//! The few things that the engines need of the operating system: locks that die with their holder, free ports, private
//! files, signals. Written with the standard library and `sh`, so that no unsafe code is needed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Serialize, de::DeserializeOwned};

use super::error::EngineError;

/// How often a condition is looked at while waiting for it.
pub(super) const POLL: Duration = Duration::from_millis(25);

/// Creates the folder and its parents.
pub(super) fn create_folder(folder: &Path) -> Result<(), EngineError> {
    fs::create_dir_all(folder).map_err(EngineError::file(folder))
}

/// Removes a folder with all that is in it; one that is not there is fine.
pub(super) fn remove_folder(folder: &Path) -> Result<(), EngineError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(EngineError::file(folder)(error)),
        _ => Ok(()),
    }
}

/// A new, empty name beside `folder` for making it in, to be renamed when complete.
///
/// The name is new each time, because a child of a killed process may still write to the last one; earlier ones are
/// removed as well as possible. Call it under a lock.
pub(super) fn partial_folder(folder: &Path) -> PathBuf {
    let prefix = format!("{}.partial-", folder.file_name().unwrap_or_default().to_string_lossy());
    let siblings = folder.parent().and_then(|parent| fs::read_dir(parent).ok());
    for entry in siblings.into_iter().flatten().filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    folder.with_file_name(format!("{prefix}{}", random_token()))
}

/// Writes a file that only its owner can read, in one step: a reader sees the old text or the new, never half.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), EngineError> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(EngineError::file(&temporary))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(EngineError::file(&temporary))?;
    fs::rename(&temporary, path).map_err(EngineError::file(path))
}

/// Writes a state file; see [`write_private`].
pub(super) fn write_state<T: Serialize>(path: &Path, state: &T) -> Result<(), EngineError> {
    let text =
        serde_json::to_string_pretty(state).map_err(|error| EngineError::file(path)(std::io::Error::other(error)))?;
    write_private(path, &text)
}

/// Reads a state file; absent or damaged is `None`, because every state can be made anew.
pub(super) fn read_state<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

fn open_lock(path: &Path) -> Result<File, EngineError> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(EngineError::file(path))
}

/// Waits for the lock. It is released when the returned file is dropped or the process dies.
pub(super) fn lock(path: &Path) -> Result<File, EngineError> {
    let file = open_lock(path)?;
    file.lock().map_err(EngineError::file(path))?;
    Ok(file)
}

/// Takes the lock if nobody has it.
pub(super) fn try_lock(path: &Path) -> Result<Option<File>, EngineError> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(EngineError::file(path)(error)),
    }
}

/// Takes the lock within `limit`, or gives `None`.
pub(super) fn lock_within(path: &Path, limit: Duration) -> Result<Option<File>, EngineError> {
    let deadline = Instant::now() + limit;
    loop {
        let taken = try_lock(path)?;
        if taken.is_some() || Instant::now() >= deadline {
            return Ok(taken);
        }
        std::thread::sleep(POLL);
    }
}

/// `preferred` when it is free on 127.0.0.1, else any free port. The port is free at this moment, not reserved.
pub(super) fn free_port(preferred: Option<u16>) -> Result<u16, EngineError> {
    let bind = |port| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    preferred
        .and_then(|port| bind(port).ok())
        .map_or_else(|| bind(0), Ok)
        .map(|address| address.port())
        .map_err(EngineError::file("127.0.0.1"))
}

/// 128 random bits as hexadecimal digits.
pub(super) fn random_token() -> String {
    format!("{:032x}", talea_platform::random::bits128())
}

/// The user that this process acts as, seen from a file that it makes in `folder`.
pub(super) fn effective_user(folder: &Path) -> Result<u32, EngineError> {
    let probe = folder.join(format!(".user-{}-{}", std::process::id(), random_token()));
    File::create(&probe).map_err(EngineError::file(&probe))?;
    let user = fs::metadata(&probe).map(|metadata| metadata.uid()).map_err(EngineError::file(&probe));
    let _ = fs::remove_file(&probe);
    user
}

/// The full path of a program, looked up in PATH.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// Sends a signal ("TERM", "KILL", "QUIT", or "0" to ask whether the process is there); true when it was delivered.
pub(super) fn signal(pid: u32, signal: &str) -> bool {
    Command::new("sh")
        .args(["-c", "kill -\"$1\" \"$2\"", "sh", signal, &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Waits for a child, at most `limit`; true when it ended.
pub(super) fn wait_child(child: &mut Child, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// Runs a command to its end and gives what it printed; a failure gives the last lines of what it complained about.
pub(super) fn run(command: &mut Command) -> Result<String, EngineError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| EngineError::Command { program: program.clone(), reason };
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(failed(format!("{}: {}", output.status, last_lines(&String::from_utf8_lossy(&text)))))
}

/// The end of a log file, for an error message.
pub(super) fn tail(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |bytes| last_lines(&String::from_utf8_lossy(&bytes)))
}

/// The last five lines that are not empty, joined in one.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("talea-host-{name}-{}", std::process::id()));
        create_folder(&folder).unwrap();
        folder
    }

    #[test]
    fn last_lines_keeps_the_end_and_skips_blank_lines() {
        assert_eq!(last_lines("1\n2\n\n3\n4\n5\n6\n"), "2 | 3 | 4 | 5 | 6");
        assert_eq!(last_lines(""), "");
    }

    #[test]
    fn a_lock_excludes_a_second_holder_until_it_is_dropped() {
        let folder = scratch("lock");
        let path = folder.join("a.lock");
        let held = try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
        remove_folder(&folder).unwrap();
    }

    #[test]
    fn a_private_file_is_readable_by_its_owner_only() {
        let folder = scratch("private");
        let path = folder.join("state.json");
        write_state(&path, &7_u16).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_state::<u16>(&path), Some(7));
        remove_folder(&folder).unwrap();
    }

    #[test]
    fn a_taken_port_is_not_given_again() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_port(Some(port)).unwrap(), port);
    }
}
