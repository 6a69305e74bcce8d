//! Calls made from the server's own OpenAPI document, so that a new route is tried or fails the test.

use super::tenants::{Names, coupon, onboarding, plan};
use crate::harness::stage::START;
use crate::harness::{Answer, TestServer, event};
use reqwest::Method;
use serde_json::{Value, json};

/// One operation of the document.
#[derive(Debug, Clone)]
pub struct Route {
    pub method: Method,
    /// With its `{parameters}`.
    pub path: String,
    parameters: Vec<Parameter>,
    has_body: bool,
}

#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    is_in_path: bool,
    is_required: bool,
}

/// What a parameter is given.
enum Given {
    /// Means a thing of one tenant.
    Names(String),
    /// Means nothing of anybody; left out where it is optional.
    Neutral(&'static str),
}

/// Every operation that the server serves.
pub async fn routes(server: &TestServer) -> Vec<Route> {
    let document = server.get_as("", "/openapi.json", &[]).await.ok();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            routes.push(Route {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                parameters: parameters.iter().map(parameter).collect(),
                has_body: operation.get("requestBody").is_some(),
            });
        }
    }
    routes
}

fn parameter(document: &Value) -> Parameter {
    Parameter {
        name: document["name"].as_str().expect("a name").to_owned(),
        is_in_path: document["in"] == "path",
        is_required: document["required"] == true,
    }
}

/// The table of substitutions.
fn value(route: &Route, name: &str, names: &Names) -> Given {
    let is_below = |prefix: &str| route.path.starts_with(prefix);
    let named = |text: &str| Given::Names(text.to_owned());
    match name {
        "tenant_id" => named(&names.tenant),
        "id" if is_below("/v1/invoices/") => named(&names.invoice),
        "id" if is_below("/v1/subscriptions/") => named(&names.subscription),
        "id" if is_below("/v1/wallets/") => named(&names.wallet),
        "id" if is_below("/v1/events") => named(&names.event),
        "source" if is_below("/v1/events") => named(&names.source),
        "id" if is_below("/v1/credit-notes/") => named(&names.note),
        "subscription_id" => named(&names.subscription),
        "invoice_id" => named(&names.invoice),
        "number" => named(&names.number),
        "key_id" => named(&names.key),
        "place" => named(&names.place),
        "source" if is_below("/v1/usage") => Given::Neutral("raw"),
        "line" | "amount" | "version" => Given::Neutral("1"),
        "coupon" => Given::Neutral("welcome"),
        "migration" => Given::Neutral("mig_none"),
        "charge" => Given::Neutral("chg_1"),
        "stage" => Given::Neutral("pending"),
        "feature" | "meter" => Given::Neutral("tokens"),
        "plan" => Given::Neutral("metered"),
        "format" => Given::Neutral("csv"),
        "from" | "since" | "issued_from" => Given::Neutral("2026-09-01T00:00:00Z"),
        "to" | "issued_to" => Given::Neutral("2026-11-01T00:00:00Z"),
        "reason" => Given::Neutral("conflict"),
        "status" => Given::Neutral("finalized"),
        "payment_state" => Given::Neutral("finalized"),
        "limit" => Given::Neutral("100"),
        "time_zone" => Given::Neutral("UTC"),
        "window" => Given::Neutral("billing_period"),
        // Of a page before: a cursor is made by the server and only moves within what the call may see.
        "cursor" | "open" | "backfill" | "filter" | "group_by" => Given::Neutral(""),
        unknown => panic!("teach the isolation test about {{{unknown}}} of {} {}", route.method, route.path),
    }
}

/// What a route with a body is sent, about the things of these names.
fn body(route: &Route, names: &Names) -> Value {
    match (route.method.as_str(), route.path.as_str()) {
        ("POST", "/v1/subscriptions") => {
            json!({ "tenant_id": names.tenant, "plan": "metered", "currency": "USD", "start_at": START })
        }
        ("POST", "/v1/tenants") => onboarding(&names.tenant, "Renamed"),
        ("POST", "/v1/events/void") => {
            // A verdict repeats source and id as they were sent, so that these say nothing of anybody.
            let void = json!({ "tenant_id": names.tenant, "source": "/api", "id": "sent", "reason": "wrong" });
            json!({ "events": [void] })
        }
        ("POST", "/v1/events") => event(&names.tenant, "sent").json().clone(),
        ("POST", "/v1/keys" | "/v1/tenants/{tenant_id}/keys") => json!({ "label": "another", "scopes": ["read"] }),
        ("PUT", "/v1/tenants/{tenant_id}/entitlements/{feature}/limit") => json!({ "amount": "50000" }),
        ("POST", "/v1/subscriptions/{id}/cancel") => json!({ "mode": "period_end" }),
        ("POST", "/v1/subscriptions/{id}/coupons") => json!({ "coupon": "welcome" }),
        ("POST", "/v1/coupons") => coupon(),
        ("PUT", "/v1/tax-rates") => {
            let rate = json!({ "name": "VAT", "jurisdiction": { "country": "DE" }, "rate_percent": "19" });
            json!({ "seller": { "country": "DE" }, "rates": [rate] })
        }
        ("PUT", "/v1/tenants/{tenant_id}/tax") => json!({ "jurisdiction": { "country": "DE" } }),
        ("POST", "/v1/subscriptions/{id}/changes") => json!({ "type": "pause", "effective_at": "period_end" }),
        ("POST", "/v1/billing/runs") => json!({}),
        ("POST", "/v1/invoices/{id}/payments") => json!({ "reference": "r", "amount": "0.01", "currency": "USD" }),
        ("POST", "/v1/invoices/{id}/settlements") => json!({ "reference": "s" }),
        ("POST", "/v1/invoices/{id}/reversals") => json!({ "reference": "r", "reason": "back" }),
        ("POST", "/v1/invoices/{id}/void" | "/v1/invoices/{id}/uncollectible" | "/v1/invoices/{id}/credit-notes") => {
            json!({ "reason": "wrong" })
        }
        ("PUT", "/v1/tenants/{tenant_id}/billing-terms") => json!({ "due_days": 7 }),
        ("POST", "/v1/tenants/{tenant_id}/charges") => {
            json!({ "currency": "USD", "charges": [{ "description": "Setup", "amount": "1" }] })
        }
        ("POST", "/v1/meters") => {
            json!({ "key": "tokens", "event_type": "api.call", "aggregation": "sum", "field": "/tokens" })
        }
        ("POST", "/v1/wallets") => {
            json!({ "tenant_id": names.tenant, "name": "Another", "unit": { "currency": "USD" } })
        }
        ("POST", "/v1/wallets/{id}/grants") => json!({ "amount": "5", "kind": "promotional" }),
        ("PUT", "/v1/wallets/{id}/auto-top-up") => json!({ "auto_top_up": null }),
        ("POST", "/v1/plans") => plan(),
        ("POST", "/v1/plans/{plan}/migrations") => json!({ "to_version": 1 }),
        ("POST", "/v1/simulations") => json!({ "tenant_id": names.tenant, "alternative": { "plan": "metered" },
            "from": "2026-09-01T00:00:00Z", "to": "2026-10-02T00:00:00Z" }),
        ("POST", "/v1/test-clock/advance") => json!({ "to": START }),
        (method, path) => panic!("teach the isolation test about the body of {method} {path}"),
    }
}

/// Bodies that say whose thing is meant.
const NAMING_BODIES: [&str; 6] =
    ["/v1/subscriptions", "/v1/tenants", "/v1/events", "/v1/events/void", "/v1/simulations", "/v1/wallets"];

impl Route {
    pub fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    /// Whether path or body mean a thing of somebody, whatever the query says.
    pub fn names_somebody(&self, names: &Names) -> bool {
        let in_path = |it: &Parameter| it.is_in_path && matches!(value(self, &it.name, names), Given::Names(_));
        self.parameters.iter().any(in_path) || (self.has_body && NAMING_BODIES.contains(&self.path.as_str()))
    }

    /// The query parameters that mean a thing of somebody.
    pub fn naming_query(&self, names: &Names) -> Vec<String> {
        let names_it = |it: &&Parameter| !it.is_in_path && matches!(value(self, &it.name, names), Given::Names(_));
        self.parameters.iter().filter(names_it).map(|it| it.name.clone()).collect()
    }

    /// Calls it about the things of these names; of the query parameters that mean somebody's thing, only `named` are sent.
    pub async fn call(&self, server: &TestServer, key: &str, names: &Names, named: &[String]) -> Answer {
        let (mut path, mut query) = (self.path.clone(), Vec::new());
        for parameter in &self.parameters {
            let (text, is_wanted) = match value(self, &parameter.name, names) {
                Given::Names(text) => (text, named.contains(&parameter.name) || parameter.is_required),
                Given::Neutral(text) => (text.to_owned(), parameter.is_required || parameter.name == "window"),
            };
            if parameter.is_in_path {
                path = path.replace(&format!("{{{}}}", parameter.name), &text);
            } else if is_wanted {
                query.push((parameter.name.clone(), text));
            }
        }
        let mut request = server.request(self.method.clone(), &path, key).query(&query);
        if self.has_body {
            let kind = if self.path == "/v1/events" { crate::harness::server::ONE } else { "application/json" };
            request = request.header("content-type", kind).body(body(self, names).to_string());
        }
        server.send(request).await
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
