//! Too much, too fast, or a log that does not answer: nothing is lost, nobody else is refused, every place comes back.

use super::scene::{BATCH, DEADLINE, Scene, event, events};
use serde_json::Value;
use sqlx::Connection;
use talea_platform::postgres::Target;

/// A bucket of 10 events that fills by one a second.
const SMALL: &[(&str, &str)] =
    &[("ingest.max_events", "10"), ("ingest.tenant_burst", "10"), ("ingest.tenant_events_per_second", "1")];

pub async fn one_tenants_flood_refuses_nobody_else(target: &Target) {
    let scene = Scene::start(target, SMALL).await;
    assert_eq!(scene.post(&scene.keys.ingest, &events("flood", 10)).await.counts(), (10, 0, 0));
    let mut mixed = events("flood", 9);
    mixed.insert(4, event("quiet", "1"));
    let answer = scene.post(&scene.keys.ingest, &mixed).await;
    assert_eq!(answer.status, 200);
    let (accepted, rejected, retry) = answer.counts();
    // The flood's bucket may have got a token or two since.
    assert!(accepted >= 1 && rejected == 0 && accepted + retry == 10, "{}", answer.body);
    assert_eq!(answer.verdicts()[4], ("accepted", ""));
    assert_eq!(answer.verdicts()[9], ("retry", ""));
    assert!(answer.body["events"][9]["reason"].as_str().is_some_and(|reason| reason.contains("tenant")));
}

pub async fn a_request_of_which_nothing_may_go_now_is_429(target: &Target) {
    let scene = Scene::start(target, SMALL).await;
    scene.post(&scene.keys.acme, &events("acme", 10)).await;
    let batch = events("acme", 10);
    let refused = async {
        loop {
            let answer = scene.post(&scene.keys.acme, &batch).await;
            if answer.counts().0 == 0 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(DEADLINE, refused).await.expect("the bucket is soon empty");
    assert_eq!((answer.status, answer.counts()), (429, (0, 0, 10)));
    assert!(answer.retry_after().is_some_and(|seconds| (1..=10).contains(&seconds)));
}

pub async fn a_log_that_does_not_acknowledge_is_503_and_the_same_events_go_later(target: &Target) {
    let scene = Scene::start_without_topic(target, &[]).await;
    let mut batch = events("acme", 3);
    batch.push(Value::from(7));
    let answer = scene.post(&scene.keys.ingest, &batch).await;
    assert_eq!((answer.status, answer.counts()), (503, (0, 1, 3)), "{}", answer.body);
    assert!(answer.retry_after().is_some());
    scene.settle().await;
    scene.make_topic().await;
    batch.pop();
    assert_eq!(scene.post(&scene.keys.ingest, &batch).await.counts(), (3, 0, 0));
    assert_eq!(scene.records().await.len(), 3);
}

/// A client that hangs up while the log works: its events are written once or not at all, never in part unaccounted.
pub async fn a_client_that_hangs_up_leaves_nothing_behind(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    let mut owner = scene.owner().await;
    let mut lock = owner.begin().await.expect("begins");
    sqlx::query("SELECT FROM log.partitions FOR UPDATE").execute(&mut *lock).await.expect("locks");
    let request = scene.request(&scene.keys.ingest, BATCH, Value::from(events("acme", 20)).to_string());
    let sending = tokio::spawn(request.send());
    let under_way = async {
        while scene.ingest.events_in_flight() < 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, under_way).await.expect("the events are under way");
    sending.abort();
    assert!(sending.await.expect_err("hung up").is_cancelled());
    assert_eq!(scene.ingest.events_in_flight(), 20, "their places are held while the log works");
    lock.rollback().await.expect("unlocks");
    scene.settle().await;
    assert_eq!(scene.records().await.len(), 20);
}

pub async fn the_queue_to_the_log_is_bounded(target: &Target) {
    let settings = [("ingest.max_events_in_flight", "30"), ("ingest.max_events", "100")];
    let scene = Scene::start(target, &settings).await;
    let mut owner = scene.owner().await;
    let mut lock = owner.begin().await.expect("begins");
    sqlx::query("SELECT FROM log.partitions FOR UPDATE").execute(&mut *lock).await.expect("locks");
    let send = |tenant: &str| {
        let body = Value::from(events(tenant, 100)).to_string();
        tokio::spawn(scene.request(&scene.keys.ingest, BATCH, body).send())
    };
    let full = async {
        while scene.ingest.events_in_flight() < 30 {
            tokio::task::yield_now().await;
        }
    };
    let waiting = [send("one"), send("two")];
    tokio::time::timeout(DEADLINE, full).await.expect("two tenants fill the queue, half each");
    let answer = scene.post(&scene.keys.ingest, &events("three", 5)).await;
    assert_eq!((answer.status, answer.counts(), answer.retry_after()), (429, (0, 0, 5), Some(1)));
    lock.rollback().await.expect("unlocks");
    for answer in waiting {
        assert_eq!(answer.await.expect("not cancelled").expect("answers").status().as_u16(), 200);
    }
    scene.settle().await;
    assert_eq!(scene.records().await.len(), 30);
    assert_eq!(scene.post(&scene.keys.ingest, &events("three", 5)).await.counts(), (5, 0, 0));
}
