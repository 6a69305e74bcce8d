//! The roles on one stage, serving on a free port of this process.

use crate::harness::stage::start;
use crate::harness::{Event, Stage, TestPlatform, eventually};
use axum::middleware::from_fn_with_state;
use reqwest::Method;
use serde_json::{Value, json};
use talea_domain::journal::JournalEvent;
use talea_domain::meter::MeterDefinition;
use talea_domain::plan::PlanVersion;
use talea_domain::tenant::{Scope, TenantScope};
use talea_metering::Metering;
use talea_platform::http::authenticate;
use talea_platform::journal::{Decision, append_new};
use talea_platform::log::topic;
use talea_platform::worker::Worker;
use talea_provisioning::Provisioning;
use talea_quota::Quota;
use tokio::task::JoinHandle;

/// Which parts run.
#[derive(Clone, Copy)]
pub struct Parts {
    /// Instances of quota in this process; checks are answered by the first.
    pub quotas: usize,
    pub provisioning: bool,
    /// Whether metering tells its live totals.
    pub totals: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self { quotas: 1, provisioning: true, totals: true }
    }
}

pub struct Scene {
    pub platform: TestPlatform,
    /// A key with every scope that is bound to no tenant.
    pub admin: String,
    url: String,
    client: reqwest::Client,
    tasks: Vec<JoinHandle<()>>,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        self.body
    }
}

impl Scene {
    /// Starts the parts on a stage whose catalogue has the meters and plans of these checks.
    pub async fn start(stage: &Stage, parts: Parts) -> Self {
        catalogue(stage).await;
        let platform = stage.platform().await;
        let mut scene = Self {
            admin: stage.key(&Scope::ALL, None).await,
            platform,
            url: String::new(),
            client: reqwest::Client::new(),
            tasks: Vec::new(),
        };
        let mut routes = talea_ingest::routes(talea_ingest::build(&scene.platform));
        let metering = Metering::new(scene.platform.clone()).await.expect("metering starts");
        routes = routes.merge(metering.routes());
        let mut workers = metering.workers();
        workers.retain(|worker| parts.totals || worker.name() != "metering.totals");
        scene.work(workers);
        scene.tasks.push(tokio::spawn(metering.consume()));
        for instance in 0..parts.quotas {
            let quota = Quota::new(scene.platform.clone());
            if instance == 0 {
                routes = routes.merge(quota.routes());
            }
            scene.work(quota.workers());
            scene.tasks.push(tokio::spawn(quota.consume()));
        }
        if parts.provisioning {
            let provisioning = Provisioning::new(scene.platform.clone());
            routes = routes.merge(provisioning.routes());
            scene.work(provisioning.workers());
            scene.tasks.push(tokio::spawn(provisioning.consume()));
        }
        scene.serve(routes.split_for_parts().0).await;
        scene
    }

    fn work(&mut self, workers: Vec<Worker>) {
        let platform = &self.platform;
        for worker in workers {
            let run = worker.run(platform.clock.clone(), platform.health.clone(), platform.stop.clone());
            self.tasks.push(tokio::spawn(run));
        }
    }

    async fn serve(&mut self, routes: axum::Router) {
        let app = routes.layer(from_fn_with_state(self.platform.authenticator.clone(), authenticate));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        self.url = format!("http://{}", listener.local_addr().expect("an address"));
        self.tasks.push(tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") }));
    }

    /// Drops every task where it stands, as a crash would.
    pub async fn crash(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            let _ = task.await;
        }
    }

    pub async fn request(&self, method: Method, path: &str, key: &str, body: Option<&Value>) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        let bytes = response.bytes().await.expect("a body");
        Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &self.admin, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path, &self.admin, Some(body)).await
    }

    /// Onboards a tenant in UTC on a plan of the catalogue.
    pub async fn onboard(&self, tenant: &str, plan: &str) -> Value {
        self.post("/v1/tenants", &onboarding(tenant, plan)).await.ok()
    }

    /// Sends events that all are to be accepted.
    pub async fn send(&self, events: &[Event]) {
        let batch: Vec<&Value> = events.iter().map(Event::json).collect();
        let body = serde_json::to_vec(&batch).expect("JSON");
        let request = self.client.post(format!("{}/v1/events", self.url)).bearer_auth(&self.admin);
        let response = request.header("content-type", crate::harness::server::BATCH).body(body).send().await;
        let response = response.expect("the server answers");
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
    }

    pub async fn entitlement(&self, tenant: &str, feature: &str) -> Value {
        self.get(&format!("/v1/tenants/{tenant}/entitlements/{feature}?amount=0")).await.ok()
    }

    /// Waits until a check says this use.
    pub async fn used(&self, tenant: &str, feature: &str, expect: &str) {
        eventually(&format!("{tenant} has used {expect} of {feature}"), async || {
            let path = format!("/v1/tenants/{tenant}/entitlements/{feature}?amount=0");
            let answer = self.get(&path).await;
            if answer.body["used"] == expect { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }

    /// Waits until the quota topic says exactly these signals of a tenant, as `kind threshold`.
    pub async fn signalled(&self, tenant: &str, expect: &[&str]) -> Vec<Value> {
        let said = |event: &Value| {
            format!("{} {}", event["data"]["kind"].as_str().unwrap_or("?"), event["data"]["threshold_percent"])
        };
        self.published(topic::QUOTA, tenant, said, expect).await
    }

    /// Waits until the tenants topic says exactly these events of a tenant.
    pub async fn lifecycle(&self, tenant: &str, expect: &[&str]) -> Vec<Value> {
        let said = |event: &Value| event["data"]["event"].as_str().unwrap_or("?").to_owned();
        self.published(topic::TENANTS, tenant, said, expect).await
    }

    async fn published(
        &self,
        topic: &str,
        tenant: &str,
        said: impl Fn(&Value) -> String,
        expect: &[&str],
    ) -> Vec<Value> {
        eventually(&format!("{topic} says {expect:?}"), async || {
            let events = self.records_of(topic, tenant).await;
            let seen: Vec<String> = events.iter().map(&said).collect();
            if seen == expect { Ok(events) } else { Err(format!("{seen:?}")) }
        })
        .await
    }

    /// The CloudEvents of a tenant on a topic, each id once, in order.
    pub async fn records_of(&self, topic: &str, tenant: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        for partition in 0..crate::harness::stage::PARTITIONS {
            for record in self.platform.log.read(topic, partition, 0, 10_000).await.expect("reads") {
                let event: Value = serde_json::from_slice(&record.value).unwrap_or(Value::Null);
                if event["tenantid"] == tenant && !events.iter().any(|seen| seen["id"] == event["id"]) {
                    events.push(event);
                }
            }
        }
        events
    }

    /// Waits until a tenant is in a state.
    pub async fn state(&self, tenant: &str, expect: &str) -> Value {
        eventually(&format!("{tenant} is {expect}"), async || {
            let view = self.get(&format!("/v1/tenants/{tenant}")).await.ok();
            if view["state"] == expect { Ok(view) } else { Err(view.to_string()) }
        })
        .await
    }

    pub fn advance(&self, to: &str) {
        self.platform.clock.advance(to.parse().expect("a time")).expect("goes forward");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub fn onboarding(tenant: &str, plan: &str) -> Value {
    json!({
        "tenant_id": tenant, "name": format!("{tenant} Inc."), "zone": "UTC", "plan": plan, "currency": "USD",
        "start_at": "2026-10-01T00:00:00Z", "keys": [{ "label": "app", "scopes": ["ingest", "read"] }],
    })
}

/// One meter of each kind over `api.call`, and the plans: `free` (10 tokens a month, suspends), `soft` (the same, softly),
/// `all` (a limit on every meter).
async fn catalogue(stage: &Stage) {
    let meter = |key: &str, aggregation: &str| {
        let field = (aggregation != "count").then_some("/tokens");
        let field = if aggregation == "unique_count" { Some("/user") } else { field };
        let text = json!({
            "key": key, "version": 1, "event_type": "api.call", "aggregation": aggregation, "field": field, "created_at": start(),
        });
        JournalEvent::MeterDefined(serde_json::from_value::<MeterDefinition>(text).expect("a meter"))
    };
    let plan = |text: Value| JournalEvent::PlanPublished(serde_json::from_value::<PlanVersion>(text).expect("a plan"));
    let limit = |feature: &str, meter: &str, amount: &str, kind: &str| json!({ "feature": feature, "meter": meter, "amount": amount, "kind": kind, "period": "month" });
    let kinds = ["count", "sum", "max", "min", "avg", "latest", "unique_count"];
    let limits: Vec<Value> = kinds.iter().map(|kind| limit(kind, &format!("m.{kind}"), "1000000", "soft")).collect();
    let suspend = json!({ "on_exceeded": "suspend", "on_reset": "resume" });
    let mut events: Vec<JournalEvent> = kinds.iter().map(|kind| meter(&format!("m.{kind}"), kind)).collect();
    events.push(plan(json!({
        "key": "free", "version": 1, "name": "Free", "prices": [], "policy": suspend,
        "limits": [limit("tokens", "m.sum", "10", "hard")], "entitlements": [{ "feature": "sso", "value": false }],
    })));
    events.push(plan(json!({
        "key": "soft", "version": 1, "name": "Soft", "prices": [], "policy": suspend, "limits": [limit("tokens", "m.sum", "10", "soft")],
    })));
    events.push(plan(json!({ "key": "all", "version": 1, "name": "All", "prices": [], "limits": limits })));
    let decisions = events.into_iter().map(|event| Decision {
        tenant: TenantScope::Global,
        expected_version: None,
        idempotency_key: Some(format!("test/{}", event.stream())),
        event,
        effective_at: start(),
        recorded_at: start(),
        actor: "test".to_owned(),
    });
    let mut tx = stage.pools.app.global().await.expect("begins");
    append_new(&mut tx, decisions.collect()).await.expect("is recorded");
    tx.commit().await.expect("commits");
}
