//! From a signal to a tenant's state, and out to whoever serves the tenant.

use super::scene::{Parts, Scene};
use crate::harness::{LogChoice, Stage, event};
use bytes::Bytes;
use serde_json::json;
use talea_platform::log::{NewRecord, topic};

pub async fn an_exceeded_hard_limit_suspends_and_the_next_period_resumes(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    scene.onboard("acme", "free").await;
    scene.used("acme", "tokens", "0").await;
    scene.send(&[event("acme", "1").tokens(10)]).await;
    let view = scene.state("acme", "suspended").await;
    let signals = scene.signalled("acme", &["warning 80", "exceeded 100"]).await;
    assert_eq!(view["state_cause"], json!({ "kind": "quota", "signal_id": signals[1]["id"] }));
    // Usage of a suspended tenant is still recorded.
    scene.send(&[event("acme", "2").tokens(1)]).await;
    scene.used("acme", "tokens", "11").await;
    scene.advance("2026-11-01T00:00:00Z");
    scene.state("acme", "active").await;
    let expect =
        ["tenant.ready", "tenant.notified", "tenant.notified", "tenant.suspended", "tenant.notified", "tenant.resumed"];
    let events = scene.lifecycle("acme", &expect).await;
    assert_eq!(events[3]["type"], "talea.tenant.suspended.v1");
}

pub async fn a_soft_limit_notifies_and_what_a_person_decides_stands(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    scene.onboard("softly", "soft").await;
    scene.onboard("acme", "free").await;
    scene.used("acme", "tokens", "0").await;
    scene.send(&[event("softly", "1").tokens(10), event("acme", "1").tokens(10)]).await;
    scene.lifecycle("softly", &["tenant.ready", "tenant.notified", "tenant.notified"]).await;
    scene.state("acme", "suspended").await;
    assert_eq!(scene.get("/v1/tenants/softly").await.ok()["state"], "active");
    // Resumed by hand: the signal that suspended it does so no second time, whatever wakes the reconciliation.
    assert_eq!(scene.post("/v1/tenants/acme/resume", &json!({})).await.ok()["state"], "active");
    scene.advance("2026-10-15T12:40:00Z");
    scene.advance("2026-10-15T12:50:00Z");
    // Suspended by hand: the next period does not resume it.
    assert_eq!(scene.post("/v1/tenants/softly/suspend", &json!({})).await.ok()["state"], "suspended");
    scene.advance("2026-11-01T00:00:00Z");
    scene.signalled("softly", &["warning 80", "exceeded 100", "reset 0"]).await;
    scene.signalled("acme", &["warning 80", "exceeded 100", "reset 0"]).await;
    assert_eq!(scene.get("/v1/tenants/acme").await.ok()["state"], "active");
    assert_eq!(scene.get("/v1/tenants/softly").await.ok()["state"], "suspended");
    let expect =
        ["tenant.ready", "tenant.notified", "tenant.notified", "tenant.suspended", "tenant.resumed", "tenant.notified"];
    scene.lifecycle("acme", &expect).await;
}

pub async fn a_poison_record_stops_nobody(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    for value in ["", "{", "{\"specversion\":\"1.0\",\"data\":{}}", "\u{0}"] {
        let records = ["acme", "umbrella", "k1", "k2", "k3"].map(|key| NewRecord {
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
            headers: Vec::new(),
        });
        for topic in [topic::QUOTA, topic::TOTALS] {
            let answers = scene.platform.log.append(topic, records.to_vec()).await;
            assert!(answers.iter().all(Result::is_ok));
        }
    }
    scene.onboard("acme", "free").await;
    scene.used("acme", "tokens", "0").await;
    scene.send(&[event("acme", "1").tokens(10)]).await;
    scene.state("acme", "suspended").await;
    assert!(scene.platform.health.ask().iter().all(|(_, answer)| answer.is_ok()), "{:?}", scene.platform.health.ask());
}

/// The signal is recorded and nobody delivers it: the reconciliation finds it.
pub async fn a_signal_that_was_never_delivered_is_found(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts { provisioning: false, ..Parts::default() }).await;
    let onboarder = Scene::start(stage, Parts { quotas: 0, ..Parts::default() }).await;
    onboarder.onboard("acme", "free").await;
    onboarder.crash().await;
    scene.used("acme", "tokens", "0").await;
    scene.send(&[event("acme", "1").tokens(10)]).await;
    scene.signalled("acme", &["warning 80", "exceeded 100"]).await;
    // Somebody else's commit passed the record over.
    let mut consumer = scene.platform.log.subscribe(talea_provisioning::GROUP, topic::QUOTA).await.expect("joins");
    let mut left = crate::harness::stage::PARTITIONS;
    while left > 0 {
        use talea_platform::log::Delivery;
        if let Delivery::Assigned { partition, .. } = consumer.next().await.expect("delivers") {
            let ends = scene.platform.log.end_offsets(topic::QUOTA).await.expect("ends");
            consumer.commit(partition, ends[partition as usize]).await.expect("commits");
            left -= 1;
        }
    }
    consumer.close().await;
    scene.crash().await;
    let scene = Scene::start(stage, Parts::default()).await;
    scene.state("acme", "suspended").await;
}
