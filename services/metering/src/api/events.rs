//! `GET /v1/events`: what became of one event, or the events that came last.

use super::{one_tenant, usage_problem};
use crate::context::{Context, GROUP};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::event::{EventName, UsageEvent, identity_of};
use talea_domain::id::TenantId;
use talea_domain::meter::{MeterDefinition, Reading};
use talea_domain::tenant::Scope;
use talea_platform::catalogue;
use talea_platform::clock::seconds;
use talea_platform::http::{Caller, Json, Page, PageQuery, Problem, Query};
use talea_platform::log::topic;
use talea_platform::usage::lookup::{self, Fate, RecentKey};
use talea_platform::usage::rows::{DeadLetter, StoredEvent};
use talea_platform::usage::view::{EventContent, Record};
use talea_platform::usage::voids::{self, StoredVoid};

/// How far back the list of recent events goes when the caller does not say.
const RECENT_SECONDS: u64 = 24 * 3600;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventParameters {
    /// May be left out with a key that is bound to a tenant.
    pub tenant_id: Option<TenantId>,
    /// With `id`: answers what became of this event.
    pub source: Option<String>,
    pub id: Option<String>,
    /// Without `source` and `id`: events that came since then (RFC 3339); default the last 24 hours.
    pub since: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "super::usage::number_or_text")]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventStatus {
    /// Counted once, whatever else came under its identity.
    Counted,
    /// Stored and counted once, but no meter can read it: see `unmetered`.
    Unmetered,
    /// It was counted and taken out again: see `voided`.
    Voided,
    /// It is a void that took effect: see `voids`.
    Void,
    /// It could not be counted: see `dead_letters`.
    DeadLettered,
    /// Not seen yet; metering is `lag` records behind.
    Pending,
    /// Not seen, and metering has read everything.
    Unknown,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EventView {
    #[serde(flatten)]
    pub content: EventContent,
    pub record: Record,
    /// What took it out of the count again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voided: Option<VoidView>,
}

/// A void that took effect.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct VoidView {
    pub source: String,
    pub id: String,
    pub reason: String,
    /// The event that is no longer counted, and its record.
    pub of: EventName,
    pub of_place: String,
    /// The event that stands in its place, where it was amended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<EventName>,
    pub record: Record,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UnmeteredBy {
    /// The meter, or none when no meter is for this type.
    pub meter: Option<String>,
    pub reason: String,
}

/// A record that was not counted, and why.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Uncounted {
    pub record: Record,
    pub reason: String,
    pub field: String,
    pub detail: String,
    pub way_out: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EventFate {
    pub status: EventStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventView>,
    /// The void that was sent under this source and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voids: Option<VoidView>,
    /// Meters that cannot read it.
    pub unmetered: Vec<UnmeteredBy>,
    /// Later records with the same identity and content: duplicates of `event.record`.
    pub duplicates: Vec<Record>,
    /// Records that could not be counted, conflicts among them.
    pub dead_letters: Vec<Uncounted>,
    /// Records that metering has not read yet, over all partitions.
    pub lag: u64,
}

/// What became of the event with this source and id; without them, the events that came last.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventParameters),
    responses((status = 200, body = EventFate), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn find_or_list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Query(asked): Query<EventParameters>,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let tenant = one_tenant(&caller, asked.tenant_id.as_ref())?;
    match (&asked.source, &asked.id) {
        (Some(source), Some(id)) => Ok(Json(fate(&context, &tenant, source, id).await?).into_response()),
        (None, None) => Ok(Json(recent(&context, &tenant, &asked).await?).into_response()),
        _ => Err(FieldError::new("source", "and id belong together", "give both, or neither for a list").into()),
    }
}

async fn recent(context: &Context, tenant: &TenantId, asked: &EventParameters) -> Result<Page<EventView>, Problem> {
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor.clone() };
    let limit = page.limit()?;
    let since = asked.since.unwrap_or_else(|| context.clock().now() - seconds(RECENT_SECONDS));
    let after = page.after::<RecentKey>()?;
    let rows = lookup::recent_events(&context.platform.clickhouse, tenant, since, after, limit + 1)
        .await
        .map_err(usage_problem)?;
    let page = Page::of(rows, limit, RecentKey::of)?;
    let records: Vec<_> = page.data.iter().map(|row| (row.partition, row.offset)).collect();
    let mut voided = voids::of_records(&context.platform.clickhouse, tenant, &records).await.map_err(usage_problem)?;
    let view = |row: StoredEvent| {
        let void = voided.remove(&(row.partition, row.offset));
        view(row, void)
    };
    Ok(Page { data: page.data.into_iter().map(view).collect(), next_cursor: page.next_cursor })
}

async fn fate(context: &Context, tenant: &TenantId, source: &str, id: &str) -> Result<EventFate, Problem> {
    // The tenant must exist, or an unknown one would be told from a silent one.
    let identity = identity_of(tenant, source, id);
    let found = lookup::what_became_of(&context.platform.clickhouse, tenant, identity).await.map_err(usage_problem)?;
    let lag = lag(context).await?;
    let unmetered = match &found.event {
        Some(stored) => unmetered(context, &stored.event).await?,
        None => Vec::new(),
    };
    let sent = voids::by_name(&context.platform.clickhouse, tenant, source, id).await.map_err(usage_problem)?;
    let status = status(&found, sent.is_some(), &unmetered, lag);
    Ok(EventFate {
        status,
        voids: sent.map(void_view),
        unmetered,
        duplicates: found
            .repeats
            .iter()
            .map(|it| Record { partition: it.partition, offset: it.offset, log_time: it.log_time })
            .collect(),
        dead_letters: found.dead_letters.into_iter().map(uncounted).collect(),
        event: found.event.map(|event| view(event, found.voided)),
        lag,
    })
}

fn status(found: &Fate, is_void: bool, unmetered: &[UnmeteredBy], lag: u64) -> EventStatus {
    if found.voided.is_some() {
        return EventStatus::Voided;
    }
    match (&found.event, found.known.is_some(), found.dead_letters.is_empty()) {
        (Some(_), _, _) if unmetered.iter().any(|it| it.meter.is_none()) => EventStatus::Unmetered,
        (Some(_), _, _) | (None, true, _) => EventStatus::Counted,
        (None, false, _) if is_void => EventStatus::Void,
        (None, false, false) => EventStatus::DeadLettered,
        (None, false, true) if lag > 0 => EventStatus::Pending,
        (None, false, true) => EventStatus::Unknown,
    }
}

async fn unmetered(context: &Context, event: &UsageEvent) -> Result<Vec<UnmeteredBy>, Problem> {
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let meters = catalogue::newest_meters(&mut tx).await.map_err(Problem::internal)?;
    let readings: Vec<_> = meters.iter().map(|meter| (meter, meter.read(event))).collect();
    if readings.iter().all(|(_, reading)| *reading == Reading::Ignored) {
        return Ok(vec![UnmeteredBy { meter: None, reason: "no_meter_for_this_type".to_owned() }]);
    }
    let unread = |(meter, reading): (&MeterDefinition, Reading)| match reading {
        Reading::Unmetered(reason) => {
            Some(UnmeteredBy { meter: Some(meter.key.to_string()), reason: reason.as_str().to_owned() })
        }
        _ => None,
    };
    Ok(readings.into_iter().filter_map(unread).collect())
}

/// Records of the usage log that metering has not committed.
async fn lag(context: &Context) -> Result<u64, Problem> {
    let log = &context.platform.log;
    let ends = log.end_offsets(topic::USAGE).await.map_err(Problem::internal)?;
    let committed = log.committed(GROUP, topic::USAGE).await.map_err(Problem::internal)?;
    Ok(ends.iter().zip(committed).map(|(end, done)| end.saturating_sub(done)).sum())
}

fn view(stored: StoredEvent, voided: Option<StoredVoid>) -> EventView {
    let (content, record) = stored.view();
    EventView { content, record, voided: voided.map(void_view) }
}

fn void_view(stored: StoredVoid) -> VoidView {
    let void = stored.void;
    VoidView {
        source: void.source,
        id: void.id,
        reason: void.reason,
        of: void.voided,
        of_place: format!("{}-{}", stored.of.0, stored.of.1),
        replaced_by: void.replaced_by,
        record: Record { partition: stored.partition, offset: stored.offset, log_time: stored.log_time },
    }
}

fn uncounted(letter: DeadLetter) -> Uncounted {
    Uncounted {
        record: Record { partition: letter.partition, offset: letter.offset, log_time: letter.log_time },
        reason: letter.reason,
        field: letter.field,
        detail: letter.detail,
        way_out: letter.way_out,
    }
}
