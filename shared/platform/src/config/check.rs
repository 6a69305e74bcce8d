//! The rules between settings. Each refusal names the key and the way out.

use super::{Config, ConfigError, LogKind};
use crate::log::MAX_RECORD_BYTES;
use crate::usage::recovery::IDENTITY_RETENTION_DAYS;

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    config.clock.start()?;
    let metering = &config.metering;
    require(
        config.log.retention_days < metering.window_days,
        "log.retention_days",
        "is not below metering.window_days",
        "a record that can be replayed must still be remembered: lower it, or raise metering.window_days",
    )?;
    within("log.partitions", u64::from(config.log.partitions), 1, 1024)?;
    within("metering.window_days", metering.window_days, 1, IDENTITY_RETENTION_DAYS.unsigned_abs())?;
    within("metering.block_events", metering.block_events as u64, 1, 1_000_000)?;
    within("events.max_leaves", config.events.max_leaves as u64, 1, 1024)?;
    within("events.max_event_bytes", config.events.max_event_bytes as u64, 256, MAX_RECORD_BYTES as u64 / 2)?;
    within("metering.future_minutes", metering.future_minutes, 0, 60 * 24 * 31)?;
    within("ingest.max_events", config.ingest.max_events as u64, 1, 100_000)?;
    within("ingest.max_body_bytes", config.ingest.max_body_bytes as u64, 1024, 64 << 20)?;
    within("ingest.tenant_events_per_second", config.ingest.tenant_events_per_second, 1, 1 << 32)?;
    within("ingest.max_events_in_flight", config.ingest.max_events_in_flight as u64, 1, 10_000_000)?;
    within("billing.grace_hours", config.billing.grace_hours, 0, 24 * 31)?;
    within("billing.due_days", config.billing.due_days, 0, 365)?;
    within("billing.interval_seconds", config.billing.interval_seconds, 1, 3600)?;
    within("postgres.max_connections", u64::from(config.postgres.max_connections), 4, 1000)?;
    require(
        config.ingest.tenant_burst >= config.ingest.max_events as u64,
        "ingest.tenant_burst",
        "is below ingest.max_events, so a full request could never pass",
        "raise it to at least ingest.max_events",
    )?;
    let secret = config.postgres.role_secret.reveal();
    require(
        secret.is_empty() || secret.len() >= 32,
        "postgres.role_secret",
        "is shorter than 32 characters",
        "use for example the output of `openssl rand -hex 32`",
    )?;
    require(
        config.postgres.url.is_empty() || !secret.is_empty(),
        "postgres.role_secret",
        "is empty while postgres.url is set",
        "set it, so that the roles get passwords",
    )?;
    require(
        config.log.kind != LogKind::Kafka || !config.log.kafka.brokers.is_empty(),
        "log.kafka.brokers",
        "is empty while log.kind is \"kafka\"",
        "name the brokers as HOST:PORT,HOST:PORT",
    )?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    for (key, name) in [("postgres.database", &config.postgres.database), ("clickhouse.database", &config.clickhouse.database)] {
        require(plain(name), key, "is not a plain name", "use letters, digits and _")?;
    }
    Ok(())
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    require((least..=most).contains(&value), key, &format!("is {value}"), &format!("use {least} to {most}"))
}

fn require(holds: bool, key: &str, reason: &str, way_out: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::key(key, reason, way_out)) }
}
