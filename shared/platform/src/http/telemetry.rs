//! Request latencies by route template (never by path: ids would make labels without bound).

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use std::time::Instant;

/// Middleware for [`axum::middleware::from_fn`].
pub async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("(none)".to_owned(), |path| path.as_str().to_owned());
    let method = method_label(request.method());
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("talea_http_request_duration_seconds", "route" => route, "method" => method, "status" => status)
        .record(started.elapsed());
    response
}

/// HTTP lets a client make up methods, and whoever has no key can send them: all of those are one label.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "(other)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_methods_share_a_label() {
        let label = |text: &str| method_label(&Method::from_bytes(text.as_bytes()).expect("a method"));
        assert_eq!([label("GET"), label("DELETE")], ["GET", "DELETE"]);
        assert_eq!([label("AA"), label("get"), label("M-SEARCH")], ["(other)"; 3]);
    }
}
