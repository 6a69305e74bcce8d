//! The texts around a local PostgreSQL: its configuration, its pid file, its URL and the place of its folder.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The role that `initdb` makes; it owns the database `postgres`.
pub(super) const SUPERUSER: &str = "postgres";

/// The longest path of a Unix socket on Linux, less the final NUL byte. PostgreSQL names its socket `.s.PGSQL.<port>`.
const SOCKET_PATH_LIMIT: usize = 107;

/// When root starts PostgreSQL: one folder per data folder, where an unprivileged user can reach it. The homes of users,
/// and so most project folders, are closed to it.
pub(super) fn root_folder(own: &Path) -> PathBuf {
    let digest = Sha256::digest(own.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/var/tmp").join(format!("talea-{name}"))
}

/// The URL of the superuser. It holds the password: keep it out of logs.
pub(super) fn url(password: &str, port: u16) -> String {
    format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres")
}

/// The whole postgresql.conf. Durability is given up only for tests, whose data nobody needs after a power cut.
pub(super) fn configuration(socket_folder: &Path, port: u16, ephemeral: bool) -> String {
    let durable = if ephemeral { "off" } else { "on" };
    let longest = socket_folder.as_os_str().len() + "/.s.PGSQL.65535.lock".len();
    let folder = socket_folder.to_string_lossy();
    // A list is split at commas, and an item is quoted by double quotes inside the single ones.
    let sockets = if longest > SOCKET_PATH_LIMIT || folder.contains(['"', ',', '\n']) {
        String::new()
    } else {
        format!("\"{}\"", folder.replace('\'', "''"))
    };
    format!(
        "# Written at every start.\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = '{sockets}'\n\
         unix_socket_permissions = 0700\n\
         max_connections = 100\n\
         shared_buffers = 128MB\n\
         max_wal_size = 1GB\n\
         fsync = {durable}\n\
         synchronous_commit = {durable}\n\
         full_page_writes = {durable}\n\
         password_encryption = scram-sha-256\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         datestyle = 'iso, mdy'\n\
         default_text_search_config = 'pg_catalog.english'\n\
         log_min_messages = warning\n"
    )
}

/// What is needed of postmaster.pid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    /// Absent while the server is starting.
    pub(super) port: Option<u16>,
}

impl PidFile {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let pid = lines.next()?.parse().ok()?;
        Some(Self { pid, port: lines.nth(2).and_then(|line| line.parse().ok()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_gives_the_port_once_it_is_there() {
        let check = |text: &str, expected: Option<PidFile>| assert_eq!(PidFile::parse(text), expected, "{text}");
        check("42\n/data\n1700000000\n5433\n/sockets\n", Some(PidFile { pid: 42, port: Some(5433) }));
        check("42\n/data\n", Some(PidFile { pid: 42, port: None }));
        check("", None);
        check("-42\n/data\n", None);
    }

    #[test]
    fn durability_is_given_up_only_for_tests() {
        assert!(configuration(Path::new("/a"), 1, false).contains("\nfsync = on\nsynchronous_commit = on\n"));
        assert!(configuration(Path::new("/a"), 1, true).contains("\nfsync = off\n"));
    }

    #[test]
    fn a_path_too_long_for_a_socket_means_no_socket() {
        let long = PathBuf::from(format!("/{}", "x".repeat(100)));
        assert!(configuration(&long, 1, false).contains("unix_socket_directories = ''"));
        assert!(configuration(Path::new("/it's"), 1, false).contains("unix_socket_directories = '\"/it''s\"'"));
    }

    #[test]
    fn each_project_has_a_folder_of_its_own() {
        assert_ne!(root_folder(Path::new("/a")), root_folder(Path::new("/b")));
        assert_eq!(root_folder(Path::new("/a")), root_folder(Path::new("/a")));
    }
}
