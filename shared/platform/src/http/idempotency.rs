//! `Idempotency-Key` for the POSTs that create: the first answer is kept and given again, so that a client which lost it
//! can ask twice.
//!
//! What is created is unique by itself (a natural id or a journal key), so two requests at once still create one thing.
//! Answers that hold a secret are never kept: such routes do not come here.

use super::{Caller, Problem};
use crate::postgres::{AppPool, DatabaseError, Tx, WorkerPool};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::Row;
use talea_domain::error::FieldError;
use talea_domain::tenant::TenantScope;

/// The longest key taken, in bytes. A UUID has 36.
const MAX_KEY_BYTES: usize = 128;

/// How long an answer is kept: far longer than any client goes on asking.
const KEPT_DAYS: i64 = 7;

/// Takes expired answers away; a pass of a worker.
///
/// # Errors
/// From the database.
pub async fn expire(worker: &WorkerPool, now: DateTime<Utc>) -> Result<u64, DatabaseError> {
    let before = now - Duration::days(KEPT_DAYS);
    let done =
        sqlx::query("DELETE FROM idempotency_keys WHERE created_at < $1").bind(before).execute(worker.pool()).await?;
    Ok(done.rows_affected())
}

/// Who asks for what: the scope of the key's uniqueness.
pub struct Request<'r, B> {
    pub app: &'r AppPool,
    pub caller: &'r Caller,
    pub headers: &'r HeaderMap,
    pub route: &'static str,
    pub body: &'r B,
    pub now: DateTime<Utc>,
}

/// Runs `create` once for the request's `Idempotency-Key`, or every time when there is none.
///
/// # Errors
/// 422 when the key was used with another request; the problems of `create` are not kept.
pub async fn idempotent<B, A, F>(request: Request<'_, B>, create: F) -> Result<Response, Problem>
where
    B: Serialize,
    A: Serialize,
    F: Future<Output = Result<(StatusCode, A), Problem>>,
{
    let Some(key) = key(&request)? else {
        let (status, answer) = create.await?;
        return Ok((status, axum::Json(answer)).into_response());
    };
    let body = serde_json::to_vec(request.body).map_err(Problem::internal)?;
    let fingerprint =
        Sha256::new().chain_update(request.route).chain_update([0]).chain_update(&body).finalize().to_vec();
    let scope = request.caller.bound_tenant().map_or(TenantScope::Global, TenantScope::from);
    if let Some(kept) = kept(&request, &scope, &key, &fingerprint).await? {
        return Ok(kept);
    }
    let (status, answer) = create.await?;
    let text = serde_json::to_string(&answer).map_err(Problem::internal)?;
    let mut tx = begin(request.app, &scope).await?;
    sqlx::query(
        "INSERT INTO idempotency_keys (tenant_id, key, route, request_sha256, status, body, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(scope.as_str())
    .bind(&key)
    .bind(request.route)
    .bind(&fingerprint)
    .bind(i32::from(status.as_u16()))
    .bind(&text)
    .bind(request.now)
    .execute(&mut *tx)
    .await
    .map_err(Problem::internal)?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok(answer_of(status, text))
}

fn key<B>(request: &Request<'_, B>) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.len() <= MAX_KEY_BYTES => {
            Ok(Some(format!("{}/{text}", request.caller.actor())))
        }
        _ => Err(FieldError::new(
            "Idempotency-Key",
            "is no key",
            format!("send 1 to {MAX_KEY_BYTES} visible ASCII characters"),
        )
        .into()),
    }
}

async fn begin(app: &AppPool, scope: &TenantScope) -> Result<Tx, Problem> {
    match scope {
        TenantScope::Tenant(tenant) => app.tenant(tenant).await,
        TenantScope::Global => app.global().await,
    }
    .map_err(Problem::internal)
}

async fn kept<B>(
    request: &Request<'_, B>,
    scope: &TenantScope,
    key: &str,
    fingerprint: &[u8],
) -> Result<Option<Response>, Problem> {
    let mut tx = begin(request.app, scope).await?;
    let row =
        sqlx::query("SELECT request_sha256, status, body FROM idempotency_keys WHERE tenant_id = $1 AND key = $2")
            .bind(scope.as_str())
            .bind(key)
            .fetch_optional(&mut *tx)
            .await
            .map_err(Problem::internal)?;
    let Some(row) = row else { return Ok(None) };
    if row.get::<Vec<u8>, _>("request_sha256") != fingerprint {
        return Err(Problem::unprocessable("this Idempotency-Key was used with another request; use a new one"));
    }
    let status = u16::try_from(row.get::<i32, _>("status")).ok().and_then(|status| StatusCode::from_u16(status).ok());
    Ok(Some(answer_of(status.unwrap_or(StatusCode::OK), row.get("body"))))
}

fn answer_of(status: StatusCode, json: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}
