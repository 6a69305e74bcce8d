//! Values come out as they went in, to the last digit; what cannot is shown and never rounded.

use super::ALWAYS;
use crate::harness::{LogChoice, Stage, event};

/// Numbers are exact decimals from the event to the answer.
pub async fn numbers_are_exact(log: LogChoice) {
    let stage = Stage::new(log).await;
    for tenant in ["acme", "large", "both"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    for aggregation in ["sum", "max", "min", "latest"] {
        server.meter(aggregation, aggregation, "/n").await;
    }
    let send = async |tenant: &str, numbers: &[&str]| {
        let events: Vec<_> = numbers
            .iter()
            .enumerate()
            .map(|(n, number)| {
                let time = format!("2026-10-15T12:00:0{n}Z");
                event(tenant, &n.to_string()).at(&time).data(&format!(r#"{{"n":{number}}}"#))
            })
            .collect();
        server.count(&events).await;
    };
    let value = async |tenant: &str, meter: &str| server.total(tenant, meter, ALWAYS).await.0;

    send("acme", &["123456789.123456789123", "0.30000000000000004", "-0.000000000000000001", "1e2"]).await;
    assert_eq!(value("acme", "sum").await, "123456889.423456789123000039");
    assert_eq!(value("acme", "max").await, "123456789.123456789123");
    assert_eq!(value("acme", "min").await, "-0.000000000000000001");
    assert_eq!(value("acme", "latest").await, "100");
    assert_eq!(server.fate("acme", "/api", "0").await["event"]["numbers"]["/n"], "123456789.123456789123");

    send("large", &["12345678901234567890", "12345678901234567891", "-1"]).await;
    assert_eq!(value("large", "sum").await, "24691357802469135780");
    assert_eq!(value("large", "max").await, "12345678901234567891");

    // A total that no quantity holds is refused by name; its parts can still be asked for.
    send("both", &["12345678901234567890", "0.000000000000000001"]).await;
    let query = [("tenant_id", "both"), ("meter", "sum"), ("from", ALWAYS.0), ("to", ALWAYS.1)];
    let refused = server.get("/v1/usage", &query).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert_eq!(value("both", "min").await, "0.000000000000000001");
}

/// What no quantity holds exactly stays stored, counts for meters that do not need it, and is named by those that do.
pub async fn what_a_meter_cannot_read_is_visible(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("calls", "count", "").await;
    server.meter("tokens", "sum", "/n").await;
    let unreadable = [
        r#"{"n":1e308}"#,
        r#"{"n":1e308,"again":1}"#,
        r#"{"n":12345678901234567890123456789}"#,
        r#"{"n":0.1234567890123456789}"#,
        r#"{"n":"NaN"}"#,
        r#"{"n":"5"}"#,
        r#"{"n":true}"#,
        r#"{"n":null}"#,
        r#"{"n":[1]}"#,
        r#"{"m":1}"#,
        r"{}",
    ];
    let mut events: Vec<_> =
        unreadable.iter().enumerate().map(|(n, data)| event("acme", &n.to_string()).data(data)).collect();
    events.push(event("acme", "good").data(r#"{"n":2.5}"#));
    events.push(event("acme", "bare").without("data"));
    server.count(&events).await;
    let all = events.len() as u64;
    assert_eq!(server.total("acme", "calls", ALWAYS).await.1, all);
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("2.5".to_owned(), 1, all - 1));
    for (n, data) in unreadable.iter().enumerate() {
        let fate = server.fate("acme", "/api", &n.to_string()).await;
        assert_eq!(fate["unmetered"][0]["meter"], "tokens", "{data}: {fate}");
        assert!(!fate["unmetered"][0]["reason"].as_str().expect("text").is_empty());
    }
    assert_eq!(server.fate("acme", "/api", "good").await["unmetered"], serde_json::json!([]));
    assert_eq!(server.fate("acme", "/api", "0").await["event"]["texts"]["/n"], "1e308", "kept as it came");
}

/// An event that no meter is for is stored and says so; a meter that is defined later counts it.
pub async fn an_event_that_no_meter_matches_is_visible_and_counted_later(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.count(&[event("acme", "1").tokens(3)]).await;
    let fate = server.fate("acme", "/api", "1").await;
    assert_eq!(fate["status"], "unmetered", "{fate}");
    assert_eq!(fate["unmetered"][0]["reason"], "no_meter_for_this_type");
    server.meter("tokens", "sum", "/tokens").await;
    assert_eq!(server.fate("acme", "/api", "1").await["status"], "counted");
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("3".to_owned(), 1, 0));
}
