//! What a request may look like, and what is said of one that may not.

use super::scene::{BATCH, ONE, Scene, event, events};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::io::Write;
use talea_platform::postgres::Target;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).expect("compresses");
    encoder.finish().expect("compresses")
}

fn batch(count: usize) -> String {
    Value::from(events("acme", count)).to_string()
}

pub async fn structured_batched_and_gzipped_events_are_taken(target: &Target) {
    let scene = Scene::start(target, &[]).await;
    let key = &scene.keys.ingest;
    let one = event("acme", "one").to_string();
    for (content_type, body) in
        [(ONE, one.clone()), ("application/json", one), ("application/json; charset=utf-8", batch(2))]
    {
        let answer = scene.send(scene.request(key, content_type, body)).await;
        assert_eq!(answer.status, 200, "{content_type}: {}", answer.body);
    }
    let zipped = scene.request(key, BATCH, gzip(batch(300).as_bytes())).header("content-encoding", "gzip");
    assert_eq!(scene.send(zipped).await.counts(), (300, 0, 0));
    assert_eq!(scene.send(scene.request(key, BATCH, "[]")).await.counts(), (0, 0, 0));
    assert_eq!(scene.records().await.len(), 1 + 1 + 2 + 300);
}

pub async fn a_request_that_cannot_be_read_is_a_problem(target: &Target) {
    let scene = Scene::start(target, &[("ingest.max_events", "10"), ("ingest.max_body_bytes", "20000")]).await;
    let check = async |content_type: &str, encoding: &str, body: Vec<u8>, status: u16| {
        let request = scene.request(&scene.keys.ingest, content_type, body).header("content-encoding", encoding);
        let answer = scene.send(request).await;
        assert_eq!(answer.status, status, "{content_type} {encoding}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.body["status"], status);
        assert!(answer.body["events"].is_null());
    };
    check(BATCH, "identity", b"[{]".to_vec(), 400).await;
    check(BATCH, "identity", b"".to_vec(), 400).await;
    check(BATCH, "identity", b"[\"\xff\"]".to_vec(), 400).await;
    check(BATCH, "identity", event("acme", "1").to_string().into_bytes(), 400).await;
    check(ONE, "identity", batch(1).into_bytes(), 400).await;
    check("text/plain", "identity", batch(1).into_bytes(), 415).await;
    check(BATCH, "br", batch(1).into_bytes(), 415).await;
    check(BATCH, "gzip", batch(1).into_bytes(), 400).await;
    check(BATCH, "identity", batch(11).into_bytes(), 413).await;
    check(BATCH, "identity", vec![b' '; 20_001], 413).await;
    let bomb = gzip(&vec![b' '; 10_000_000]);
    assert!(bomb.len() < 20_000 * 3);
    check(BATCH, "gzip", gzip(&vec![b' '; 20_001]), 413).await;
    check(BATCH, "gzip", bomb, 413).await;
    assert!(scene.records().await.is_empty());
    assert_eq!(scene.ingest.events_in_flight(), 0);
}
