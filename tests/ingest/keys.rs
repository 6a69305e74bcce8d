//! Whose events a key may send.

use super::scene::{ONE, Scene, event};
use serde_json::{Value, json};
use talea_domain::event::{EventLimits, UsageEvent};
use talea_platform::postgres::Target;

pub async fn sending_needs_a_key_with_the_scope(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    for (key, status) in
        [("", 401), ("talea_unknown", 401), (scene.keys.read.as_str(), 403), (scene.keys.ingest.as_str(), 200)]
    {
        assert_eq!(scene.post(key, &[event("acme", "1")]).await.status, status);
    }
    assert_eq!(scene.records().await.len(), 1);
}

pub async fn a_bound_key_sends_for_its_tenant_alone(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    let mut unnamed = event("acme", "1");
    unnamed.as_object_mut().expect("an object").remove("tenantid");
    let mut null = event("acme", "2");
    null["tenantid"] = Value::Null;
    let batch = [unnamed.clone(), null, event("acme", "3"), event("umbrella", "4")];
    let answer = scene.post(&scene.keys.acme, &batch).await;
    assert_eq!(answer.verdicts(), [("accepted", ""), ("accepted", ""), ("accepted", ""), ("rejected", "/tenantid")]);
    let records = scene.records().await;
    assert_eq!(records.len(), 3);
    for record in records {
        let event =
            UsageEvent::parse_structured(&record.value, None, &EventLimits::default()).expect("names its tenant");
        assert_eq!(event.tenant.as_str(), "acme");
    }
    let answer = scene.post(&scene.keys.ingest, &[unnamed]).await;
    assert_eq!((answer.status, answer.verdicts()), (400, vec![("rejected", "/tenantid")]));
}

pub async fn a_backfill_needs_the_scope_admin_and_says_so_in_the_record(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    let backfill = |key: &str| {
        let request = scene.request(key, ONE, json!(event("acme", "old")).to_string());
        request.query(&[("backfill", "true")])
    };
    assert_eq!(scene.send(backfill(&scene.keys.ingest)).await.status, 403);
    assert!(scene.records().await.is_empty());
    assert_eq!(scene.send(backfill(&scene.keys.admin)).await.status, 200);
    let records = scene.records().await;
    let header = records[0].headers.iter().find(|(name, _)| name == "talea-backfill");
    assert_eq!(header.map(|(_, value)| value.as_ref()), Some(&b"1"[..]));
}
