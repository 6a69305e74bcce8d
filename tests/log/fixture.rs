//! The log under test, by its address.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use talea_platform::log::kafka::{KafkaLog, KafkaLogOptions};
use talea_platform::log::postgres::{PostgresLog, PostgresLogOptions};
use talea_platform::log::{Log, NewRecord, TopicSpec};

/// 2025-03-01T12:00:00.123Z: not the machine's day, and with milliseconds, which both logs keep.
const STARTS_AT_MILLIS: i64 = 1_740_830_400_123;
pub const RETENTION: Duration = Duration::from_secs(7 * 86_400);

enum Engine {
    Postgres { url: String },
    Kafka { brokers: String },
    Mock { cluster: MockCluster<'static, DefaultProducerContext> },
}

/// Bounds of the queue to the log.
#[derive(Clone, Copy)]
pub struct Queue {
    pub records: u32,
    pub bytes: usize,
}

pub struct Fixture {
    engine: Engine,
    clock_millis: Arc<AtomicI64>,
    run: u64,
    topics: AtomicU32,
}

impl Fixture {
    /// A migrated database, reached as a role that may use schema `log`.
    pub fn postgres(url: &str) -> Self {
        Self::new(Engine::Postgres { url: url.to_owned() })
    }

    /// Real brokers.
    pub fn kafka(brokers: &str) -> Self {
        Self::new(Engine::Kafka { brokers: brokers.to_owned() })
    }

    /// librdkafka's own cluster, in this process.
    pub fn mock_kafka() -> Self {
        Self::new(Engine::Mock { cluster: MockCluster::new(1).expect("a mock cluster starts in memory") })
    }

    fn new(engine: Engine) -> Self {
        let clock_millis = Arc::new(AtomicI64::new(STARTS_AT_MILLIS));
        Fixture { engine, clock_millis, run: rand::random(), topics: AtomicU32::new(0) }
    }

    pub fn name(&self) -> &'static str {
        match self.engine {
            Engine::Postgres { .. } => "Postgres log",
            Engine::Kafka { .. } => "Kafka log",
            Engine::Mock { .. } => "Kafka log on the mock cluster",
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }

    pub fn is_mock(&self) -> bool {
        matches!(self.engine, Engine::Mock { .. })
    }

    pub fn mock_cluster(&self) -> Option<&MockCluster<'static, DefaultProducerContext>> {
        match &self.engine {
            Engine::Mock { cluster } => Some(cluster),
            _ => None,
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.clock_millis.load(Ordering::SeqCst)).expect("the test's year exists")
    }

    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a test advances by less than an age");
        self.clock_millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// A connection of its own, as another process would have.
    pub async fn connect(&self) -> Arc<dyn Log> {
        self.connect_with(Queue { records: 100_000, bytes: 64 << 20 }).await
    }

    pub async fn connect_with(&self, queue: Queue) -> Arc<dyn Log> {
        match &self.engine {
            Engine::Postgres { url } => Arc::new(self.connect_postgres(url, queue).await),
            Engine::Kafka { brokers } => Arc::new(self.connect_kafka(brokers.clone(), queue)),
            Engine::Mock { cluster } => Arc::new(self.connect_kafka(cluster.bootstrap_servers(), queue)),
        }
    }

    /// Over another address than the fixture's own (a proxy).
    pub async fn connect_postgres(&self, url: &str, queue: Queue) -> PostgresLog {
        let pool = PgPoolOptions::new().max_connections(8).connect(url).await.expect("Postgres answers");
        let options = PostgresLogOptions {
            lease: Duration::from_secs(2),
            poll_interval: Duration::from_secs(5),
            queue_bytes: queue.bytes,
            queue_requests: queue.records as usize,
            ..PostgresLogOptions::default()
        };
        let millis = self.clock_millis.clone();
        let clock = move || DateTime::from_timestamp_millis(millis.load(Ordering::SeqCst)).unwrap_or_default();
        PostgresLog::connect(pool, Arc::new(clock), options).await.expect("the log connects")
    }

    fn connect_kafka(&self, brokers: String, queue: Queue) -> KafkaLog {
        let options = KafkaLogOptions {
            log_append_time: false,
            replication_factor: 1,
            min_insync_replicas: 1,
            queue_records: queue.records,
            queue_bytes: queue.bytes,
            session_timeout: Duration::from_secs(6),
            ..KafkaLogOptions::new(brokers)
        };
        let millis = self.clock_millis.clone();
        let clock = move || DateTime::from_timestamp_millis(millis.load(Ordering::SeqCst)).unwrap_or_default();
        KafkaLog::connect(options, Arc::new(clock)).expect("the clients are made")
    }

    pub fn postgres_url(&self) -> &str {
        match &self.engine {
            Engine::Postgres { url } => url,
            _ => panic!("this check is for Postgres"),
        }
    }

    pub async fn postgres_pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect(self.postgres_url()).await.expect("Postgres answers")
    }

    pub fn brokers(&self) -> String {
        match &self.engine {
            Engine::Postgres { .. } => panic!("this check is for Kafka"),
            Engine::Kafka { brokers } => brokers.clone(),
            Engine::Mock { cluster } => cluster.bootstrap_servers(),
        }
    }

    /// A topic that no other case uses.
    pub async fn topic(&self, log: &Arc<dyn Log>, partitions: u32) -> &'static str {
        let number = self.topics.fetch_add(1, Ordering::SeqCst);
        // A topic's name is static, for production names its topics in constants.
        let name: &'static str = Box::leak(format!("talea.test-{:x}-{number}.v1", self.run).into_boxed_str());
        if let Some(cluster) = self.mock_cluster() {
            cluster.create_topic(name, partitions.cast_signed(), 1).expect("a mock topic");
        }
        let spec = TopicSpec { name: name.to_owned(), partitions, retention: RETENTION };
        assert_eq!(log.ensure_topic(&spec).await.expect("the topic is made"), partitions);
        name
    }
}

/// `count` records with keys `key-0`… and values that tell them apart.
pub fn records(name: &str, count: usize) -> Vec<NewRecord> {
    (0..count).map(|i| record(format!("key-{i}").as_bytes(), format!("{name}-{i}").as_bytes())).collect()
}

pub fn record(key: &[u8], value: &[u8]) -> NewRecord {
    NewRecord { key: key.to_vec().into(), value: value.to_vec().into(), headers: Vec::new() }
}

/// A key that lands in the partition.
pub fn key_for(partition: u32, partitions: u32) -> Vec<u8> {
    let lands = |key: &String| talea_platform::log::partitioner::partition_for(key.as_bytes(), partitions) == partition;
    (0..).map(|i| format!("k{i}")).find(lands).expect("some key lands there").into_bytes()
}

/// Appends and expects every record to be acknowledged.
pub async fn append_all(
    log: &Arc<dyn Log>,
    topic: &str,
    records: Vec<NewRecord>,
) -> Vec<talea_platform::log::Position> {
    let answers = log.append(topic, records).await;
    answers.into_iter().map(|answer| answer.expect("the record is acknowledged")).collect()
}
