//! Two tenants with one of everything, and the names by which a call can mean a thing of one of them.

use crate::harness::{Stage, TestServer, event, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use talea_domain::tenant::Scope;

/// Stands in everything that is the second tenant's and in no request: where it shows, something leaked.
pub const MARKER: &str = "zanzibar";

/// What a tenant's things are called.
#[derive(Debug, Clone)]
pub struct Names {
    pub tenant: String,
    pub subscription: String,
    pub invoice: String,
    pub number: String,
    /// An API key that no test calls with.
    pub key: String,
    pub place: String,
    pub source: String,
    pub event: String,
    pub wallet: String,
    /// A credit note.
    pub note: String,
}

impl Names {
    /// Names of the same form that mean nothing.
    pub fn of_nothing() -> Self {
        let nothing = "00000000000000000000000000";
        Self {
            tenant: "nobody".to_owned(),
            subscription: format!("sub_{nothing}"),
            invoice: format!("inv_{nothing}"),
            number: "INV-999999".to_owned(),
            key: format!("key_{nothing}"),
            place: "0-999999".to_owned(),
            source: "/nowhere".to_owned(),
            event: "nothing".to_owned(),
            wallet: format!("wal_{nothing}"),
            note: format!("crn_{nothing}"),
        }
    }

    /// Every text that would tell one of this tenant's things.
    pub fn all(&self) -> [&str; 8] {
        let Self { tenant, subscription, invoice, number, key, source, wallet, note, .. } = self;
        [tenant, subscription, invoice, number, key, source, wallet, note]
    }
}

/// Both tenants, with events, a dead letter, a quota signal, a key, a subscription and an invoice each, and a key for all
/// of the first tenant's own.
pub struct World {
    pub server: TestServer,
    pub mine: Names,
    pub theirs: Names,
    /// Bound to the first tenant, with every scope.
    pub my_key: String,
}

impl World {
    pub async fn new(stage: &Stage) -> Self {
        let server = stage.serve().await;
        server.meter("tokens", "sum", "/tokens").await;
        server.post("/v1/plans", &plan()).await.ok();
        // Limits that are there at the start are told from the first event on.
        assert!(server.terminate().await.success());
        let server = stage.serve().await;
        for (tenant, name) in [("alpha", "Alpha"), ("bravo", MARKER)] {
            server.post("/v1/tenants", &onboarding(tenant, name)).await.ok();
            let data = json!({ "tokens": 20, "who": name });
            let sent = event(tenant, "used").source(&format!("/{tenant}-app")).with("subject", name).with("data", data);
            let september = sent.clone().with("id", "before").at("2026-09-20T00:00:00Z");
            let conflict = sent.clone().with("data", json!({ "tokens": 21, "who": name }));
            server.count(&[september, sent, conflict]).await;
        }
        for (tenant, name) in [("alpha", "Alpha"), ("bravo", MARKER)] {
            let wallet = json!({ "tenant_id": tenant, "name": name, "unit": { "currency": "USD" } });
            let wallet = server.post("/v1/wallets", &wallet).await.ok();
            let path = format!("/v1/wallets/{}/grants", wallet["id"].as_str().expect("an id"));
            server.post(&path, &json!({ "amount": "1", "kind": "promotional" })).await.ok();
        }
        server.post("/v1/coupons", &coupon()).await.ok();
        for tenant in ["alpha", "bravo"] {
            let found = server.get("/v1/subscriptions", &[("tenant_id", tenant)]).await.ok();
            let path = format!("/v1/subscriptions/{}/coupons", found["data"][0]["id"].as_str().expect("an id"));
            server.post(&path, &json!({ "coupon": "welcome" })).await.ok();
            let reason = if tenant == "bravo" { MARKER } else { "certificate 7" };
            let profile = json!({ "jurisdiction": { "country": "DE" }, "exemptions": [{ "reason": reason }] });
            let path = format!("/v1/tenants/{tenant}/tax");
            server.send(server.request(Method::PUT, &path, &server.admin).json(&profile)).await.ok();
        }
        server.post("/v1/billing/runs", &json!({})).await.ok();
        let my_key = stage.key(&Scope::ALL, Some("alpha")).await;
        let mine = names(&server, "alpha").await;
        let theirs = names(&server, "bravo").await;
        Self { server, mine, theirs, my_key }
    }
}

/// A coupon that both tenants use.
pub fn coupon() -> Value {
    json!({ "key": "welcome", "name": "Welcome", "kind": { "type": "percentage", "percent": "10" },
        "duration": { "type": "forever" } })
}

pub fn plan() -> Value {
    json!({
        "key": "metered", "name": "Metered",
        "prices": [{ "key": "tokens", "name": "Tokens", "model": { "type": "per_unit", "meter": "tokens", "unit_amount": { "USD": "0.10" } } }],
        "limits": [{ "feature": "tokens", "meter": "tokens", "amount": "10", "kind": "soft", "period": "month" }],
    })
}

pub fn onboarding(tenant: &str, name: &str) -> Value {
    json!({
        "tenant_id": tenant, "name": name, "zone": "UTC", "plan": "metered", "currency": "USD",
        "start_at": "2026-09-01T00:00:00Z", "keys": [{ "label": name, "scopes": ["read"] }],
    })
}

/// Reads the names as an operator sees them.
async fn names(server: &TestServer, tenant: &str) -> Names {
    let first = async |path: &str| -> Value {
        eventually(&format!("{path} of {tenant} has something"), async || {
            let answer = server.get(path, &[("tenant_id", tenant)]).await.ok();
            answer["data"].as_array().and_then(|rows| rows.first()).cloned().ok_or_else(|| answer.to_string())
        })
        .await
    };
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned();
    first("/v1/quota-signals").await;
    eventually(&format!("the live total of {tenant} is there"), async || {
        let path = format!("/v1/tenants/{tenant}/entitlements/tokens");
        let answer = server.get(&path, &[]).await.ok();
        if answer["used"] == "20" { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    let invoice = first("/v1/invoices").await;
    let keys = server.get(&format!("/v1/tenants/{tenant}/keys"), &[]).await.ok();
    let keys = keys["data"].as_array().or(keys["keys"].as_array()).expect("a list").clone();
    let key = keys.iter().find(|key| key["label"] != "test").expect("the key of the onboarding");
    let notes = format!("/v1/invoices/{}/credit-notes", text(&invoice["id"]));
    let little = json!({ "reason": tenant, "lines": [{ "line": 1, "amount": "0.01" }] });
    let note = server.post(&notes, &little).await.ok();
    Names {
        tenant: tenant.to_owned(),
        subscription: text(&first("/v1/subscriptions").await["id"]),
        invoice: text(&invoice["id"]),
        number: text(&invoice["number"]),
        key: text(&key["key_id"]),
        place: text(&first("/v1/dead-letters").await["place"]),
        source: format!("/{tenant}-app"),
        event: "used".to_owned(),
        wallet: text(&first("/v1/wallets").await["id"]),
        note: text(&note["id"]),
    }
}
