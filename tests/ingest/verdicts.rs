//! Each event gets its own verdict, in order, and exactly the accepted ones are in the log when the answer comes.

use super::scene::{ONE, Scene, event, events};
use serde_json::json;
use std::collections::BTreeSet;
use talea_domain::event::{EventLimits, UsageEvent, identity_of};
use talea_domain::id::TenantId;
use talea_platform::postgres::Target;

pub async fn each_event_has_its_own_and_the_accepted_are_in_the_log(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    let mut without_time = event("acme", "2");
    without_time.as_object_mut().expect("an object").remove("time");
    let answer =
        scene.post(&scene.keys.ingest, &[event("acme", "1"), without_time, json!(7), event("umbrella", "3")]).await;
    assert_eq!((answer.status, answer.counts()), (200, (2, 2, 0)), "{}", answer.body);
    assert_eq!(answer.verdicts(), [("accepted", ""), ("rejected", "/time"), ("rejected", ""), ("accepted", "")]);
    assert_eq!(answer.body["events"][1]["id"], "2");
    assert_eq!(answer.body["events"][1]["index"], 1);
    assert!(answer.body["events"][1]["way_out"].is_string());
    let records = scene.records().await;
    let mut logged: Vec<_> = records
        .iter()
        .map(|record| UsageEvent::parse_structured(&record.value, None, &EventLimits::default()).expect("valid"))
        .collect();
    logged.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(
        logged.iter().map(|e| (e.tenant.as_str(), e.id.as_str())).collect::<Vec<_>>(),
        [("acme", "1"), ("umbrella", "3")]
    );
    for record in &records {
        assert_eq!(record.headers, [("content-type".to_owned(), ONE.as_bytes().to_vec().into())]);
    }
}

pub async fn the_records_key_is_the_identity(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    scene.post(&scene.keys.ingest, &events("acme", 50)).await;
    let acme = TenantId::parse("acme").expect("a key");
    let expected: BTreeSet<Vec<u8>> =
        (0..50).map(|n| identity_of(&acme, "/api", &format!("e{n}")).0.to_be_bytes().to_vec()).collect();
    let found: BTreeSet<Vec<u8>> = scene.records().await.iter().map(|record| record.key.to_vec()).collect();
    assert_eq!(found, expected);
}

/// Counting once is metering's part: ingest takes what it is given as often as it is given.
pub async fn equal_events_in_one_batch_are_all_accepted(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    let answer = scene.post(&scene.keys.ingest, &[event("acme", "1"), event("acme", "1")]).await;
    assert_eq!((answer.status, answer.counts()), (200, (2, 0, 0)));
    let records = scene.records().await;
    assert_eq!((records.len(), records[0].partition), (2, records[1].partition));
}

pub async fn a_request_of_rejected_events_is_a_problem_with_verdicts(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    let answer = scene.post(&scene.keys.ingest, &[json!({"id": "1"}), json!([])]).await;
    assert_eq!((answer.status, answer.counts()), (400, (0, 2, 0)));
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.body["type"].as_str().is_some_and(|kind| kind.starts_with("urn:talea:problem:")));
    assert!(scene.records().await.is_empty());
}

/// The largest request there may be, judged on several threads, in order.
pub async fn ten_thousand_events_keep_their_order(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    let mut batch = events("acme", 10_000);
    for place in [0, 2_499, 2_500, 9_999] {
        batch[place]["time"] = json!("yesterday");
    }
    let answer = scene.post(&scene.keys.ingest, &batch).await;
    assert_eq!((answer.status, answer.counts()), (200, (9_996, 4, 0)));
    for (place, verdict) in answer.body["events"].as_array().expect("verdicts").iter().enumerate() {
        assert_eq!(
            (verdict["index"].as_u64(), verdict["id"].as_str()),
            (Some(place as u64), Some(format!("e{place}").as_str()))
        );
        let rejected = [0, 2_499, 2_500, 9_999].contains(&place);
        assert_eq!(verdict["status"] == "rejected", rejected, "{verdict}");
    }
    assert_eq!(scene.records().await.len(), 9_996);
}
