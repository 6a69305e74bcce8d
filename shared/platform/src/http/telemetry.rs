//! Request latencies by route template (never by path: ids would make labels without bound).

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use std::time::Instant;

/// Middleware for [`axum::middleware::from_fn`].
pub async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("(none)".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().as_str().to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("talea_http_request_duration_seconds", "route" => route, "method" => method, "status" => status)
        .record(started.elapsed());
    response
}
