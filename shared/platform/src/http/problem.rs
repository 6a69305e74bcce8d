//! Problem details for HTTP APIs (RFC 9457), and extractors that answer with them.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::Duration;
use talea_domain::error::FieldError;
use talea_domain::objects::from_text;

/// An error as the caller sees it: `application/problem+json`.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A URI reference that names the kind of problem; stable.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What went wrong this time and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// One entry a faulty field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &str) -> Self {
        Self {
            kind: format!("urn:talea:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: None,
            errors: Vec::new(),
            retry_after: None,
        }
    }

    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "invalid", "The request is not valid") }
    }
    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "An API key is needed").with_detail(
            "send `Authorization: Bearer KEY` with a key that is not revoked; `talea keys create` makes one",
        )
    }
    pub fn forbidden(scope: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This key may not do that")
            .with_detail(format!("use a key that has the scope `{scope}`"))
    }
    /// For a key that is bound to a tenant, where that is too little.
    pub fn bound() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This key may not do that")
            .with_detail("this concerns more than one tenant: use a key that is bound to none")
    }
    /// Also for what belongs to another tenant: the answer is the same to the byte.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing here")
    }
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "The state does not allow this").with_detail(detail)
    }
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The request cannot be carried out")
            .with_detail(detail)
    }
    /// For a document that is read, and refused with every fault that was found.
    pub fn refused(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", "The document is refused") }
    }
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large").with_detail(detail)
    }
    pub fn unsupported_media(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The content type is not understood")
            .with_detail(detail)
    }
    pub fn too_many(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "Too much at once").with_detail(detail);
        Self { retry_after: Some(retry_after), ..problem }
    }
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now").with_detail(detail);
        Self { retry_after: Some(Duration::from_secs(1)), ..problem }
    }
    /// Logs the cause once, here, and tells the caller nothing of it.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "http.failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something failed inside")
            .with_detail("the cause is in the server's log; the request may be sent again")
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self::invalid(vec![error])
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(format!("{error:#}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}

/// `axum::Json` whose refusal is a [`Problem`], and in which no array is an object.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(text) = axum::Json::<Box<RawValue>>::from_request(request, state).await?;
        Ok(Self(read_json(text.get())?))
    }
}

/// Reads a JSON object; a fault is told by its JSON pointer.
pub fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, FieldError> {
    let way_out = "send the JSON document that the OpenAPI page describes";
    if !text.trim_start().starts_with('{') {
        return Err(FieldError::new("", "is not a JSON object", way_out));
    }
    from_text(text).map_err(|fault| match fault.reason.split_once("; ") {
        Some((reason, way_out)) if fault.is_json => FieldError::new(fault.place, reason, way_out),
        _ => FieldError::new(fault.place, fault.reason, way_out),
    })
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// `axum::extract::Path` whose refusal is a [`Problem`]: a path that is no id is simply not found.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// `axum::extract::Query` whose refusal is a [`Problem`].
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::unsupported_media("send `Content-Type: application/json`"),
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(rejection.body_text()),
            _ => FieldError::new("", rejection.body_text(), "send the JSON document that the OpenAPI page describes")
                .into(),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Problem::not_found()
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        FieldError::new("query", rejection.body_text(), "see the parameters on the OpenAPI page").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Order {
        #[serde(default)]
        lines: Vec<Line>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Line {
        #[serde(default)]
        amount: u32,
    }

    fn check(text: &str, field: &str, reason: &str) {
        let error = read_json::<Order>(text).expect_err(text);
        assert_eq!(error.field, field, "{error}");
        assert!(error.reason.contains(reason), "{error}");
    }

    #[test]
    fn a_fault_of_a_body_is_told_by_its_place() {
        assert_eq!(read_json::<Order>("{\"lines\": [{\"amount\": 3}]}").expect("sound").lines[0].amount, 3);
        check("[]", "", "not a JSON object");
        check("[[]]", "", "not a JSON object");
        check("{\"lines\": [[]]}", "/lines/0", "invalid type: sequence");
        check("{\"lines\": [{}, [3]]}", "/lines/1", "invalid type: sequence");
        check("{\"lines\": [{\"amount\": \"3\"}]}", "/lines/0/amount", "invalid type: string");
    }
}
