//! The serving process of the demo: started, watched, and started again when it dies.

use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use talea_platform::config::{Config, LogKind};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long a start may take, recovery included.
const START: Duration = Duration::from_secs(60);

pub struct Server {
    url: String,
    control: Arc<Control>,
    supervisor: JoinHandle<anyhow::Result<()>>,
}

#[derive(Default)]
struct Control {
    process_id: AtomicU32,
    stop: Notify,
    /// Set before the process is asked to end, so that its end is not taken for a crash.
    ending: Mutex<bool>,
    restarts: AtomicU32,
}

impl Server {
    /// Starts `talea serve` as a child with this configuration and waits until it is ready.
    pub async fn start(config: &Config, clock: &str, log_file: PathBuf) -> anyhow::Result<Self> {
        let url = format!("http://{}", config.server.listen);
        let control = Arc::new(Control::default());
        let launch = Launch { environment: environment(config, clock), log_file };
        let child = launch.spawn()?;
        control.process_id.store(child.id().unwrap_or_default(), Ordering::SeqCst);
        let supervisor = tokio::spawn(supervise(launch, child, control.clone()));
        let server = Self { url, control, supervisor };
        server.ready().await?;
        Ok(server)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn restarts(&self) -> u32 {
        self.control.restarts.load(Ordering::SeqCst)
    }

    /// Waits until every role says that it is ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let (client, began) = (reqwest::Client::builder().no_proxy().build()?, Instant::now());
        loop {
            let trouble = match client.get(format!("{}/readyz", self.url)).send().await {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => response.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            if self.supervisor.is_finished() {
                bail!("the server ended while it started; its log says why");
            }
            if began.elapsed() > START {
                bail!("the server is not ready after {} s: {trouble}", START.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// SIGKILL, in the middle of whatever it does; the supervisor starts it again.
    pub fn kill(&self) -> anyhow::Result<()> {
        let process = self.control.process_id.load(Ordering::SeqCst);
        send_signal(process, "KILL")
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(self) -> anyhow::Result<()> {
        *self.control.ending.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.control.stop.notify_one();
        self.supervisor.await?
    }
}

fn send_signal(process: u32, signal: &str) -> anyhow::Result<()> {
    let status = std::process::Command::new("kill").args([format!("-{signal}"), process.to_string()]).status();
    if status.context("run kill")?.success() { Ok(()) } else { bail!("no process {process} to signal") }
}

struct Launch {
    environment: Vec<(String, String)>,
    log_file: PathBuf,
}

impl Launch {
    fn spawn(&self) -> anyhow::Result<Child> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log_file)?;
        Command::new(std::env::current_exe()?)
            .arg("serve")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            // Ctrl-C is for the parent, which ends its children in order.
            .process_group(0)
            .spawn()
            .context("start talea serve")
    }
}

async fn supervise(launch: Launch, mut child: Child, control: Arc<Control>) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            ended = child.wait() => {
                let status = ended?;
                if *control.ending.lock().unwrap_or_else(PoisonError::into_inner) {
                    return Ok(());
                }
                if status.code().is_some() {
                    bail!("the server ended by itself ({status}); its log is {}", launch.log_file.display());
                }
                // A signal ended it: what a platform would do now is to start it again.
                control.restarts.fetch_add(1, Ordering::SeqCst);
                child = launch.spawn()?;
                control.process_id.store(child.id().unwrap_or_default(), Ordering::SeqCst);
            }
            () = control.stop.notified() => {
                if let Some(process) = child.id() {
                    send_signal(process, "TERM")?;
                }
                child.wait().await?;
                return Ok(());
            }
        }
    }
}

/// The whole configuration as environment: secrets are never on a command line.
fn environment(config: &Config, clock: &str) -> Vec<(String, String)> {
    let kind = match config.log.kind {
        LogKind::Postgres => "postgres",
        LogKind::Kafka => "kafka",
    };
    let settings = [
        ("SERVER__LISTEN", config.server.listen.to_string()),
        ("ENGINES__HOME", config.engines.home.display().to_string()),
        ("POSTGRES__URL", config.postgres.url.reveal().to_owned()),
        ("POSTGRES__DATABASE", config.postgres.database.clone()),
        ("POSTGRES__ROLE_SECRET", config.postgres.role_secret.reveal().to_owned()),
        ("CLICKHOUSE__URL", config.clickhouse.url.clone()),
        ("CLICKHOUSE__USER", config.clickhouse.user.clone()),
        ("CLICKHOUSE__PASSWORD", config.clickhouse.password.reveal().to_owned()),
        ("CLICKHOUSE__DATABASE", config.clickhouse.database.clone()),
        ("LOG__KIND", kind.to_owned()),
        ("LOG__KAFKA__BROKERS", config.log.kafka.brokers.clone()),
        ("LOG__KAFKA__TOPIC_PREFIX", config.log.kafka.topic_prefix.clone()),
        ("BILLING__GRACE_HOURS", super::catalogue::GRACE_HOURS.to_string()),
        ("CLOCK__TEST", clock.to_owned()),
    ];
    settings.into_iter().map(|(name, value)| (format!("TALEA__{name}"), value)).collect()
}
