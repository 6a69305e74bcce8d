//! One test's whole surroundings: its databases, its log, and the settings of every server on them.

use super::databases::{ROLE_SECRET, TestDatabases};
use super::{TestPlatform, TestServer};
use std::sync::atomic::{AtomicU32, Ordering};
use talea_domain::id::TenantId;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::{Scope, Tenant, TenantScope};
use talea_platform::journal::{Decision, append};
use talea_platform::keys::new_key;
use talea_platform::postgres::Databases;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Where every server's test clock starts.
pub const START: &str = "2026-10-15T12:30:00Z";
/// The time of an ordinary event: half an hour before.
pub const NOON: &str = "2026-10-15T12:00:00Z";
/// Partitions of every topic.
pub const PARTITIONS: u32 = 2;

/// What the log runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogChoice {
    Postgres,
    /// The brokers of the environment variable KAFKA_BROKERS.
    Kafka,
}

/// Stages at once, each with a server or two that want a core and some 40 database connections. Taken by the stage and
/// not by the server: two tests that each held one server and waited for a second would wait for ever.
static STAGES: Semaphore = Semaphore::const_new(2);

pub struct Stage {
    pub databases: TestDatabases,
    pub pools: Databases,
    settings: Vec<(String, String)>,
    _permit: SemaphorePermit<'static>,
}

impl Stage {
    pub async fn new(log: LogChoice) -> Self {
        Self::with(log, &[]).await
    }

    /// `settings` are configuration keys (`section.key`) that differ from the tests' own.
    pub async fn with(log: LogChoice, settings: &[(&str, &str)]) -> Self {
        let permit = STAGES.acquire().await.expect("never closed");
        let databases = TestDatabases::new().await;
        let pools = databases.connect().await;
        let mut all = defaults(&databases, log);
        all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Self { databases, pools, settings: all, _permit: permit }
    }

    /// Configuration keys and values of every process on this stage.
    pub fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    /// A server with every role; its admin key is not bound to a tenant.
    pub async fn serve(&self) -> TestServer {
        TestServer::start(self, &[]).await
    }

    /// The same parts inside this process, without roles.
    pub async fn platform(&self) -> TestPlatform {
        TestPlatform::connect(self).await
    }

    /// A key with these scopes, made as the command line makes it.
    pub async fn key(&self, scopes: &[Scope], tenant: Option<&str>) -> String {
        self.new_key(scopes, tenant).await.1
    }

    /// The key's public id and its secret text.
    pub async fn new_key(&self, scopes: &[Scope], tenant: Option<&str>) -> (String, String) {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut secret = [0; 32];
        secret[..4].copy_from_slice(&number.to_be_bytes());
        let tenant = tenant.map(|tenant| TenantId::parse(tenant).expect("a tenant id"));
        let key = new_key(number.into(), &secret, "test".to_owned(), scopes.to_vec(), tenant.clone(), start());
        let id = key.created.key_id.to_string();
        self.decide(tenant.as_ref(), JournalEvent::ApiKeyCreated(key.created.clone())).await;
        (id, key.shown.reveal().to_owned())
    }

    /// A tenant as onboarding leaves it, without plan.
    pub async fn tenant(&self, id: &str) -> TenantId {
        self.tenant_in(id, chrono_tz::UTC).await
    }

    pub async fn tenant_in(&self, id: &str, zone: chrono_tz::Tz) -> TenantId {
        let tenant_id = TenantId::parse(id).expect("a tenant id");
        let tenant = Tenant { tenant_id: tenant_id.clone(), zone, party_version: 0, created_at: start() };
        self.decide(Some(&tenant_id), JournalEvent::TenantCreated(tenant)).await;
        tenant_id
    }

    async fn decide(&self, tenant: Option<&TenantId>, event: JournalEvent) {
        let mut tx = match tenant {
            Some(tenant) => self.pools.app.tenant(tenant).await,
            None => self.pools.app.global().await,
        }
        .expect("begins");
        let decision = Decision {
            tenant: tenant.map_or(TenantScope::Global, TenantScope::from),
            expected_version: None,
            event,
            effective_at: start(),
            recorded_at: start(),
            actor: "test".to_owned(),
            idempotency_key: None,
        };
        append(&mut tx, vec![decision]).await.expect("is recorded");
        tx.commit().await.expect("commits");
    }
}

pub fn start() -> chrono::DateTime<chrono::Utc> {
    START.parse().expect("a time")
}

fn defaults(databases: &TestDatabases, log: LogChoice) -> Vec<(String, String)> {
    let engines = super::engines();
    let home = std::env::temp_dir().join(&databases.target.database);
    let mut settings = vec![
        ("postgres.url", engines.postgres_url.clone()),
        ("postgres.database", databases.target.database.clone()),
        ("postgres.role_secret", ROLE_SECRET.to_owned()),
        ("postgres.max_connections", "10".to_owned()),
        ("clickhouse.url", engines.clickhouse_url.clone()),
        ("clickhouse.database", databases.target.database.clone()),
        ("engines.home", home.display().to_string()),
        ("log.partitions", PARTITIONS.to_string()),
    ];
    if log == LogChoice::Kafka {
        let brokers = engines.kafka_brokers.clone().expect("KAFKA_BROKERS names the brokers of this test");
        settings.extend([
            ("log.kind", "kafka".to_owned()),
            ("log.kafka.brokers", brokers),
            // Brokers outlive the databases of a test: its topics must be its own.
            ("log.kafka.topic_prefix", format!("{}-{}.", databases.target.database, rand::random::<u32>())),
        ]);
    }
    settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
