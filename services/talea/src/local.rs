//! One machine without configuration: engines are started, their addresses and secrets filled in, a first key made.

use crate::engines::{self, EngineOptions, Engines, KafkaChoice};
use anyhow::Context;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use talea_platform::config::{Config, LogKind};
use talea_platform::random;
use talea_platform::secret::Secret;

/// The local administrator's key: every command on this machine finds it here.
pub const ADMIN_KEY_FILE: &str = "admin.key";
const ROLE_SECRET_FILE: &str = "role.secret";

/// Whether any engine is to be run here.
pub fn is_local(config: &Config) -> bool {
    config.postgres.url.is_empty() || config.clickhouse.url.is_empty()
}

/// Starts (or adopts) the engines that have no URL and fills in where they are.
pub async fn with_engines(mut config: Config, options: EngineOptions) -> anyhow::Result<(Config, Engines)> {
    let engines = engines::start(&options, &|line| eprintln!("  {line}")).await.context("local engines")?;
    config.postgres.url = Secret::new(engines.postgres_url.clone());
    config.clickhouse.url = engines.clickhouse_url.clone();
    if let Some(brokers) = &engines.kafka_brokers {
        config.log.kind = LogKind::Kafka;
        config.log.kafka.brokers = brokers.clone();
    }
    if config.postgres.role_secret.is_empty() {
        config.postgres.role_secret = role_secret(&config.engines.home)?;
    }
    Ok((config, engines))
}

/// The engines that a configuration asks for.
pub fn options(config: &Config) -> anyhow::Result<EngineOptions> {
    let given = |url: &str| (!url.is_empty()).then(|| url.to_owned());
    Ok(EngineOptions {
        postgres_url: given(config.postgres.url.reveal()),
        clickhouse_url: given(&config.clickhouse.url),
        kafka: KafkaChoice::Off,
        ..EngineOptions::new(config.engines.home.clone())?
    })
}

/// Made once and kept, readable by its owner alone.
fn role_secret(home: &Path) -> anyhow::Result<Secret> {
    let path = home.join(ROLE_SECRET_FILE);
    if let Ok(text) = fs::read_to_string(&path) {
        return Ok(Secret::new(text.trim()));
    }
    let text: String = random::secret256().iter().map(|byte| format!("{byte:02x}")).collect();
    write_private(&path, &text)?;
    Ok(Secret::new(text))
}

pub fn admin_key_path(home: &Path) -> PathBuf {
    home.join(ADMIN_KEY_FILE)
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .with_context(|| format!("write {}", temporary.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path).with_context(|| format!("write {}", path.display()))
}
