//! `schemas/openapi.json` is what the server serves: written by the code, checked for drift, rewritten on request.

use crate::harness::{LogChoice, Stage};
use serde_json::Value;
use std::path::Path;

/// Sorted by name, so that a change of order in the code changes nothing.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            names.into_iter().map(|name| (name.clone(), sorted(&members[name]))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_document_is_what_the_server_serves() {
    let stage = Stage::new(LogChoice::Postgres).await;
    let server = stage.serve().await;
    let answer = server.get_as("", "/openapi.json", &[]).await;
    let served = sorted(&answer.ok());
    assert_eq!(served["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    let served = format!("{}\n", serde_json::to_string_pretty(&served).expect("JSON"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/openapi.json");
    if std::env::var_os("TALEA_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &served).expect("the file is written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = stored.lines().zip(served.lines()).position(|(stored, served)| stored != served);
    assert!(
        stored == served,
        "schemas/openapi.json differs from line {:?}: run with TALEA_UPDATE_GOLDEN=1 and look at the difference",
        differs.map(|line| line + 1)
    );
}
