//! What a sender hears: a verdict an event, in order, and a status for the request.

use super::ALWAYS;
use crate::harness::server::{BATCH, ONE};
use crate::harness::{LogChoice, Stage, event};
use flate2::{Compression, write::GzEncoder};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;
use talea_domain::tenant::Scope;

/// Structured, batched and gzipped; half of a batch bad; a body that cannot be read.
pub async fn each_request_gets_its_answer(log: LogChoice) {
    let stage = Stage::with(log, &[("ingest.max_events", "20"), ("ingest.max_body_bytes", "20000")]).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("calls", "count", "").await;
    let post = async |content_type: &str, encoding: &str, body: Vec<u8>| {
        let request = server.request(Method::POST, "/v1/events", &server.admin).header("content-type", content_type);
        let request = if encoding.is_empty() { request } else { request.header("content-encoding", encoding) };
        server.send(request.body(body)).await
    };
    assert_eq!(post(ONE, "", event("acme", "1").bytes()).await.ok()["summary"]["accepted"], 1);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&event("acme", "2").bytes()).expect("memory");
    assert_eq!(post(ONE, "gzip", gzip.finish().expect("memory")).await.ok()["summary"]["accepted"], 1);

    let batch =
        json!([event("acme", "3").json(), 7, event("acme", "4").without("type").json(), event("acme", "5").json()]);
    let answer = post(BATCH, "", batch.to_string().into_bytes()).await.ok();
    let statuses: Vec<&Value> = answer["events"].as_array().expect("a list").iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, ["accepted", "rejected", "rejected", "accepted"]);
    assert_eq!((&answer["events"][2]["id"], &answer["events"][2]["field"]), (&"4".into(), &"/type".into()));

    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 10_000_000]).expect("memory");
    let many = Value::from(vec![event("acme", "6").json().clone(); 21]).to_string().into_bytes();
    for (content_type, encoding, body, status) in [
        (BATCH, "", vec![b' '; 20_001], 413),
        (BATCH, "gzip", bomb.finish().expect("memory"), 413),
        (BATCH, "", many, 413),
        (BATCH, "", b"[{}".to_vec(), 400),
        (BATCH, "gzip", b"no gzip".to_vec(), 400),
        (ONE, "zstd", event("acme", "6").bytes(), 415),
        ("text/plain", "", event("acme", "6").bytes(), 415),
        (ONE, "", event("acme", "6").without("source").bytes(), 400),
    ] {
        let answer = post(content_type, encoding, body).await;
        assert_eq!(answer.status, status, "{content_type} {encoding}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.json()["status"], status);
    }
    server.drained().await;
    assert_eq!(server.total("acme", "calls", ALWAYS).await.1, 4, "exactly the accepted ones");
}

/// Without a key, with a wrong one, without the scope, for another tenant.
pub async fn a_sender_needs_a_key_for_what_it_sends(log: LogChoice) {
    let stage = Stage::new(log).await;
    for tenant in ["acme", "other"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    let bound = stage.key(&[Scope::Ingest], Some("acme")).await;
    let reader = stage.key(&[Scope::Read], None).await;
    let send = async |key: &str, query: &str, event: Value| {
        let request = server.request(Method::POST, &format!("/v1/events{query}"), key).header("content-type", ONE);
        server.send(request.body(event.to_string())).await
    };
    let mine = event("acme", "1").without("tenantid").json().clone();
    assert_eq!(send("", "", mine.clone()).await.status, 401);
    assert_eq!(send("talea_key_nonsense", "", mine.clone()).await.status, 401);
    assert_eq!(send(&reader, "", mine.clone()).await.status, 403);
    assert_eq!(send(&bound, "", mine.clone()).await.status, 200);
    assert_eq!(send(&bound, "?backfill=true", mine).await.status, 403);
    let others = send(&bound, "", event("other", "1").json().clone()).await;
    assert_eq!(others.status, 400, "{}", others.text);
    server.drained().await;
    assert_eq!(server.fate("acme", "/api", "1").await["event"]["source"], "/api");
    assert_eq!(server.fate("other", "/api", "1").await["status"], "unknown");
}

/// One tenant's flood is 429 for that tenant, with what to send again; nobody else waits.
pub async fn a_flood_is_refused_to_its_tenant_alone(log: LogChoice) {
    let small = [("ingest.max_events", "10"), ("ingest.tenant_burst", "10"), ("ingest.tenant_events_per_second", "1")];
    let stage = Stage::with(log, &small).await;
    for tenant in ["loud", "quiet"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    let loud: Vec<_> = (0..10).map(|n| event("loud", &n.to_string())).collect();
    let mut refused = server.ingest(&loud).await;
    assert_eq!(refused.ok()["summary"]["accepted"], 10);
    // The bucket fills by one event a second: at the latest the second of these finds it empty.
    for _ in 0..5 {
        refused = server.ingest(&loud[..1]).await;
        if refused.status == 429 {
            break;
        }
    }
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(refused.json()["events"][0]["status"], "retry");
    assert_eq!(server.ingest(&[event("quiet", "1")]).await.ok()["summary"]["accepted"], 1);
}
