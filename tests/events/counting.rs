//! An identity counts exactly once, and different identities are never taken for one.

use super::{ALWAYS, OCTOBER, SEPTEMBER};
use crate::harness::{LogChoice, Stage, event};

/// A retry that was stamped anew, over a month's end, is the same event: it moves nowhere and is not billed twice.
pub async fn a_retry_with_a_new_time_counts_once(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let first = event("acme", "1").tokens(5).at("2026-09-30T23:59:59Z");
    server.count(std::slice::from_ref(&first)).await;
    // In another block, several times in one batch, and with the digits of the same number spelled otherwise.
    let again = first.clone().at("2026-10-01T00:00:01Z");
    server.count(&[again.clone(), again.clone(), again.data(r#"{"tokens":5.0}"#)]).await;
    assert_eq!(server.total("acme", "tokens", SEPTEMBER).await, ("5".to_owned(), 1, 0));
    assert_eq!(server.total("acme", "tokens", OCTOBER).await.1, 0);
    let fate = server.fate("acme", "/api", "1").await;
    assert_eq!(fate["status"], "counted");
    assert_eq!(fate["event"]["time"], "2026-09-30T23:59:59Z");
    assert_eq!(fate["duplicates"].as_array().expect("a list").len(), 3, "{fate}");
    let first_offset = fate["event"]["record"]["offset"].as_u64().expect("a number");
    assert!(fate["duplicates"][0]["offset"].as_u64().expect("a number") > first_offset);
}

/// The same event twice in the very first batch: neither is known to any store yet.
pub async fn equal_events_of_one_batch_count_once(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let events: Vec<_> = (0..300).map(|n| event("acme", &format!("{}", n % 100)).tokens(n % 100)).collect();
    server.count(&events).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("4950".to_owned(), 100, 0));
}

/// The same identity with another content is a conflict: the first stays counted, the other is shown and never counted.
pub async fn a_conflict_is_visible_and_the_first_stays_counted(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    // Once within a batch, once later.
    server.count(&[event("acme", "1").tokens(5), event("acme", "1").tokens(7), event("acme", "2").tokens(1)]).await;
    server.count(&[event("acme", "2").tokens(2), event("acme", "1").tokens(5).with("subject", "someone")]).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("6".to_owned(), 2, 0));
    let fate = server.fate("acme", "/api", "1").await;
    assert_eq!((&fate["status"], &fate["event"]["numbers"]["/tokens"]), (&"counted".into(), &"5".into()));
    assert_eq!(fate["dead_letters"].as_array().expect("a list").len(), 2, "{fate}");
    assert_eq!(fate["dead_letters"][0]["reason"], "conflict");
    let letters = server.dead_letters(&[("tenant_id", "acme"), ("reason", "conflict")]).await;
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().any(|letter| letter["payload"].as_str().expect("text").contains("\"tokens\":7")));
    assert_eq!(server.metric(r#"talea_dead_letters_total{reason="conflict"}"#).await, 3);
}

/// (x, y-z) and (x-y, z) are two events; so are equal ids of two sources and of two tenants.
pub async fn source_and_id_are_never_joined(log: LogChoice) {
    let stage = Stage::new(log).await;
    for tenant in ["acme", "acme2"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    server.meter("calls", "count", "").await;
    server
        .count(&[
            event("acme", "y-z").source("x"),
            event("acme", "z").source("x-y"),
            event("acme", "z").source("x"),
            event("acme", "").source("x").with("id", "x-y-z"),
            event("acme2", "z").source("x"),
            event("acme", "2z").source("x"),
        ])
        .await;
    assert_eq!(server.total("acme", "calls", ALWAYS).await.1, 5);
    assert_eq!(server.total("acme2", "calls", ALWAYS).await.1, 1);
}
