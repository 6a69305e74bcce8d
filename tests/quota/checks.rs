//! What a check answers, from memory, for every kind of meter.

use super::scene::{Parts, Scene};
use crate::harness::{Event, LogChoice, Stage, event, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Duplicates, late and early events, two partitions, several buckets: the live use of every aggregation is what a naive
/// recount says, from the totals and again, after a restart, from the store.
pub async fn every_aggregation_is_what_a_recount_says(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    scene.onboard("acme", "all").await;
    let mut sent = Vec::new();
    for number in 0..60u64 {
        let (tokens, minute) = (number * 37 % 50 + 1, number * 17 % 55);
        let data = format!(r#"{{"tokens": {tokens}.25, "user": "u{}"}}"#, number % 7);
        let time = format!("2026-10-15T12:{minute:02}:{:02}Z", number % 60);
        sent.push((tokens, number % 7, time.clone(), event("acme", &format!("e{number}")).at(&time).data(&data)));
    }
    // A part of the month before the bucket of now, and a part of the month before this one, which does not count.
    let early = r#"{"tokens": 1000, "user": "early"}"#;
    sent.push((1000, 8, "x".into(), event("acme", "september").at("2026-09-30T23:59:59Z").data(early)));
    let events: Vec<Event> = sent.iter().map(|(.., event)| event.clone()).collect();
    scene.send(&events[..30]).await;
    scene.used("acme", "count", "30").await;
    scene.send(&events).await;
    let expect = recount(&sent[..60]);
    for (feature, value) in &expect {
        scene.used("acme", feature, value).await;
    }
    scene.crash().await;
    let scene = Scene::start(stage, Parts { totals: false, ..Parts::default() }).await;
    for (feature, value) in &expect {
        scene.used("acme", feature, value).await;
    }
}

/// In quarters, so that every value is exact.
fn recount(sent: &[(u64, u64, String, Event)]) -> BTreeMap<&'static str, String> {
    let quarters: Vec<u64> = sent.iter().map(|(tokens, ..)| tokens * 4 + 1).collect();
    let text = |quarters: u64| rust_decimal::Decimal::new((quarters * 25) as i64, 2).normalize().to_string();
    let sum: u64 = quarters.iter().sum();
    let users: BTreeSet<u64> = sent.iter().map(|(_, user, ..)| *user).collect();
    let newest = sent.iter().max_by_key(|(_, _, time, _)| time.clone()).map(|(tokens, ..)| tokens * 4 + 1);
    let ties = sent.iter().filter(|(_, _, time, _)| Some(time) == sent.iter().map(|it| &it.2).max()).count();
    assert_eq!(ties, 1, "the newest event is one");
    let average = rust_decimal::Decimal::new((sum * 25) as i64, 2) / rust_decimal::Decimal::from(sent.len());
    BTreeMap::from([
        ("count", sent.len().to_string()),
        ("sum", text(sum)),
        ("max", text(*quarters.iter().max().expect("some"))),
        ("min", text(*quarters.iter().min().expect("some"))),
        (
            "avg",
            average
                .round_dp_with_strategy(18, rust_decimal::RoundingStrategy::MidpointAwayFromZero)
                .normalize()
                .to_string(),
        ),
        ("latest", text(newest.expect("some"))),
        ("unique_count", users.len().to_string()),
    ])
}

pub async fn a_check_says_why_and_what_remains(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    scene.onboard("acme", "free").await;
    scene.send(&[event("acme", "1").tokens(7)]).await;
    scene.used("acme", "tokens", "7").await;
    let ask = async |amount: &str| {
        let path = format!("/v1/tenants/acme/entitlements/tokens?amount={amount}");
        // As old as can be at first: the figures are proven within a few looks.
        eventually("the figures are fresh", async || {
            let answer = scene.get(&path).await.ok();
            if answer["reason"] == "stale_allowed" { Err(answer.to_string()) } else { Ok(answer) }
        })
        .await
    };
    let within = ask("3").await;
    assert_eq!((&within["allowed"], &within["reason"]), (&json!(true), &json!("within_limit")));
    assert_eq!((&within["limit"], &within["used"], &within["remaining"]), (&json!("10"), &json!("7"), &json!("3")));
    assert_eq!(within["resets_at"], "2026-11-01T00:00:00Z");
    assert!(within["as_of"].is_string());
    let beyond = ask("3.000000000000000001").await;
    assert_eq!((&beyond["allowed"], &beyond["reason"]), (&json!(false), &json!("limit_reached")));
    let fixed = scene.entitlement("acme", "sso").await;
    assert_eq!((&fixed["allowed"], &fixed["kind"], &fixed["value"]), (&json!(false), &json!("boolean"), &json!(false)));
    let list = scene.get("/v1/tenants/acme/entitlements").await.ok();
    let named: Vec<&Value> = list["data"].as_array().expect("a list").iter().map(|it| &it["feature"]).collect();
    assert_eq!(named, ["sso", "tokens"]);
    for amount in ["-1", "x", "1e99", ""] {
        let refused = scene.get(&format!("/v1/tenants/acme/entitlements/tokens?amount={amount}")).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (400, &json!("amount")), "{amount:?}");
    }
    let unknown = scene.get("/v1/tenants/acme/entitlements/seats").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body["detail"].as_str().expect("a way out").contains("sso, tokens"), "{unknown:?}");
}

pub async fn another_tenants_entitlements_are_not_there(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    let acme = scene.onboard("acme", "free").await;
    scene.onboard("umbrella", "free").await;
    let key = acme["keys"][0]["secret"].as_str().expect("a secret").to_owned();
    scene.used("umbrella", "tokens", "0").await;
    scene.used("acme", "tokens", "0").await;
    let ask = |path: &'static str| scene.request(Method::GET, path, &key, None);
    assert_eq!(ask("/v1/tenants/acme/entitlements/tokens").await.status, 200);
    let theirs = ask("/v1/tenants/umbrella/entitlements/tokens").await;
    let nobodys = ask("/v1/tenants/nobody/entitlements/tokens").await;
    assert_eq!((theirs.status, nobodys.status), (404, 404));
    assert_eq!(theirs.body, nobodys.body);
    assert_eq!(ask("/v1/tenants/umbrella/entitlements").await.body, theirs.body);
    let limit = json!({ "amount": "99" });
    let path = |tenant: &str| format!("/v1/tenants/{tenant}/entitlements/tokens/limit");
    assert_eq!(scene.request(Method::PUT, &path("umbrella"), &key, Some(&limit)).await.status, 404);
    assert_eq!(scene.request(Method::PUT, &path("acme"), &key, Some(&limit)).await.status, 403);
}

/// Live totals are taken away; the comparison with the store puts them right.
pub async fn a_total_that_never_arrived_is_healed_from_the_store(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts { totals: false, ..Parts::default() }).await;
    scene.onboard("acme", "free").await;
    scene.used("acme", "tokens", "0").await;
    scene.send(&[event("acme", "1").tokens(9)]).await;
    // Each step of the clock wakes the comparison; it counts a difference only when it sees it twice.
    let mut second = 0;
    eventually("the live total is healed", async || {
        second += 1;
        scene.advance(&format!("2026-10-15T12:{:02}:{:02}Z", 30 + second / 60, second % 60));
        let answer = scene.entitlement("acme", "tokens").await;
        if answer["used"] == "9" { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    scene.signalled("acme", &["warning 80"]).await;
}
