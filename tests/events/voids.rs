//! Voids and amendments: what was counted and should not have been is no longer counted, once, and nothing else changes.

use super::ALWAYS;
use super::windows_of_usage::recompute;
use crate::harness::{Event, LogChoice, Stage, TestServer, event};
use serde_json::{Value, json};
use talea_domain::tenant::Scope;

const METERS: [(&str, &str); 7] = [
    ("count", ""),
    ("sum", "/tokens"),
    ("max", "/tokens"),
    ("min", "/tokens"),
    ("avg", "/tokens"),
    ("latest", "/tokens"),
    ("unique_count", "/user"),
];

fn used(id: &str, tokens: u64, user: &str, minute: u32) -> Event {
    event("acme", id)
        .data(&format!(r#"{{"tokens":{tokens},"user":"{user}"}}"#))
        .at(&format!("2026-10-14T08:{minute:02}:00Z"))
}

async fn void(server: &TestServer, key: &str, voids: &[Value]) -> Value {
    let answer = server.post_as(key, "/v1/events/void", &json!({ "events": voids })).await.ok();
    server.drained().await;
    answer
}

fn of(tenant: &str, id: &str) -> Value {
    json!({ "tenant_id": tenant, "source": "/api", "id": id, "reason": "sent by a load test" })
}

/// Every meter's total, by raw events and as the store answers by itself.
async fn totals(server: &TestServer) -> [Vec<String>; 2] {
    let mut answers = [Vec::new(), Vec::new()];
    for (answers, source) in answers.iter_mut().zip(["raw", "auto"]) {
        for (meter, _) in METERS {
            let rows = server.usage("acme", meter, ALWAYS, &[("source", source)]).await;
            answers.push(rows.first().and_then(|row| row["value"].as_str()).unwrap_or("none").to_owned());
        }
    }
    answers
}

async fn check(stage: &Stage, server: &TestServer, now: &str, expected: [&str; 7]) {
    let expected = expected.map(str::to_owned).to_vec();
    assert_eq!(totals(server).await, [expected.clone(), expected.clone()], "while buckets are dirty");
    recompute(stage, server, now).await;
    assert_eq!(totals(server).await, [expected.clone(), expected], "from recomputed buckets");
}

pub async fn a_voided_event_is_no_longer_counted_by_any_meter(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    for (aggregation, field) in METERS {
        let field = (!field.is_empty()).then_some(field);
        let meter = json!({ "key": aggregation, "event_type": "api.call", "aggregation": aggregation, "field": field });
        server.post("/v1/meters", &meter).await.ok();
    }
    let events = [used("a", 4, "ann", 1), used("b", 9, "bob", 2), used("c", 1, "cid", 20), used("d", 6, "ann", 21)];
    server.count(&events).await;
    check(&stage, &server, "2026-10-15T13:00:00Z", ["4", "20", "9", "1", "5", "6", "3"]).await;

    // The highest, the latest and a user's only one go.
    let admin = &server.admin;
    let answer = void(
        &server,
        admin,
        &[of("acme", "b"), of("acme", "d"), json!({ "source": "/api", "id": "a", "reason": "x" })],
    )
    .await;
    assert_eq!((&answer["summary"]["accepted"], &answer["summary"]["rejected"]), (&json!(2), &json!(1)), "{answer}");
    assert_eq!(answer["events"][2]["field"], "/tenant_id");
    check(&stage, &server, "2026-10-15T14:00:00Z", ["2", "5", "4", "1", "2.5", "1", "2"]).await;
    let fate = server.fate("acme", "/api", "b").await;
    assert_eq!(
        (&fate["status"], &fate["event"]["voided"]["reason"]),
        (&json!("voided"), &json!("sent by a load test")),
        "{fate}"
    );
    let by = &fate["event"]["voided"];
    let own = server.fate("acme", by["source"].as_str().expect("a source"), by["id"].as_str().expect("an id")).await;
    assert_eq!((&own["status"], &own["voids"]["of"]["id"]), (&json!("void"), &json!("b")), "{own}");

    // Voided again and sent again: nothing changes. Amended: the replacement counts.
    void(&server, admin, &[of("acme", "b"), of("acme", "b")]).await;
    server.count(&[used("b", 9, "bob", 2), used("d", 6, "ann", 21)]).await;
    assert_eq!(server.fate("acme", "/api", "b").await["status"], "voided");
    let replacement: Value = used("c-2", 3, "cid", 22).json().clone();
    let mut amendment = of("acme", "c");
    amendment["replacement"] = replacement;
    let answer = void(&server, admin, &[amendment]).await;
    assert_eq!(answer["summary"]["accepted"], 1, "{answer}");
    check(&stage, &server, "2026-10-15T15:00:00Z", ["2", "7", "4", "3", "3.5", "3", "2"]).await;
    assert_eq!(server.fate("acme", "/api", "c").await["event"]["voided"]["replaced_by"]["id"], "c-2");
    assert!(server.dead_letters(&[]).await.is_empty());
}

/// What names nothing that is counted takes nothing away, stays visible, and takes effect when it is sent again behind its event.
pub async fn a_void_of_nothing_is_a_dead_letter_and_no_tenant_reaches_anothers_events(log: LogChoice) {
    let stage = Stage::new(log).await;
    for tenant in ["acme", "beta"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    server.count(&[event("acme", "1").tokens(5), event("beta", "1").tokens(7)]).await;
    let beta = stage.key(&[Scope::Ingest], Some("beta")).await;
    let answer = server.post_as(&beta, "/v1/events/void", &json!({ "events": [of("acme", "1")] })).await;
    assert_eq!(
        (answer.status, answer.json()["events"][0]["field"].clone()),
        (400, json!("/tenant_id")),
        "{}",
        answer.text
    );
    let reader = stage.key(&[Scope::Read], Some("beta")).await;
    assert_eq!(server.post_as(&reader, "/v1/events/void", &json!({ "events": [of("beta", "1")] })).await.status, 403);
    // Its own of the same name, and one that is still to come.
    let own = |id: &str| json!({ "source": "/api", "id": id, "reason": "wrong" });
    void(&server, &beta, &[own("1"), own("2")]).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await.0, "5");
    assert_eq!(server.total("beta", "tokens", ALWAYS).await.1, 0);
    let letters = server.dead_letters(&[("reason", "unknown_event")]).await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter["type"], "talea.event.voided.v1");

    server.count(&[event("beta", "2").tokens(8)]).await;
    assert_eq!(server.total("beta", "tokens", ALWAYS).await.0, "8");
    let place = letter["place"].as_str().expect("a place");
    server.post(&format!("/v1/dead-letters/{place}/resubmit"), &json!({})).await.ok();
    server.drained().await;
    assert_eq!(server.total("beta", "tokens", ALWAYS).await.1, 0);
    // No usage may have a type of ours.
    let answer = server.ingest(&[event("acme", "2").with("type", "talea.event.amended.v1")]).await;
    assert_eq!(answer.json()["events"][0]["field"], "/type", "{}", answer.text);
}
