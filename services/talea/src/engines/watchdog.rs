//! A small shell process that outlives us just long enough to end what we started.
//!
//! It reads from a pipe whose other end only this process holds. The kernel closes that end however we die, kill -9
//! included, so nothing here depends on a destructor being run.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::error::EngineError;
use super::host;

/// Runs a server until it ends or the pipe closes. Then SIGTERM, and SIGKILL after 20 s.
const HOST: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( read -r _ <&3
  kill -TERM "$server"
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1; kill -0 "$server" || exit 0; done
  kill -KILL "$server" ) >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$server"
status=$?
kill "$watch" 2>/dev/null
exit "$status"
"#;

/// Waits for the pipe to close, stops the PostgreSQL of the pid file at once, and removes the folder.
const REMOVE: &str = r#"
read -r _
if [ -f "$1" ]; then
  pid=$(head -n 1 "$1")
  kill -QUIT "$pid"
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -0 "$pid" || break; sleep 0.1; done
fi
rm -rf "$2"
"#;

/// A running watchdog. Dropping it closes the pipe, so that the watchdog does its work.
pub(super) struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Runs `server` as a child of the watchdog. It ends when the watchdog is dropped or this process dies.
    pub(super) fn host(server: &Command, output: File, folder: &Path) -> Result<Self, EngineError> {
        let errors = output.try_clone().map_err(EngineError::file(folder))?;
        let mut shell = shell(HOST, folder);
        shell.arg(server.get_program()).args(server.get_args()).stdout(output).stderr(errors);
        Self::spawn(shell)
    }

    /// When this process is gone: stops the PostgreSQL of `pid_file` and removes `folder`.
    pub(super) fn remove_after_us(pid_file: &Path, folder: &Path) -> Result<Self, EngineError> {
        let mut shell = shell(REMOVE, Path::new("/"));
        shell.arg(pid_file).arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        Self::spawn(shell)
    }

    fn spawn(mut shell: Command) -> Result<Self, EngineError> {
        let child = shell
            .spawn()
            .map_err(|error| EngineError::Command { program: "sh".to_owned(), reason: error.to_string() })?;
        Ok(Self { child })
    }

    /// True when the server of [`Self::host`] has ended.
    pub(super) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if !host::wait_child(&mut self.child, Duration::from_secs(25)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Its own process group: a Ctrl-C at the terminal is for us, and we then stop the engines in order.
fn shell(script: &str, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).current_dir(folder).stdin(Stdio::piped()).process_group(0);
    shell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_watchdog_ends_the_server() {
        let folder = std::env::temp_dir().join(format!("talea-watchdog-{}", std::process::id()));
        host::create_folder(&folder).unwrap();
        let lock = folder.join("output.log");
        let output = host::try_lock(&lock).unwrap().unwrap();
        let mut server = Command::new("sleep");
        server.arg("600");
        let mut watchdog = Watchdog::host(&server, output, &folder).unwrap();
        assert!(!watchdog.ended());
        assert!(host::try_lock(&lock).unwrap().is_none(), "the server holds the lock of its output");
        drop(watchdog);
        assert!(host::lock_within(&lock, Duration::from_secs(5)).unwrap().is_some());
        host::remove_folder(&folder).unwrap();
    }
}
