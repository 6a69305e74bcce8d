//! `talea demo`: a month of a product's usage becomes invoices and quota signals while you watch, and a separate auditor
//! proves it.
//!
//! Follow the flow: engines and [`server`] start, [`api`] onboards the [`catalogue`], the [`sender`] (a process of its own)
//! sends the [`workload`] and keeps a [`journal`], [`proof`] recounts, [`report`] shows.

mod api;
mod catalogue;
mod journal;
mod latency;
mod proof;
mod report;
pub mod sender;
mod server;
mod workload;

pub use proof::{RecountArguments, recount};

use crate::engines::{self, KafkaChoice};
use crate::{admin, local};
use anyhow::{Context, bail};
use api::Api;
use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use rand::RngExt;
use serde_json::Value;
use server::Server;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use talea_domain::tenant::Scope;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::config::Config;
use talea_platform::postgres::{Databases, Target};
use talea_platform::random;
use tokio::io::{AsyncBufReadExt, BufReader};

/// The first instant of the demo's month.
const MONTH: &str = "2026-09-01T00:00:00Z";
const DATABASE: &str = "talea_demo";
/// How long metering may take to catch up after the last event.
const DRAIN: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, clap::Args)]
pub struct DemoArguments {
    /// End after the report instead of serving until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// Remove all engines' data first.
    #[arg(long)]
    reset: bool,
    /// Put the log on Kafka: on these brokers, or without an address on one that is fetched and started here.
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1)]
    kafka: Option<Option<String>>,
    /// How many events are sent.
    #[arg(long, default_value_t = 310_000)]
    events: usize,
    /// The same seed gives the same events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kill the serving process with SIGKILL so many times while events are sent; it is started again each time.
    #[arg(long, default_value_t = 0)]
    crash: u32,
}

/// Runs the demo; fails when the proof does not agree.
pub async fn run(config: Config, arguments: DemoArguments, json: bool) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let folder = config.engines.home.join("demo");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let (config, engines) = start_engines(config, &arguments).await?;
    let outcome = play(&config, &arguments, &folder, json, began).await;
    engines.stop().await;
    outcome
}

async fn start_engines(mut config: Config, arguments: &DemoArguments) -> anyhow::Result<(Config, engines::Engines)> {
    let stage = Stage::begin("engines");
    let mut options = local::options(&config)?;
    options.kafka = match &arguments.kafka {
        None => KafkaChoice::Off,
        Some(None) => KafkaChoice::Local,
        Some(Some(brokers)) => KafkaChoice::Brokers(brokers.clone()),
    };
    if arguments.reset {
        engines::reset(&options).await?;
    }
    config.postgres.database = DATABASE.to_owned();
    config.clickhouse.database = DATABASE.to_owned();
    // A log of its own for every run: what an earlier one left on the brokers is not read.
    config.log.kafka.topic_prefix = format!("demo-{:08x}-", random::bits128() as u32);
    let (config, engines) = local::with_engines(config, options).await?;
    stage.done("PostgreSQL and ClickHouse answer");
    Ok((config, engines))
}

async fn play(
    config: &Config,
    arguments: &DemoArguments,
    folder: &Path,
    json: bool,
    began: Instant,
) -> anyhow::Result<ExitCode> {
    let stage = Stage::begin("databases");
    clear(config).await?;
    admin::migrate_databases(config).await?;
    let databases = Databases::connect(&config.postgres).await?;
    let key = admin::keys::create(&databases, Scope::ALL.to_vec(), None, "demo".to_owned()).await?.shown;
    databases.close().await;
    let key_file = local::admin_key_path(&config.engines.home);
    local::write_private(&key_file, key.reveal())?;
    stage.done("fresh and migrated");

    let stage = Stage::begin("server");
    let log_file = folder.join("serve.log");
    let server =
        Server::start(config, MONTH, log_file.clone()).await.with_context(|| format!("see {}", log_file.display()))?;
    stage.done(&format!("{} on a test clock that starts at {MONTH}", server.url()));

    let stage = Stage::begin("tenants");
    let api = Api::new(server.url(), key)?;
    api::onboard(&api, &MONTH[..10]).await?;
    stage.done(&format!(
        "{} on {} plans, {} meters",
        catalogue::tenants().len(),
        catalogue::plans().len(),
        catalogue::meters().len()
    ));

    let journal = folder.join("journal.jsonl");
    let sending = Instant::now();
    send(&server, arguments, &key_file, &journal).await?;
    let sent_in = sending.elapsed();
    server.ready().await?;
    drained(&api).await?;
    let finished_in = sending.elapsed();

    let stage = Stage::begin("latency");
    let latency = latency::measure(config, &api, &journal).await?;
    stage.done(&format!("{} quota signals awaited one by one", latency.len()));

    let stage = Stage::begin("proof");
    let finding = proof::run(config, server.url(), &key_file, &journal).await?;
    let agrees = finding["agrees"] == true;
    stage.done(if agrees { "the auditor agrees" } else { "THE AUDITOR DISAGREES" });

    let timing = report::Timing { total: began.elapsed(), sending: sent_in, until_counted: finished_in };
    let report = report::gather(config, &api, &journal, finding, server.restarts(), &timing, &latency).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report::text(&report));
    }
    if !arguments.exit {
        eprintln!("serving on {} until Ctrl-C; the key is in {}", server.url(), key_file.display());
        tokio::signal::ctrl_c().await?;
    }
    server.stop().await?;
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every run has databases of its own making.
async fn clear(config: &Config) -> anyhow::Result<()> {
    use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
    let mut admin = Target::from(&config.postgres).admin()?.connect().await?;
    let statement = format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await?;
    admin.close().await?;
    let settings = &config.clickhouse;
    let clickhouse = ClickHouse::connect(&settings.url, &settings.user, settings.password.reveal(), "default")?;
    clickhouse.execute(clickhouse.query(&format!("DROP DATABASE IF EXISTS {DATABASE} SYNC"))).await?;
    Ok(())
}

/// Runs the sender as a process of its own and shows how far it is; kills the server in between when asked to.
async fn send(server: &Server, arguments: &DemoArguments, key_file: &Path, journal: &PathBuf) -> anyhow::Result<()> {
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .arg("demo-send")
        .args(["--url", server.url(), "--from", MONTH])
        .args(["--events", &arguments.events.to_string(), "--seed", &arguments.seed.to_string()])
        .arg("--key-file")
        .arg(key_file)
        .arg("--journal")
        .arg(journal)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the sender")?;
    let bar = ProgressBar::new(arguments.events as u64);
    bar.set_style(ProgressStyle::with_template("  {bar:40} {pos}/{len} events, {per_sec}, {eta} left")?);
    let mut kills = kill_points(arguments);
    let mut lines = BufReader::new(child.stdout.take().context("the sender's output")?).lines();
    while let Some(line) = lines.next_line().await? {
        let progress: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let sent = progress["sent"].as_u64().unwrap_or_default();
        bar.set_position(sent);
        if kills.last().is_some_and(|at| *at <= sent) {
            kills.pop();
            // Not between two requests, but while the next one is being taken.
            tokio::time::sleep(Duration::from_millis(rand::rng().random_range(1..150))).await;
            server.kill()?;
            bar.println(format!("  killed the server after {sent} events"));
        }
    }
    let status = child.wait().await?;
    bar.finish_and_clear();
    if !status.success() {
        bail!("the sender failed ({status})");
    }
    eprintln!("  {:<11} {} events sent, faults among them", "sender", arguments.events);
    Ok(())
}

/// Random points in the first nine tenths, the last one first.
fn kill_points(arguments: &DemoArguments) -> Vec<u64> {
    let most = (arguments.events as u64 * 9 / 10).max(1);
    let mut points: Vec<u64> = (0..arguments.crash).map(|_| rand::rng().random_range(0..most)).collect();
    points.sort_unstable_by(|left, right| right.cmp(left));
    points
}

/// Waits until metering has read everything.
async fn drained(api: &Api) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let metrics = api.metrics().await?;
        let lags: Vec<&str> = metrics.lines().filter(|line| line.starts_with("talea_metering_lag_records{")).collect();
        if !lags.is_empty() && lags.iter().all(|line| line.ends_with(" 0")) {
            return Ok(());
        }
        if began.elapsed() > DRAIN {
            bail!("metering is behind after {} s: {lags:?}", DRAIN.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One line of the demo's progress.
struct Stage {
    name: &'static str,
    began: Instant,
}

impl Stage {
    fn begin(name: &'static str) -> Self {
        Self { name, began: Instant::now() }
    }

    fn done(self, what: &str) {
        eprintln!("  {:<11} {what} ({:.1} s)", self.name, self.began.elapsed().as_secs_f32());
    }
}

/// The instants that the demo's two months begin and end at.
pub(crate) fn months() -> anyhow::Result<[DateTime<Utc>; 3]> {
    let first = DateTime::parse_from_rfc3339(MONTH)?.to_utc();
    let after = |months| first.checked_add_months(chrono::Months::new(months)).context("the year is out of range");
    Ok([first, after(1)?, after(2)?])
}
