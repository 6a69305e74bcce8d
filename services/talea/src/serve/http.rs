//! The HTTP server around the roles' routes: authentication, limits, measures, probes.

use super::{probes, test_clock};
use crate::openapi;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;
use talea_platform::http::{Problem, authenticate, measure};
use talea_platform::runtime::Platform;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;

pub(super) fn app(platform: &Platform, roles: OpenApiRouter, metrics: PrometheusHandle) -> Router {
    let timeout = Duration::from_secs(platform.config.server.request_timeout_seconds);
    let (routes, document) =
        OpenApiRouter::with_openapi(openapi::head()).merge(roles).merge(test_clock::routes(platform)).split_for_parts();
    routes
        .route("/openapi.json", axum::routing::get(move || std::future::ready(axum::Json(document.clone()))))
        .layer(from_fn_with_state(platform.authenticator.clone(), authenticate))
        .merge(probes::routes(platform, metrics))
        .fallback(|| std::future::ready(Problem::not_found()))
        .method_not_allowed_fallback(|| {
            std::future::ready(Problem::not_found().with_detail("this path exists, but not with this method"))
        })
        .layer(from_fn(measure))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, timeout))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| -> Response {
            Problem::internal("a handler panicked").into_response()
        }))
}
