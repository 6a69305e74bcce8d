//! `POST /v1/simulations`: a document over HTTP is what the domain says, and the past with another plan is the same usage by
//! other prices.

use super::support::{bill, invoices, open, subscribe, usage};
use crate::harness::{LogChoice, Stage, TestServer};
use serde_json::{Value, json};
use talea_domain::simulation::simulate_line;
use talea_domain::tenant::Scope;

const ROUTE: &str = "/v1/simulations";

fn metered(unit_amount: &str) -> Value {
    let model = json!({ "type": "per_unit", "meter": "tokens", "unit_amount": { "USD": unit_amount } });
    json!({ "document": { "key": "other", "name": "Other", "prices": [{ "key": "price", "name": "Price", "model": model }] } })
}

fn what_if(about: Value, alternative: Value) -> Value {
    let mut body = json!({ "alternative": alternative, "from": "2026-08-01T00:00:00Z", "to": "2026-10-02T00:00:00Z" });
    body.as_object_mut().expect("an object").extend(about.as_object().expect("an object").clone());
    body
}

/// `(billed, alternative, difference)` of each period of the first subscription.
fn amounts(answer: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value["amount"].as_str().unwrap_or("none").to_owned();
    let periods = answer["data"][0]["periods"].as_array().expect("periods").iter();
    periods
        .map(|it| (text(&it["billed"]["subtotal"]), text(&it["alternative"]["subtotal"]), text(&it["difference"])))
        .collect()
}

fn three(billed: &str, alternative: &str, difference: &str) -> (String, String, String) {
    (billed.to_owned(), alternative.to_owned(), difference.to_owned())
}

/// Two tenants of the plan `metered` with two closed months each, and usage that came too late for one of them.
async fn past(stage: &Stage) -> TestServer {
    for tenant in ["acme", "beta"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    open(&server).await;
    for tenant in ["acme", "beta"] {
        subscribe(&server, tenant, "metered", "2026-08-01", "").await;
        server.count(&usage(tenant, "september", "2026-09-20T00:00:00Z", &[70, 33])).await;
    }
    bill(&server, "2026-10-15T12:00:00Z").await;
    server.count(&usage("acme", "late", "2026-09-21T00:00:00Z", &[1000])).await;
    server
}

/// Twice the price gives twice each line, over the usage that was billed and no other; and the same plan changes nothing.
pub async fn a_doubled_price_doubles_every_line(log: LogChoice) {
    let stage = Stage::new(log).await;
    let server = past(&stage).await;
    let about = json!({ "tenant_id": "acme" });
    let doubled = server.post(ROUTE, &what_if(about.clone(), metered("0.20"))).await.ok();
    assert_eq!(amounts(&doubled), [three("0.00", "0.00", "0.00"), three("10.30", "20.60", "10.30")], "{doubled}");
    let period = &doubled["data"][0]["periods"][1];
    let (billed, other) = (&period["billed"]["lines"][0], &period["alternative"]["lines"][0]);
    for member in ["quantity", "period"] {
        assert_eq!(billed[member], other[member], "{member}");
    }
    for member in ["digest", "event_count", "cut", "window"] {
        assert_eq!(
            billed["lineage"][member], other["lineage"][member],
            "{member}: another stretch of the log was measured"
        );
    }
    let sums = &doubled["totals"][0];
    assert_eq!((&sums["alternative"]["amount"], &sums["periods"]), (&"20.60".into(), &2.into()), "{doubled}");
    let same = server.post(ROUTE, &what_if(about.clone(), json!({ "plan": "metered" }))).await.ok();
    assert!(amounts(&same).iter().all(|(billed, other, difference)| billed == other && difference == "0.00"), "{same}");
    let mut committed = metered("0.20");
    committed["document"]["commitment"] = json!({ "minimum": { "USD": "50.00" } });
    let committed = server.post(ROUTE, &what_if(about.clone(), committed)).await.ok();
    assert_eq!(amounts(&committed), [three("0.00", "50.00", "50.00"), three("10.30", "50.00", "39.70")], "{committed}");
    let flat = server.post(ROUTE, &what_if(about, json!({ "plan": "advance", "version": 1 }))).await.ok();
    assert_eq!(amounts(&flat), [three("0.00", "31.00", "31.00"), three("10.30", "31.00", "20.70")], "{flat}");
    assert_eq!(invoices(&server, "acme").await.len(), 1, "nothing was recorded");
}

/// Every tenant of a plan, page by page; a bound key sees its own alone.
pub async fn a_plans_tenants_are_compared_page_by_page(log: LogChoice) {
    let stage = Stage::new(log).await;
    let server = past(&stage).await;
    let mut asked = what_if(json!({ "plan": "metered", "limit": 1 }), metered("0.20"));
    let mut seen = Vec::new();
    for done in 1..=2 {
        let page = server.post(ROUTE, &asked).await.ok();
        assert_eq!(page["progress"], json!({ "done": done, "total": 2 }));
        seen.push(page["data"][0]["tenant_id"].as_str().expect("a tenant").to_owned());
        asked["cursor"] = page["next_cursor"].clone();
    }
    assert_eq!((seen, &asked["cursor"]), (vec!["acme".to_owned(), "beta".to_owned()], &Value::Null));

    let beta = stage.key(&[Scope::Finance], Some("beta")).await;
    let own = server.post_as(&beta, ROUTE, &what_if(json!({ "plan": "metered" }), metered("0.20"))).await.ok();
    assert_eq!((own["data"].as_array().map(Vec::len), &own["data"][0]["tenant_id"]), (Some(1), &"beta".into()));
    for tenant in ["acme", "nobody"] {
        let answer = server.post_as(&beta, ROUTE, &what_if(json!({ "tenant_id": tenant }), metered("0.20"))).await;
        assert_eq!(answer.status, 404, "{tenant}: {}", answer.text);
    }
    let reader = stage.key(&[Scope::Read], None).await;
    assert_eq!(server.post_as(&reader, ROUTE, &asked).await.status, 403);
}

/// A document over HTTP has the answer of the command line to the byte, and every fault is told by its place.
pub async fn a_document_is_simulated_over_http(log: LogChoice) {
    let stage = Stage::new(log).await;
    let server = stage.serve().await;
    let text = include_str!("../../schemas/examples/simulate/105-graduated.json");
    let document: Value = serde_json::from_str(text).expect("JSON");
    let answer = server.post(ROUTE, &document).await;
    assert_eq!((answer.status, answer.text), (200, simulate_line(text).expect("a result")));
    let mut wrong = document.clone();
    wrong["tenants"] = json!([]);
    wrong["due_days"] = json!(100_000);
    let refused = server.post(ROUTE, &wrong).await;
    let fields: Vec<Value> =
        refused.json()["errors"].as_array().expect("faults").iter().map(|it| it["field"].clone()).collect();
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(fields.len() > 1 && fields.contains(&"/due_days".into()), "{}", refused.text);
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    for (about, field) in [
        (what_if(json!({}), metered("0.20")), "/tenant_id"),
        (what_if(json!({ "tenant_id": "acme" }), json!({})), "/alternative"),
        (what_if(json!({ "tenant_id": "acme" }), json!({ "plan": "nowhere" })), "/alternative/plan"),
        (what_if(json!({ "tenant_id": "acme", "limit": 0 }), metered("0.20")), "/limit"),
    ] {
        let refused = server.post(ROUTE, &about).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &field.into()), "{}", refused.text);
    }
}
