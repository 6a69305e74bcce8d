//! Signals: each crossing once, whatever is restarted, doubled or jumped over.

use super::scene::{Parts, Scene};
use crate::harness::{LogChoice, Stage, event};
use reqwest::Method;
use serde_json::json;

pub async fn a_crossing_is_signalled_with_its_cause_and_once(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts { provisioning: true, ..Parts::default() }).await;
    scene.onboard("acme", "soft").await;
    scene.used("acme", "tokens", "0").await;
    scene.send(&[event("acme", "1").tokens(7)]).await;
    scene.used("acme", "tokens", "7").await;
    scene.send(&[event("acme", "2").tokens(1), event("acme", "2").tokens(1)]).await;
    let signals = scene.signalled("acme", &["warning 80"]).await;
    let signal = &signals[0]["data"];
    assert_eq!(
        (&signal["used"], &signal["limit"], &signal["limit_version"]),
        (&json!("8"), &json!("10"), &json!("soft@1"))
    );
    assert_eq!(signal["period_start"], "2026-10-01T00:00:00Z");
    assert!(signal["event_time_of_cause"].is_string() && signal["observed_at"].is_string(), "{signal}");
    assert_eq!(signals[0]["type"], "talea.quota.warning.v1");
    scene.send(&[event("acme", "3").tokens(500)]).await;
    scene.signalled("acme", &["warning 80", "exceeded 100"]).await;
}

/// Dropped between any two steps, started again, with two instances at once: the same signals.
pub async fn restarts_and_second_instances_lose_and_double_nothing(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts { quotas: 2, ..Parts::default() }).await;
    scene.onboard("acme", "soft").await;
    scene.used("acme", "tokens", "0").await;
    scene.send(&[event("acme", "1").tokens(8)]).await;
    scene.signalled("acme", &["warning 80"]).await;
    // The next event crosses 100 %; nobody is there to see it.
    scene.crash().await;
    let alone = Scene::start(stage, Parts { quotas: 0, ..Parts::default() }).await;
    alone.send(&[event("acme", "2").tokens(2)]).await;
    alone.crash().await;
    let scene = Scene::start(stage, Parts { quotas: 2, ..Parts::default() }).await;
    scene.used("acme", "tokens", "10").await;
    scene.signalled("acme", &["warning 80", "exceeded 100"]).await;
    scene.crash().await;
    let scene = Scene::start(stage, Parts::default()).await;
    scene.used("acme", "tokens", "10").await;
    scene.send(&[event("acme", "3").tokens(1)]).await;
    scene.used("acme", "tokens", "11").await;
    scene.signalled("acme", &["warning 80", "exceeded 100"]).await;
    let recorded: i64 = sqlx::query_scalar("SELECT count(*) FROM journal WHERE type = 'quota.signalled.v1'")
        .fetch_one(stage.pools.worker.pool())
        .await
        .expect("counts");
    assert_eq!(recorded, 2);
}

pub async fn a_new_period_resets_and_a_raised_limit_is_ok(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    scene.onboard("acme", "soft").await;
    scene.used("acme", "tokens", "0").await;
    scene.send(&[event("acme", "1").tokens(9)]).await;
    scene.signalled("acme", &["warning 80"]).await;
    let raise = async |amount: &str| {
        let body = json!({ "amount": amount });
        let path = "/v1/tenants/acme/entitlements/tokens/limit";
        scene.request(Method::PUT, path, &scene.admin, Some(&body)).await
    };
    assert_eq!(raise("1e2").await.ok()["version"], 1);
    assert_eq!(raise("100").await.ok()["version"], 1, "the amount that holds changes nothing");
    assert_eq!(raise("-1").await.status, 400);
    let signals = scene.signalled("acme", &["warning 80", "ok 0"]).await;
    assert_eq!(signals[1]["data"]["limit_version"], "soft@1+1");
    scene.send(&[event("acme", "2").tokens(80)]).await;
    scene.signalled("acme", &["warning 80", "ok 0", "warning 80"]).await;
    // The month ends by the clock alone.
    scene.advance("2026-11-02T00:00:00Z");
    let signals = scene.signalled("acme", &["warning 80", "ok 0", "warning 80", "reset 0"]).await;
    assert_eq!(signals[3]["data"]["period_start"], "2026-11-01T00:00:00Z");
    scene.used("acme", "tokens", "0").await;
}
