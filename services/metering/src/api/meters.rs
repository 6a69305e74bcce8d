//! Meters: what is counted. A definition is versioned; a new one is computed over past events too.

use crate::context::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::sync::Arc;
use talea_domain::id::MeterKey;
use talea_domain::journal::JournalEvent;
use talea_domain::meter::{MeterDefinition, NewMeter};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::catalogue;
use talea_platform::http::{self, Caller, IdempotentRequest, Json, Page, Path, Problem, idempotent};
use talea_platform::journal::Decision;
use talea_platform::usage::buckets;
use talea_platform::usage::dirty::DirtyBuckets;

/// Marks of one statement, far below what a Postgres message holds.
const MARKS_PER_STATEMENT: usize = 10_000;

/// Defines a meter, or a new version of it. The same definition again changes nothing.
#[utoipa::path(post, path = "/v1/meters", tag = "meters", request_body = NewMeter,
    responses((status = 201, body = MeterDefinition), (status = 200, body = MeterDefinition, description = "It was so already"),
        (status = 400, body = Problem), (status = 403, body = Problem)))]
pub async fn define(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Json(meter): Json<NewMeter>,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    caller.require_unbound()?;
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/meters",
        body: &meter,
        now: context.clock().now(),
    };
    idempotent(request, record(&context, &caller, &meter)).await
}

async fn record(
    context: &Context,
    caller: &Caller,
    meter: &NewMeter,
) -> Result<(StatusCode, MeterDefinition), Problem> {
    let now = context.clock().now();
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let current = catalogue::meter(&mut tx, &meter.key, None).await.map_err(Problem::internal)?;
    let version = current.as_ref().map_or(1, |current| current.version + 1);
    let definition = meter.clone().defined(version, now);
    definition.validate().map_err(Problem::invalid)?;
    if let Some(current) = current {
        let same = MeterDefinition { version: current.version, created_at: current.created_at, ..definition.clone() };
        if same == current {
            return Ok((StatusCode::OK, current));
        }
    }
    // Marked before the definition is there, so that nobody takes a bucket that was never computed for an empty one, and so that
    // the marks stand wherever this ends: none is taken away before it has been quiet for a while.
    mark_past(context, &definition).await?;
    let decision = Decision {
        tenant: TenantScope::Global,
        expected_version: Some(i64::from(definition.version) - 1),
        event: JournalEvent::MeterDefined(definition.clone()),
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    http::record(&mut tx, decision).await?;
    tx.commit().await.map_err(Problem::internal)?;
    // And again behind it, for what was stored in between.
    mark_past(context, &definition).await?;
    Ok((StatusCode::CREATED, definition))
}

/// Marks every bucket that holds events of the type: the new definition is computed over them.
async fn mark_past(context: &Context, definition: &MeterDefinition) -> Result<(), Problem> {
    let buckets = buckets::buckets_with_events(&context.platform.clickhouse, &definition.event_type)
        .await
        .map_err(Problem::internal)?;
    let mut tx = context.platform.databases.worker.begin().await.map_err(Problem::internal)?;
    for chunk in buckets.chunks(MARKS_PER_STATEMENT) {
        DirtyBuckets::mark(&mut tx, chunk, context.clock().now()).await.map_err(Problem::internal)?;
    }
    tx.commit().await.map_err(Problem::internal)?;
    context.buckets_changed.notify_one();
    Ok(())
}

/// All meters, each in its newest version.
#[utoipa::path(get, path = "/v1/meters", tag = "meters", responses((status = 200, body = Page<MeterDefinition>)))]
pub async fn list(State(context): State<Arc<Context>>, caller: Caller) -> Result<Json<Page<MeterDefinition>>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let data = catalogue::newest_meters(&mut tx).await.map_err(Problem::internal)?;
    Ok(Json(Page { data, next_cursor: None }))
}

/// One meter in its newest version.
#[utoipa::path(get, path = "/v1/meters/{meter}", tag = "meters", params(("meter" = String, Path)),
    responses((status = 200, body = MeterDefinition), (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(meter): Path<MeterKey>,
) -> Result<Json<MeterDefinition>, Problem> {
    caller.require(Scope::Read)?;
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    catalogue::meter(&mut tx, &meter, None).await.map_err(Problem::internal)?.map(Json).ok_or_else(Problem::not_found)
}
