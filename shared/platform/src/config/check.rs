//! The rules between settings. Each refusal names the key and the way out.

use super::{Config, ConfigError, LogKind};
use crate::log::MAX_RECORD_BYTES;
use crate::usage::recovery::IDENTITY_RETENTION_DAYS;
use talea_domain::dunning::DunningPolicy;

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    config.clock.start()?;
    let metering = &config.metering;
    require(
        config.log.retention_days < metering.window_days,
        "log.retention_days",
        "is not below metering.window_days",
        "a record that can be replayed must still be remembered: lower it, or raise metering.window_days",
    )?;
    within("server.request_timeout_seconds", config.server.request_timeout_seconds, 1, 3600)?;
    within("server.shutdown_seconds", config.server.shutdown_seconds, 0, 3600)?;
    within("log.retention_days", config.log.retention_days, 1, 3650)?;
    within("log.partitions", u64::from(config.log.partitions), 1, 1024)?;
    within("metering.window_days", metering.window_days, 1, IDENTITY_RETENTION_DAYS.unsigned_abs())?;
    within("metering.block_events", metering.block_events as u64, 1, 1_000_000)?;
    within("events.max_leaves", config.events.max_leaves as u64, 1, 1024)?;
    // Its reader recurses: more would need more stack than a thread has.
    within("events.max_depth", config.events.max_depth as u64, 1, 100)?;
    within("events.max_event_bytes", config.events.max_event_bytes as u64, 256, MAX_RECORD_BYTES as u64 / 2)?;
    within("metering.block_linger_milliseconds", metering.block_linger_milliseconds, 0, 10_000)?;
    within("metering.bucket_quiet_seconds", metering.bucket_quiet_seconds, 0, 86_400)?;
    within("quota.stale_after_seconds", config.quota.stale_after_seconds, 1, 86_400)?;
    within("quota.coalesce_milliseconds", config.quota.coalesce_milliseconds, 1, 10_000)?;
    within("metering.future_minutes", metering.future_minutes, 0, 60 * 24 * 31)?;
    within("ingest.max_events", config.ingest.max_events as u64, 1, 100_000)?;
    within("ingest.max_body_bytes", config.ingest.max_body_bytes as u64, 1024, 64 << 20)?;
    within("ingest.tenant_events_per_second", config.ingest.tenant_events_per_second, 1, 1 << 32)?;
    within("ingest.max_events_in_flight", config.ingest.max_events_in_flight as u64, 1, 10_000_000)?;
    within("billing.grace_hours", config.billing.grace_hours, 0, 24 * 31)?;
    within("billing.due_days", config.billing.due_days, 0, 365)?;
    DunningPolicy::parse(&config.billing.dunning)
        .map_err(|error| ConfigError::key("billing.dunning", error.reason, error.way_out))?;
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
    let kafka = &config.log.kafka;
    within("log.kafka.replication_factor", u64::from(kafka.replication_factor), 1, 100)?;
    within(
        "log.kafka.min_insync_replicas",
        u64::from(kafka.min_insync_replicas),
        1,
        u64::from(kafka.replication_factor),
    )?;
    // It is shown and logged, so it must not hold a secret.
    require(
        !config.clickhouse.url.contains(['@', '?']),
        "clickhouse.url",
        "is more than an address",
        "write http://HOST:PORT, and the rest as clickhouse.user, clickhouse.password and clickhouse.database",
    )?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    for (key, name) in
        [("postgres.database", &config.postgres.database), ("clickhouse.database", &config.clickhouse.database)]
    {
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
