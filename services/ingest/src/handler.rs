//! `POST /v1/events`.

use crate::accept::Outcome;
use crate::body::{self, Encoding, Shape};
use crate::judge::{Faulty, Ready, Rules, judge};
use crate::verdict::{Answer, IngestResponse, whole_seconds};
use crate::{Ingest, split};
use axum::body::Body;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Problem, Query};

/// Bodies up to this size are read where they arrive; reading takes some 100 microseconds. Larger and compressed ones go to
/// the blocking threads, so that they delay no other request.
const INLINE_BODY_BYTES: usize = 32 * 1024;
/// Events that one blocking thread judges at a time; a large batch is spread over several.
const CHUNK_EVENTS: usize = 2_500;

#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// `true` admits events that are older than the window. Needs the scope `admin`.
    #[serde(default)]
    backfill: bool,
}

/// A CloudEvent 1.0 in structured JSON. Other attributes may be there and are kept.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the wire form; events are read by the domain, never through this")]
pub struct CloudEvent {
    /// `1.0`
    specversion: String,
    /// With `source` and the tenant it makes the event's identity: the same identity counts once.
    id: String,
    /// Which service saw it.
    source: String,
    /// What happened; meters select by it.
    #[schema(rename = "type")]
    event_type: String,
    /// When it happened (RFC 3339).
    time: chrono::DateTime<chrono::Utc>,
    /// Whose usage it is; may be left out with an API key that is bound to a tenant.
    tenantid: Option<String>,
    /// Who or what inside the tenant.
    subject: Option<String>,
    /// The payload: an object whose leaves meters read.
    #[schema(value_type = Option<Object>)]
    data: Option<()>,
}

/// A problem (RFC 9457) that also carries every event's verdict.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RefusedRequest {
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    response: IngestResponse,
}

/// Send usage events.
///
/// One CloudEvent or an array of them, up to the settings `ingest.max_events` and `ingest.max_body_bytes`, as they are or
/// gzipped. Each event gets its own verdict, in order, after the log has acknowledged: `accepted` is durable, `rejected` will
/// never be taken as it is, `retry` was not acknowledged and is safe to send again. Sending an event again with the same
/// source and id never counts it twice.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "events",
    params(EventsQuery),
    request_body(
        description = "One event, or an array of events",
        content(
            (CloudEvent = "application/cloudevents+json"),
            (Vec<CloudEvent> = "application/cloudevents-batch+json"),
            (Vec<CloudEvent> = "application/json")
        )
    ),
    responses(
        (status = 200, description = "At least one event was accepted; the verdicts say which", body = IngestResponse),
        (status = 400, description = "The body cannot be read, or every event was rejected (then with `summary` and `events`)",
            body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `ingest` (for a backfill `admin`)", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "Too many events or bytes", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Another content type or encoding", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Nothing was accepted: a tenant's rate or the queue is used up; see Retry-After",
            body = RefusedRequest, content_type = "application/problem+json"),
        (status = 503, description = "Nothing was accepted: the log did not acknowledge; see Retry-After",
            body = RefusedRequest, content_type = "application/problem+json"),
    )
)]
pub async fn post_events(
    State(ingest): State<Arc<Ingest>>,
    caller: Caller,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    caller.require(Scope::Ingest)?;
    if query.backfill {
        caller.require(Scope::Admin)?;
    }
    let (shape, encoding) = (body::shape(&headers)?, body::encoding(&headers)?);
    let body = body.map_err(|rejection| body::unread(&rejection, ingest.max_body_bytes))?;
    let key_tenant = caller.bound_tenant().cloned();
    let rules = Rules { key_tenant, limits: ingest.event_limits.clone(), backfill: query.backfill };
    let judged = ingest.read(body, shape, encoding, rules).await?;
    let outcome = ingest.accept(judged).await;
    count(&outcome);
    respond(outcome)
}

impl Ingest {
    async fn read(
        self: &Arc<Self>,
        body: Bytes,
        shape: Shape,
        encoding: Encoding,
        rules: Rules,
    ) -> Result<Vec<Result<Ready, Faulty>>, Problem> {
        if encoding == Encoding::Identity && body.len() <= INLINE_BODY_BYTES {
            let events = split::split(&body, shape, self.max_events)?;
            return Ok(events.iter().map(|event| judge(event, &rules)).collect());
        }
        let (max_bytes, max_events) = (self.max_body_bytes, self.max_events);
        let events = blocking(move || {
            let plain = body::plain(body, encoding, max_bytes)?;
            split::split(&plain, shape, max_events)
        });
        let (events, rules) = (events.await??, Arc::new(rules));
        let chunks = events.chunks(CHUNK_EVENTS).map(|chunk| {
            let (chunk, rules) = (chunk.to_vec(), rules.clone());
            blocking(move || chunk.iter().map(|event| judge(event, &rules)).collect::<Vec<_>>())
        });
        Ok(try_join_all(chunks).await?.into_iter().flatten().collect())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)
}

pub(crate) fn count(outcome: &Outcome) {
    let summary = outcome.response.summary;
    for (verdict, events) in [("accepted", summary.accepted), ("rejected", summary.rejected), ("retry", summary.retry)]
    {
        metrics::counter!("talea_ingest_events_total", "verdict" => verdict).increment(events);
    }
}

pub(crate) fn respond(Outcome { response, causes }: Outcome) -> Result<Response, Problem> {
    let answer = response.summary.answer(causes.into_iter());
    metrics::counter!("talea_ingest_requests_total", "answer" => answer.label()).increment(1);
    let problem = match answer {
        Answer::Ok => return Ok(Json(response).into_response()),
        Answer::Rejected => Problem::invalid(Vec::new()).with_detail("every event was rejected; `events` says why"),
        Answer::TooMany { retry_after } => {
            let seconds = whole_seconds(retry_after);
            let detail = format!("nothing was accepted; send the events of status `retry` again after {seconds} s");
            Problem::too_many(detail, std::time::Duration::from_secs(seconds))
        }
        Answer::Unavailable => Problem::unavailable(
            "the log did not acknowledge; send the events of status `retry` again: they will count once",
        ),
    };
    // The problem makes status and headers; its document is replaced by the one that has the verdicts too.
    let mut answer = problem.clone().into_response();
    *answer.body_mut() =
        Body::from(serde_json::to_vec(&RefusedRequest { problem, response }).map_err(Problem::internal)?);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{EventVerdict, Fate, Unacknowledged, VerdictCounts};
    use axum::http::{StatusCode, header};
    use std::time::Duration;

    #[tokio::test]
    async fn a_refused_request_is_a_problem_that_carries_the_verdicts() {
        let cause = Unacknowledged::OverRate { retry_after: Duration::from_millis(2500) };
        let mut summary = VerdictCounts::default();
        summary.count(&Fate::Retry(cause));
        let verdict = EventVerdict::new(0, Some("evt-0".into()), Some("/api".into()), Fate::Retry(cause));
        let outcome = Outcome { response: IngestResponse { summary, events: vec![verdict] }, causes: vec![cause] };
        let answer = respond(outcome).expect("answers");
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "3");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(answer.into_body(), 100_000).await.expect("reads");
        let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let golden = include_str!("../../../schemas/golden/ingest-response/refused.v1.json");
        assert_eq!(document, serde_json::from_str::<serde_json::Value>(golden).expect("JSON"));
    }
}
