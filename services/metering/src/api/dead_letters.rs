//! Dead letters: what could not be counted, for the people who can mend it, and the way to send it again.

use crate::context::Context;
use axum::extract::State;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::event::DeadLetterReason;
use talea_domain::id::TenantId;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Page, PageQuery, Path, Problem, Query, TenantContext};
use talea_platform::log::{NewRecord, topic};
use talea_platform::usage::dead_letters::{self, DeadLetterFilter, DeadLetterScope, RecordPlace};
use talea_platform::usage::rows::DeadLetter;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterParameters {
    pub tenant_id: Option<TenantId>,
    /// One of malformed, unknown_tenant, too_late, in_future, conflict, out_of_range, unknown_event.
    pub reason: Option<String>,
    /// `true` leaves out those that were sent again.
    pub open: Option<bool>,
    #[serde(default, deserialize_with = "super::usage::number_or_text")]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DeadLetterView {
    /// Its place in the log, `partition-offset`: the name by which it is resubmitted.
    pub place: String,
    pub tenant_id: String,
    pub source: String,
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub reason: String,
    /// The field at fault, what is wrong with it, and what to do.
    pub field: String,
    pub detail: String,
    pub way_out: String,
    pub log_time: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resubmitted_at: Option<DateTime<Utc>>,
    /// The record as it came; bytes that are no UTF-8 are replaced.
    pub payload: String,
}

/// Dead letters, the latest first. A key that is bound to no tenant also sees those whose tenant is not known.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead letters", params(DeadLetterParameters),
    responses((status = 200, body = Page<DeadLetterView>), (status = 404, body = Problem)))]
pub async fn list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Query(asked): Query<DeadLetterParameters>,
) -> Result<Json<Page<DeadLetterView>>, Problem> {
    caller.require(Scope::Read)?;
    let tenant = caller.tenant_or_all(asked.tenant_id.as_ref())?;
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor.clone() };
    let limit = page.limit()?;
    if let Some(reason) = &asked.reason {
        reason.parse::<DeadLetterReason>()?;
    }
    let filter = DeadLetterFilter {
        reason: asked.reason,
        open_only: asked.open.unwrap_or(false),
        after: page.after()?,
        limit: limit + 1,
    };
    let rows = dead_letters::list(&context.platform.clickhouse, scope(tenant.as_ref()), &filter)
        .await
        .map_err(Problem::internal)?;
    let page = Page::of(rows, limit, |letter| (letter.log_time, letter.place()))?;
    Ok(Json(Page { data: page.data.into_iter().map(view).collect(), next_cursor: page.next_cursor }))
}

/// Sends a dead letter to the log again, with the identity it had: counted once if it can be counted now.
#[utoipa::path(post, path = "/v1/dead-letters/{place}/resubmit", tag = "dead letters", params(("place" = String, Path)),
    responses((status = 200, body = DeadLetterView), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub async fn resubmit(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(place): Path<String>,
) -> Result<Json<DeadLetterView>, Problem> {
    caller.require(Scope::Ingest)?;
    let tenant = caller.tenant_or_all(None)?;
    let place = place_of(&place)?;
    let clickhouse = &context.platform.clickhouse;
    let scope = scope(tenant.as_ref());
    let letter = dead_letters::get(clickhouse, scope, &place)
        .await
        .map_err(Problem::internal)?
        .ok_or_else(Problem::not_found)?;
    let record = NewRecord {
        key: Bytes::copy_from_slice(&letter.identity.to_be_bytes()),
        value: letter.payload.clone().into(),
        headers: letter.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect(),
    };
    for outcome in context.platform.log.append(topic::USAGE, vec![record]).await {
        outcome.map_err(|error| Problem::unavailable(error.to_string()))?;
    }
    let now = context.clock().now();
    dead_letters::mark_resubmitted(clickhouse, scope, &place, now).await.map_err(Problem::internal)?;
    Ok(Json(view(DeadLetter { resubmitted_at: Some(now), ..letter })))
}

fn scope(tenant: Option<&TenantContext>) -> DeadLetterScope<'_> {
    tenant.map_or(DeadLetterScope::All, |tenant| DeadLetterScope::Tenant(tenant))
}

fn place_of(text: &str) -> Result<RecordPlace, FieldError> {
    let parsed =
        text.split_once('-').and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    let (partition, offset) = parsed
        .ok_or_else(|| FieldError::new("place", "is no place in the log", "use `place` of the list, like 3-1204"))?;
    Ok(RecordPlace { topic: topic::USAGE.to_owned(), partition, offset })
}

fn view(letter: DeadLetter) -> DeadLetterView {
    DeadLetterView {
        place: format!("{}-{}", letter.partition, letter.offset),
        tenant_id: letter.tenant_id,
        source: letter.source,
        id: letter.id,
        event_type: letter.event_type,
        reason: letter.reason,
        field: letter.field,
        detail: letter.detail,
        way_out: letter.way_out,
        log_time: letter.log_time,
        resubmitted_at: letter.resubmitted_at,
        payload: String::from_utf8_lossy(&letter.payload).into_owned(),
    }
}
