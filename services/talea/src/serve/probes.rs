//! `/healthz` (alive), `/readyz` (each role's real state), `/metrics` (Prometheus).

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value};
use talea_platform::health::Health;
use talea_platform::runtime::Platform;

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
    let shown: Map<String, Value> =
        answers.into_iter().map(|(name, answer)| (name, answer.err().unwrap_or_else(|| "ok".to_owned()).into())).collect();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(shown)).into_response()
}
