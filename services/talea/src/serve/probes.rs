//! `/healthz` (alive), `/readyz` (each role's real state), `/metrics` (Prometheus).

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value};
use std::time::Duration;
use talea_platform::health::Health;
use talea_platform::log::topic;
use talea_platform::runtime::Platform;
use talea_platform::worker::{Outcome, Worker};

/// How often the engines that every role needs are asked for a sign of life.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Workers that only look: without them a role that has none of its own, like ingest, would call itself ready while it can
/// serve nothing.
pub(super) fn workers(platform: &Platform) -> Vec<Worker> {
    let (databases, log) = (platform.databases.clone(), platform.log.clone());
    let postgres = Worker::new("postgres", LOOK_EVERY, move || {
        let databases = databases.clone();
        async move {
            databases.app.global().await?.rollback().await?;
            Ok(Outcome::Idle)
        }
    });
    let log = Worker::new("log", LOOK_EVERY, move || {
        let log = log.clone();
        async move {
            log.end_offsets(topic::USAGE).await?;
            Ok(Outcome::Idle)
        }
    });
    vec![postgres, log]
}

pub(super) fn routes(platform: &Platform, metrics: PrometheusHandle) -> Router {
    let health = platform.health.clone();
    Router::new()
        .route("/healthz", get(|| std::future::ready("alive\n")))
        .route("/readyz", get(move || std::future::ready(ready(&health))))
        .route("/metrics", get(move || std::future::ready(metrics.render())))
}

/// 200 when every check is well, else 503; either way what each says.
fn ready(health: &Health) -> Response {
    let answers = health.ask();
    let is_ready = answers.iter().all(|(_, answer)| answer.is_ok());
    let shown: Map<String, Value> = answers
        .into_iter()
        .map(|(name, answer)| (name, answer.err().unwrap_or_else(|| "ok".to_owned()).into()))
        .collect();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(shown)).into_response()
}
