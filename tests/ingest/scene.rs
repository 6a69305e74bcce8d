//! The ingest role alone, serving on a free port, with keys of every kind.

use axum::middleware::from_fn_with_state;
use chrono::{DateTime, TimeZone, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::sync::Arc;
use std::time::Duration;
use talea_domain::id::TenantId;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::{Scope, TenantScope};
use talea_ingest::Ingest;
use talea_platform::clock::Clock;
use talea_platform::config;
use talea_platform::http::authenticate;
use talea_platform::journal::{Decision, append};
use talea_platform::keys::{Authenticator, new_key};
use talea_platform::log::postgres::{PostgresLog, PostgresLogOptions};
use talea_platform::log::{Log, LogRecord, TopicSpec, topic};
use talea_platform::postgres::{Databases, PoolSettings, Role, Target};

pub const BATCH: &str = "application/cloudevents-batch+json";
pub const ONE: &str = "application/cloudevents+json";
const PARTITIONS: u32 = 4;
/// Longer than any wait of these checks; reaching it is a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Bearer tokens by what they may do.
pub struct Keys {
    /// `ingest`, for every tenant.
    pub ingest: String,
    /// `ingest`, for acme alone.
    pub acme: String,
    /// `read`, for every tenant.
    pub read: String,
    /// `admin`, for every tenant.
    pub admin: String,
}

pub struct Scene {
    pub url: String,
    pub keys: Keys,
    pub ingest: Arc<Ingest>,
    pub log: Arc<dyn Log>,
    target: Target,
    client: reqwest::Client,
    server: tokio::task::JoinHandle<()>,
}

/// What the server answered.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// `(status, field)` of each event.
    pub fn verdicts(&self) -> Vec<(&str, &str)> {
        let events = self.body["events"].as_array().unwrap_or_else(|| panic!("no verdicts: {}", self.body));
        events
            .iter()
            .map(|verdict| {
                (verdict["status"].as_str().unwrap_or_default(), verdict["field"].as_str().unwrap_or_default())
            })
            .collect()
    }

    pub fn counts(&self) -> (u64, u64, u64) {
        let count =
            |name: &str| self.body["summary"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {}", self.body));
        (count("accepted"), count("rejected"), count("retry"))
    }

    pub fn retry_after(&self) -> Option<u64> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }
}

impl Scene {
    /// `target` was migrated; `overrides` are settings that differ from the default.
    pub async fn start(target: &Target, overrides: &[(&str, &str)]) -> Self {
        let scene = Self::start_without_topic(target, overrides).await;
        scene.make_topic().await;
        scene
    }

    /// The log refuses every append until [`Scene::make_topic`].
    pub async fn start_without_topic(target: &Target, overrides: &[(&str, &str)]) -> Self {
        let overrides: Vec<_> = overrides.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let config = config::load(None, &overrides).expect("a valid configuration");
        let settings = PoolSettings { max_connections: 8, ..PoolSettings::default() };
        let databases = Databases::connect_to(target, &settings).await.expect("connects");
        let log = PostgresLog::connect(databases.log_pool(), Clock::system().as_fn(), PostgresLogOptions::default());
        let log: Arc<dyn Log> = Arc::new(log.await.expect("the log connects"));
        let keys = Keys {
            ingest: key(&databases, 1, Scope::Ingest, None).await,
            acme: key(&databases, 2, Scope::Ingest, Some("acme")).await,
            read: key(&databases, 3, Scope::Read, None).await,
            admin: key(&databases, 4, Scope::Admin, None).await,
        };
        let ingest = Ingest::new(log.clone(), &config);
        let authenticator = Arc::new(Authenticator::new(databases.app.clone()));
        let (routes, _) = talea_ingest::routes(ingest.clone()).split_for_parts();
        let app = routes.layer(from_fn_with_state(authenticator, authenticate));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1/events", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { url, keys, ingest, log, target: target.clone(), client: reqwest::Client::new(), server }
    }

    pub async fn make_topic(&self) {
        let spec =
            TopicSpec { name: topic::USAGE.to_owned(), partitions: PARTITIONS, retention: Duration::from_secs(86_400) };
        self.log.ensure_topic(&spec).await.expect("the topic is made");
    }

    pub fn request(&self, key: &str, content_type: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.client.post(&self.url).bearer_auth(key).header("content-type", content_type).body(body)
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = tokio::time::timeout(DEADLINE, request.send()).await.expect("in time").expect("answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.bytes().await.expect("a body");
        Answer { status, headers, body: serde_json::from_slice(&text).expect("JSON") }
    }

    /// Sends a batch.
    pub async fn post(&self, key: &str, events: &[Value]) -> Answer {
        self.send(self.request(key, BATCH, Value::from(events).to_string())).await
    }

    /// Everything in the log, partition by partition.
    pub async fn records(&self) -> Vec<LogRecord> {
        let mut records = Vec::new();
        for partition in 0..PARTITIONS {
            records.extend(self.log.read(topic::USAGE, partition, 0, 100_000).await.expect("reads"));
        }
        records
    }

    /// A connection past every policy, for a test that gets in the log's way.
    pub async fn owner(&self) -> PgConnection {
        use sqlx::ConnectOptions;
        self.target.role(Role::Owner).expect("parses").connect().await.expect("connects")
    }

    /// Waits until nothing is on its way to the log.
    pub async fn settle(&self) {
        let quiet = async {
            while self.ingest.events_in_flight() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, quiet).await.expect("every place in the queue comes back");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn key(databases: &Databases, number: u8, scope: Scope, tenant: Option<&str>) -> String {
    let tenant = tenant.map(|name| TenantId::parse(name).expect("a key"));
    let made = new_key(number.into(), &[number; 32], scope.as_str().to_owned(), vec![scope], tenant.clone(), at(0));
    let mut tx = match &tenant {
        Some(tenant) => databases.app.tenant(tenant).await,
        None => databases.app.global().await,
    }
    .expect("begins");
    let decision = Decision {
        tenant: tenant.as_ref().map_or(TenantScope::Global, TenantScope::from),
        expected_version: None,
        event: JournalEvent::ApiKeyCreated(made.created),
        effective_at: at(0),
        recorded_at: at(0),
        actor: "test".to_owned(),
        idempotency_key: None,
    };
    append(&mut tx, vec![decision]).await.expect("appends");
    tx.commit().await.expect("commits");
    made.shown.reveal().to_owned()
}

pub fn at(second: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, second).single().expect("exists")
}

/// A valid event of a tenant.
pub fn event(tenant: &str, id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/api", "type": "api.call", "time": "2026-01-01T00:00:00Z",
        "tenantid": tenant, "data": { "calls": 1 },
    })
}

pub fn events(tenant: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| event(tenant, &format!("e{n}"))).collect()
}
