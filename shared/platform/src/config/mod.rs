//! Configuration: one commented default, overridden by a file and the environment, validated once at start.

mod check;
mod wire;

use crate::secret::Secret;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use talea_domain::event::EventLimits;

/// The default configuration; it is also the manual.
pub const DEFAULT: &str = include_str!("default.toml");
/// Environment variables of this prefix override: `TALEA__SECTION__KEY`.
const ENVIRONMENT_PREFIX: &str = "TALEA";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub engines: Engines,
    pub postgres: Postgres,
    pub clickhouse: ClickHouse,
    pub log: Log,
    pub ingest: Ingest,
    pub events: EventLimits,
    pub metering: Metering,
    pub billing: Billing,
    pub quota: Quota,
    pub clock: TestClock,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    pub request_timeout_seconds: u64,
    pub shutdown_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engines {
    pub home: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    pub url: Secret,
    pub database: String,
    pub role_secret: Secret,
    pub max_connections: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClickHouse {
    pub url: String,
    pub user: String,
    pub password: Secret,
    pub database: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    Postgres,
    Kafka,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub kind: LogKind,
    pub partitions: u32,
    pub retention_days: u64,
    pub kafka: Kafka,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    pub brokers: String,
    pub replication_factor: u32,
    pub min_insync_replicas: u32,
    pub topic_prefix: String,
    #[serde(deserialize_with = "wire::properties")]
    pub properties: BTreeMap<String, Secret>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    pub max_events: usize,
    pub max_body_bytes: usize,
    pub tenant_events_per_second: u64,
    pub tenant_burst: u64,
    pub max_events_in_flight: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metering {
    pub window_days: u64,
    pub future_minutes: u64,
    pub block_events: usize,
    pub block_linger_milliseconds: u64,
    pub bucket_quiet_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Billing {
    pub grace_hours: u64,
    pub due_days: u64,
    /// `NAME DAYS` or `NAME DAYS suspend`; see [`talea_domain::dunning::DunningPolicy::parse`].
    #[serde(deserialize_with = "wire::lines")]
    pub dunning: Vec<String>,
    pub empty_invoices: bool,
    pub interval_seconds: u64,
    pub issuer: Issuer,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub name: String,
    #[serde(deserialize_with = "wire::lines")]
    pub address: Vec<String>,
    pub tax_id: String,
    pub series: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub stale_after_seconds: u64,
    pub coalesce_milliseconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestClock {
    /// Empty for the system's clock.
    pub test: String,
}

impl TestClock {
    pub fn start(&self) -> Result<Option<DateTime<Utc>>, ConfigError> {
        if self.test.is_empty() {
            return Ok(None);
        }
        let start = DateTime::parse_from_rfc3339(&self.test).map_err(|_| {
            ConfigError::key("clock.test", "is not a time", "write it like 2026-10-01T00:00:00Z, or leave it empty")
        })?;
        Ok(Some(start.to_utc()))
    }
}

/// Names the key and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("configuration: {key} {reason}; {way_out}")]
    Key { key: String, reason: String, way_out: String },
    #[error("configuration: {0}; compare with the default file (`talea config --default`)")]
    Unreadable(String),
}

impl ConfigError {
    pub fn key(key: &str, reason: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::Key { key: key.into(), reason: reason.into(), way_out: way_out.into() }
    }
}

/// Reads defaults, then the file, then the environment, then `overrides` (key, value) from the command line.
pub fn load(file: Option<&Path>, overrides: &[(&str, String)]) -> Result<Config, ConfigError> {
    load_with(file, None, overrides)
}

/// `environment`: stands in for the process's own.
fn load_with(
    file: Option<&Path>,
    environment: Option<HashMap<String, String>>,
    overrides: &[(&str, String)],
) -> Result<Config, ConfigError> {
    use config::{Environment, File, FileFormat};
    let unreadable = |error: config::ConfigError| ConfigError::Unreadable(error.to_string());
    let mut builder = config::Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml));
    if let Some(path) = file {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    // Values stay text until their setting's type is known: a password of digits keeps its leading zeros.
    let variables = Environment::with_prefix(ENVIRONMENT_PREFIX).prefix_separator("__").separator("__");
    builder = builder.add_source(variables.source(environment));
    for (key, value) in overrides {
        builder = builder.set_override(*key, value.as_str()).map_err(unreadable)?;
    }
    let config: Config = builder.build().and_then(config::Config::try_deserialize).map_err(unreadable)?;
    check::check(&config)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        let config = load(None, &[]).expect("valid");
        assert_eq!(config.log.kind, LogKind::Postgres);
        assert_eq!(config.clock.start().expect("valid"), None);
    }

    #[test]
    fn a_wrong_value_names_its_key_and_the_way_out() {
        for (key, value, says) in [
            ("log.retention_days", "35", "log.retention_days"),
            ("metering.window_days", "101", "metering.window_days"),
            ("events.max_leaves", "0", "events.max_leaves"),
            ("clock.test", "yesterday", "clock.test"),
            ("log.partitions", "0", "log.partitions"),
            ("postgres.role_secret", "short", "postgres.role_secret"),
            ("server.listen", "nowhere", "invalid socket address"),
            ("log.kind", "rabbit", "rabbit"),
            ("log.retention_days", "0", "log.retention_days"),
            ("server.request_timeout_seconds", "0", "server.request_timeout_seconds"),
            ("quota.coalesce_milliseconds", "0", "quota.coalesce_milliseconds"),
            ("events.max_depth", "100000", "events.max_depth"),
            ("clickhouse.url", "http://talea:geheim@store:8123", "clickhouse.url"),
        ] {
            let error = load(None, &[(key, value.to_owned())]).expect_err(key).to_string();
            assert!(error.contains(says), "{key}: {error}");
            assert!(!error.contains("geheim"), "{key}: {error}");
        }
    }

    #[test]
    fn the_environment_reaches_every_kind_of_setting_and_alters_no_text() {
        let variables = [
            ("TALEA__LOG__PARTITIONS", "8"),
            ("TALEA__BILLING__EMPTY_INVOICES", "true"),
            ("TALEA__BILLING__ISSUER__TAX_ID", "0123456"),
            ("TALEA__BILLING__ISSUER__SERIES", "1e3"),
            ("TALEA__BILLING__ISSUER__ADDRESS", "1 Main Street, Floor 2; Springfield"),
            ("TALEA__CLICKHOUSE__PASSWORD", "007"),
            ("TALEA__LOG__KAFKA__PROPERTIES__SASL__PASSWORD", "12"),
            ("TALEA__LOG__KAFKA__PROPERTIES__SECURITY.PROTOCOL", "ssl"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = load_with(None, Some(HashMap::from(variables)), &[]).expect("valid");
        assert_eq!((config.log.partitions, config.billing.empty_invoices), (8, true));
        let issuer = &config.billing.issuer;
        assert_eq!((issuer.tax_id.as_str(), issuer.series.as_str()), ("0123456", "1e3"));
        assert_eq!(issuer.address, ["1 Main Street, Floor 2", "Springfield"]);
        assert_eq!(config.clickhouse.password.reveal(), "007");
        let properties = &config.log.kafka.properties;
        assert_eq!(properties["sasl.password"].reveal(), "12");
        assert_eq!(properties["security.protocol"].reveal(), "ssl");
    }

    #[test]
    fn secrets_do_not_show() {
        let config = load(None, &[("postgres.role_secret", "0123456789abcdef0123456789abcdef".into())]).expect("valid");
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
    }
}
