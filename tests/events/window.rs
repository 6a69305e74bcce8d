//! When an event may have happened: judged against the time at which the log took it.

use super::ALWAYS;
use crate::harness::{LogChoice, Stage, event};
use serde_json::{Value, json};

/// Both ends of the window count; beyond them is a dead letter with its reason, and a backfill admits what is too late.
pub async fn the_window_is_judged_by_the_logs_time(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    server
        .count(&[
            event("acme", "oldest").tokens(1).at("2026-09-10T12:30:00Z"),
            event("acme", "older").tokens(10).at("2026-09-10T12:29:59.999999999Z"),
            event("acme", "newest").tokens(100).at("2026-10-15T13:30:00Z"),
            event("acme", "newer").tokens(1000).at("2026-10-15T13:30:00.000000001Z"),
        ])
        .await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("101".to_owned(), 2, 0));
    for (id, reason) in [("older", "too_late"), ("newer", "in_future")] {
        let fate = server.fate("acme", "/api", id).await;
        assert_eq!(
            (&fate["status"], &fate["dead_letters"][0]["reason"]),
            (&"dead_lettered".into(), &reason.into()),
            "{fate}"
        );
        assert!(!fate["dead_letters"][0]["way_out"].as_str().expect("text").is_empty());
    }
    // A dead letter claims no identity: the same event in a backfill counts, and then it is known.
    let older = [
        event("acme", "older").tokens(10).at("2026-09-10T12:29:59.999999999Z"),
        event("acme", "old").tokens(7).at("2026-01-31T00:00:00Z"),
    ];
    for query in ["?backfill=true", "?backfill=true", ""] {
        let answer = server.send(server.ingesting(query, &older)).await.ok();
        assert_eq!(answer["summary"]["accepted"], 2);
        server.drained().await;
        assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("118".to_owned(), 4, 0), "{query}");
    }
    let future = [event("acme", "future").at("2026-10-15T14:00:00Z")];
    server.send(server.ingesting("?backfill=true", &future)).await.ok();
    server.drained().await;
    assert_eq!(server.fate("acme", "/api", "future").await["dead_letters"][0]["reason"], "in_future");
}

/// A retry that comes within W of the first record is a duplicate, however old the event itself has become.
pub async fn an_identity_is_remembered_over_restarts_and_months(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let first = event("acme", "1").tokens(5);
    server.count(std::slice::from_ref(&first)).await;
    server.advance("2026-11-18T12:00:00Z").await;
    assert!(server.terminate().await.success());
    let server = stage.serve().await;
    server.count(&[first.clone(), first.at("2026-11-18T12:00:00Z")]).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("5".to_owned(), 1, 0));
    let fate = server.fate("acme", "/api", "1").await;
    assert_eq!(fate["duplicates"].as_array().expect("a list").len(), 2, "{fate}");
}

/// Times that a store would bend are refused by name, and nothing of them is kept.
pub async fn years_that_cannot_be_stored_are_rejected(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    let times = ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "2106-02-07T06:28:16", "0001-01-01T00:00:00Z", "now"];
    let mut events: Vec<_> = times.iter().enumerate().map(|(n, time)| event("acme", &n.to_string()).at(time)).collect();
    events.push(event("acme", "good"));
    events.push(event("acme", "none").without("time"));
    let answer = server.ingest(&events).await.ok();
    assert_eq!(answer["summary"], json!({ "accepted": 1, "rejected": 6, "retry": 0 }), "{answer}");
    for verdict in answer["events"].as_array().expect("a list") {
        let is_good = verdict["id"] == "good";
        assert_eq!(verdict["status"], if is_good { "accepted" } else { "rejected" });
        assert_eq!(verdict["field"], if is_good { Value::Null } else { "/time".into() }, "{verdict}");
    }
    server.drained().await;
    assert_eq!(server.fate("acme", "/api", "0").await["status"], "unknown");
}

/// An event of a tenant that does not exist yet waits in the dead letters; sent again once it does, it counts once.
pub async fn an_unknown_tenants_events_count_once_it_exists(log: LogChoice) {
    let stage = Stage::new(log).await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    server.count(&[event("later", "1").tokens(5), event("later", "2").tokens(6)]).await;
    let letters = server.dead_letters(&[("reason", "unknown_tenant")]).await;
    assert_eq!(letters.len(), 2, "{letters:?}");
    stage.tenant("later").await;
    for letter in &letters {
        let path = format!("/v1/dead-letters/{}/resubmit", letter["place"].as_str().expect("text"));
        for _ in 0..2 {
            let answer = server.post(&path, &Value::Null).await.ok();
            assert!(answer["resubmitted_at"].is_string());
        }
    }
    server.drained().await;
    assert_eq!(server.total("later", "tokens", ALWAYS).await, ("11".to_owned(), 2, 0));
    assert!(server.dead_letters(&[("reason", "unknown_tenant"), ("open", "true")]).await.is_empty());
    let fate = server.fate("later", "/api", "1").await;
    assert_eq!((&fate["status"], fate["duplicates"].as_array().map(Vec::len)), (&"counted".into(), Some(1)), "{fate}");
    assert_eq!(server.post("/v1/dead-letters/0-999999/resubmit", &Value::Null).await.status, 404);
    assert_eq!(server.post("/v1/dead-letters/nowhere/resubmit", &Value::Null).await.status, 400);
}
