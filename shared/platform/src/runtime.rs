//! Everything a role needs, connected once per process.

use crate::clickhouse::ClickHouse;
use crate::clock::Clock;
use crate::config::{Config, LogKind};
use crate::health::Health;
use crate::keys::Authenticator;
use crate::log::kafka::{KafkaLog, KafkaLogOptions};
use crate::log::postgres::{PostgresLog, PostgresLogOptions};
use crate::log::{Log, TopicSpec, topic};
use crate::postgres::Databases;
use crate::tenants::TenantRegistry;
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Cheap to clone: every part is shared.
#[derive(Clone)]
pub struct Platform {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub databases: Arc<Databases>,
    pub clickhouse: ClickHouse,
    pub log: Arc<dyn Log>,
    pub health: Health,
    pub authenticator: Arc<Authenticator>,
    pub tenants: Arc<TenantRegistry>,
    /// Cancelled when the process is asked to stop.
    pub stop: CancellationToken,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Platform {
    /// Connects to the engines that the configuration names; they must have been migrated.
    pub async fn connect(config: Config) -> anyhow::Result<Self> {
        let databases = Arc::new(Databases::connect(&config.postgres).await.context("Postgres")?);
        let clock = match config.clock.start()? {
            Some(start) => Clock::test(databases.test_clock(start).await?),
            None => Clock::system(),
        };
        let clickhouse = ClickHouse::connect(
            &config.clickhouse.url,
            &config.clickhouse.user,
            config.clickhouse.password.reveal(),
            &config.clickhouse.database,
        )
        .context("ClickHouse")?;
        let log = open_log(&config, &databases, &clock).await.context("log")?;
        for spec in topics(&config) {
            let partitions = log.ensure_topic(&spec).await?;
            databases.remember_partitions(&spec.name, partitions, clock.now()).await?;
            for warning in log.warnings(&spec.name).await {
                tracing::warn!(topic = %spec.name, warning, "log.unsafe");
            }
        }
        let authenticator = Arc::new(Authenticator::new(databases.app.clone()));
        let tenants = Arc::new(TenantRegistry::new(databases.worker.clone()));
        Ok(Self {
            config: Arc::new(config),
            clock,
            databases,
            clickhouse,
            log,
            health: Health::default(),
            authenticator,
            tenants,
            stop: CancellationToken::new(),
        })
    }
}

async fn open_log(config: &Config, databases: &Databases, clock: &Clock) -> anyhow::Result<Arc<dyn Log>> {
    Ok(match config.log.kind {
        LogKind::Postgres => {
            let options = PostgresLogOptions::default();
            Arc::new(PostgresLog::connect(databases.log_pool(), clock.as_fn(), options).await?)
        }
        LogKind::Kafka => Arc::new(KafkaLog::connect(kafka_options(config, clock), clock.as_fn())?),
    })
}

fn kafka_options(config: &Config, clock: &Clock) -> KafkaLogOptions {
    let kafka = &config.log.kafka;
    KafkaLogOptions {
        log_append_time: !clock.is_test(),
        replication_factor: kafka.replication_factor,
        min_insync_replicas: kafka.min_insync_replicas,
        topic_prefix: kafka.topic_prefix.clone(),
        properties: kafka.properties.iter().map(|(key, value)| (key.clone(), value.reveal().to_owned())).collect(),
        ..KafkaLogOptions::new(&kafka.brokers)
    }
}

fn topics(config: &Config) -> [TopicSpec; 5] {
    let spec = |name: &str, partitions, retention| TopicSpec { name: name.to_owned(), partitions, retention };
    let retention = DAY * u32::try_from(config.log.retention_days).unwrap_or(u32::MAX);
    [
        spec(topic::USAGE, config.log.partitions, retention),
        // Totals are rebuilt from ClickHouse at start: a day is plenty.
        spec(topic::TOTALS, config.log.partitions, DAY),
        spec(topic::QUOTA, config.log.partitions, retention),
        spec(topic::TENANTS, config.log.partitions, retention),
        spec(topic::BILLING, config.log.partitions, retention),
    ]
}
