//! The whole import against a small double of the server that misbehaves as told.

use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MAPPING: &str = r#"
    event = { type = "llm.inference", source = "trace" }
    time = { column = "TIMESTAMP", format = "%Y-%m-%d %H:%M:%S%.f" }
    [[data]]
    column = "In"
    field = "tokens_in"
    kind = "number"
"#;

/// What the double does with a request.
#[derive(Clone, Copy)]
enum Act {
    Answer(u16),
    /// Takes every second event, the rest is to be sent again.
    TakeHalf,
    /// Takes all except those whose `tokens_in` is 13.
    Take,
    TooLargeAbove(usize),
}

#[derive(Default)]
struct Double {
    script: VecDeque<Act>,
    /// Accepted events by id: an identity counts once.
    taken: BTreeMap<String, Value>,
    requests: usize,
}

type Shared = Arc<Mutex<Double>>;

async fn events(State(double): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["authorization"], "Bearer secret");
    let mut text = String::new();
    GzDecoder::new(body.as_ref()).read_to_string(&mut text).expect("gzip");
    let events: Vec<Value> = serde_json::from_str(&text).expect("a batch");
    let mut double = double.lock().expect("no panic");
    double.requests += 1;
    let act = double.script.pop_front().unwrap_or(Act::Take);
    match act {
        Act::Answer(status) => {
            (StatusCode::from_u16(status).expect("a status"), [("retry-after", "0")], "not now").into_response()
        }
        Act::TooLargeAbove(limit) if events.len() > limit => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        act => verdicts(&mut double, events, act).into_response(),
    }
}

fn verdicts(double: &mut Double, events: Vec<Value>, act: Act) -> axum::Json<Value> {
    let verdicts = events.into_iter().enumerate().map(|(index, event)| {
        if matches!(act, Act::TakeHalf) && index % 2 == 1 {
            return json!({"index": index, "status": "retry", "reason": "the queue is full"});
        }
        if event["data"]["tokens_in"] == 13 {
            return json!({"index": index, "status": "rejected", "field": "/data", "reason": "is unlucky", "way_out": "use 14"});
        }
        double.taken.insert(event["id"].as_str().expect("an id").to_owned(), event);
        json!({"index": index, "status": "accepted"})
    });
    let verdicts: Vec<Value> = verdicts.collect();
    axum::Json(json!({"summary": {"accepted": 0, "rejected": 0, "retry": 0}, "events": verdicts}))
}

/// A folder with the files of one test, and the double. Both end with it.
struct Scene {
    folder: PathBuf,
    url: String,
    double: Shared,
    server: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn new(name: &str, script: &[Act]) -> Self {
        let folder = std::env::temp_dir().join(format!("talea-import-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("mapping.toml"), MAPPING).expect("writes");
        let double: Shared =
            Arc::new(Mutex::new(Double { script: script.iter().copied().collect(), ..Double::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let app = Router::new().route("/v1/events", post(events)).with_state(double.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { folder, url, double, server }
    }

    async fn import(&self, file: &str, text: &str) -> anyhow::Result<ImportReport> {
        std::fs::write(self.folder.join(file), text).expect("writes");
        run(Options {
            file: self.folder.join(file),
            mapping: self.folder.join("mapping.toml"),
            tenant: Some(TenantId::parse("acme").expect("a key")),
            backfill: false,
            url: self.url.clone(),
            key: Secret::new("secret"),
            rejects: self.folder.join(format!("{file}.rejects.csv")),
            show_progress: false,
            patience: Patience { first_pause: Duration::ZERO, longest_pause: Duration::ZERO, tries: 5 },
        })
        .await
    }

    fn taken(&self) -> usize {
        self.double.lock().expect("no panic").taken.len()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.server.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn rows(count: usize) -> String {
    let mut text = String::from("TIMESTAMP,In,Out\n");
    (0..count).for_each(|n| text.push_str(&format!("2023-11-16 18:17:03.9799600,{},1\n", 20 + n % 3)));
    text.trim_end().to_owned()
}

fn counts(report: &ImportReport) -> (u64, u64, u64, u64) {
    (report.rows, report.accepted, report.rejected, report.malformed)
}

#[tokio::test]
async fn a_second_import_changes_nothing_also_under_another_name() {
    let scene = Scene::new("twice", &[]).await;
    let text = rows(12_001);
    for name in ["a.csv", "a.csv", "b.csv"] {
        let report = scene.import(name, &text).await.expect("imports");
        assert_eq!(counts(&report), (12_001, 12_001, 0, 0));
        assert_eq!((report.rejects_file, scene.taken()), (None, 12_001));
    }
    let double = scene.double.lock().expect("no panic");
    assert!(
        double
            .taken
            .values()
            .all(|event| event["tenantid"] == "acme" && event["time"] == "2023-11-16T18:17:03.979960Z")
    );
}

#[tokio::test]
async fn what_is_not_acknowledged_is_sent_again() {
    let scene = Scene::new("again", &[Act::Answer(503), Act::Answer(429), Act::TakeHalf, Act::Answer(500)]).await;
    let report = scene.import("a.csv", &rows(100)).await.expect("imports");
    assert_eq!((counts(&report), scene.taken()), ((100, 100, 0, 0), 100));
    assert_eq!(report.sent_again, 100 + 100 + 50 + 50);
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved() {
    let scene = Scene::new("halved", &[Act::TooLargeAbove(60), Act::TooLargeAbove(60)]).await;
    let report = scene.import("a.csv", &rows(100)).await.expect("imports");
    assert_eq!((counts(&report), scene.taken()), ((100, 100, 0, 0), 100));
    assert_eq!(scene.double.lock().expect("no panic").requests, 3);
}

#[tokio::test]
async fn rows_that_are_no_events_and_events_that_are_refused_stand_in_the_rejects_file() {
    let scene = Scene::new("rejects", &[]).await;
    let text = "TIMESTAMP,In,Out\n2023-11-16 18:17:03,5,1\n2023-11-16 18:17:03,5\nsoon,5,1\n2023-11-16 18:17:03,1e999,1\n\
                2023-11-16 18:17:03,13,\"a, b\"\n2023-11-16 18:17:03,5,1";
    let report = scene.import("a.csv", text).await.expect("imports");
    assert_eq!((counts(&report), scene.taken()), ((6, 2, 1, 3), 2));
    let rejects = std::fs::read_to_string(report.rejects_file.expect("made")).expect("reads");
    let mut lines: Vec<&str> = rejects.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines[0].split(',').next(), Some("3"), "{rejects}");
    assert!(lines[0].ends_with("2023-11-16 18:17:03,5"), "{rejects}");
    assert!(lines[1].starts_with("4,") && lines[1].contains("soon"), "{rejects}");
    assert!(lines[2].starts_with("5,") && lines[2].contains("1e999"), "{rejects}");
    assert_eq!(lines[3], "6,/data is unlucky,2023-11-16 18:17:03,13,\"a, b\"");
    assert_eq!(report.reasons.values().sum::<u64>(), 4);
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_import_with_the_way_on() {
    let scene = Scene::new("away", &[Act::Answer(503); 100]).await;
    let error = format!("{:#}", scene.import("a.csv", &rows(3)).await.expect_err("gives up"));
    assert!(error.contains("503") && error.contains("run the same import again"), "{error}");
    let mut refused = Scene::new("refused", &[]).await;
    refused.url = "http://127.0.0.1:1".to_owned();
    let error = format!("{:#}", refused.import("a.csv", &rows(3)).await.expect_err("gives up"));
    assert!(error.contains("gave up after 5 tries"), "{error}");
}

#[tokio::test]
async fn the_file_itself_is_never_taken_for_its_rejects() {
    let scene = Scene::new("itself", &[]).await;
    let text = "TIMESTAMP,In,Out\nsoon,5,1";
    std::fs::write(scene.folder.join("a.csv"), text).expect("writes");
    std::os::unix::fs::symlink(scene.folder.join("a.csv"), scene.folder.join("a.csv.rejects.csv")).expect("links");
    let error = format!("{:#}", scene.import("a.csv", text).await.expect_err("refused"));
    assert!(error.contains("--rejects"), "{error}");
    assert_eq!(std::fs::read_to_string(scene.folder.join("a.csv")).expect("reads"), text);
}

#[tokio::test]
async fn a_wrong_key_ends_the_import_at_once() {
    let scene = Scene::new("key", &[Act::Answer(401)]).await;
    let error = format!("{:#}", scene.import("a.csv", &rows(3)).await.expect_err("stops"));
    assert!(error.contains("401"), "{error}");
    assert_eq!(scene.double.lock().expect("no panic").requests, 1);
}

#[tokio::test]
async fn the_example_mapping_reads_the_trace() {
    let scene = Scene::new("example", &[]).await;
    let example = include_str!("../../../../schemas/examples/import/azure-llm.toml");
    std::fs::write(scene.folder.join("mapping.toml"), example).expect("writes");
    let text = "\u{feff}TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,110,27";
    let report = scene.import("trace.csv", text).await.expect("imports");
    assert_eq!(counts(&report), (2, 2, 0, 0));
    let double = scene.double.lock().expect("no panic");
    let mut data: Vec<String> = double.taken.values().map(|event| event["data"].to_string()).collect();
    data.sort_unstable();
    assert_eq!(data, [r#"{"tokens_in":110,"tokens_out":27}"#, r#"{"tokens_in":4808,"tokens_out":10}"#]);
}
