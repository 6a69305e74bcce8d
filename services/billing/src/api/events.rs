//! The events behind a line: exactly those inside its window and cut that its meter reads, so that anybody can recompute
//! its count and digest.

use super::invoice::{decode, stored};
use crate::context::Context;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use talea_domain::id::InvoiceId;
use talea_domain::invoice::Lineage;
use talea_domain::period::Period;
use talea_domain::tenant::Scope;
use talea_platform::catalogue;
use talea_platform::http::{Caller, Cursor, Json, PageQuery, Path, Problem, Query};
use talea_platform::usage::billing::{Cut, events_of_line};
use talea_platform::usage::lookup::EventKey;
use talea_platform::usage::rows::StoredEvent;
use talea_platform::usage::view::{EventContent, Record};

/// A page of the events behind a line. Over all pages, the sum of `identity` mod 2^128 and the sum of `body_hash` mod 2^128,
/// each as 32 hex digits, are the two halves of `digest`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LineEvents {
    pub invoice_id: InvoiceId,
    pub line: u32,
    pub meter: String,
    pub meter_version: u32,
    pub window: Period,
    /// Per partition of the usage log, the first offset that was not counted.
    pub cut: Vec<u64>,
    /// As the line says; over all pages there are so many events.
    pub event_count: u64,
    /// As the line says.
    pub digest: String,
    pub data: Vec<LineEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LineEvent {
    #[serde(flatten)]
    pub content: EventContent,
    #[serde(flatten)]
    pub record: Record,
}

/// The events behind a line, in the order of their time and identity.
#[utoipa::path(get, path = "/v1/invoices/{id}/lines/{line}/events", tag = "invoices",
    params(("id" = String, Path), ("line" = u32, Path), PageQuery),
    responses((status = 200, body = LineEvents), (status = 404, body = Problem)))]
pub async fn list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path((id, line)): Path<(InvoiceId, u32)>,
    Query(page): Query<PageQuery>,
) -> Result<Json<LineEvents>, Problem> {
    caller.require(Scope::Finance)?;
    let document = stored(&context, &caller, &id).await?.ok_or_else(Problem::not_found)?;
    let invoice = decode(&document)?;
    let found = invoice.lines.iter().find(|it| it.number == line).ok_or_else(Problem::not_found)?;
    let Lineage { meter: Some(meter), meter_version: Some(version), window, cut, event_count, digest, .. } =
        &found.lineage
    else {
        return Err(Problem::not_found().with_detail("this line is not about usage: no events stand behind it"));
    };
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let definition = catalogue::meter(&mut tx, meter, Some(*version)).await.map_err(Problem::internal)?;
    drop(tx);
    let definition = definition.ok_or_else(|| Problem::internal(format!("meter {meter} version {version} is gone")))?;
    let (limit, after) = (page.limit()?, page.after::<EventKey>()?);
    let clickhouse = &context.platform.clickhouse;
    let cut_of_line = Cut(cut.clone());
    let mut rows = events_of_line(clickhouse, &invoice.tenant, &definition, *window, &cut_of_line, after, limit + 1)
        .await
        .map_err(Problem::internal)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = match rows.last() {
        Some(last) if more => Some(Cursor::encode(&EventKey::of(last))?),
        _ => None,
    };
    Ok(Json(LineEvents {
        invoice_id: invoice.id.clone(),
        line,
        meter: meter.to_string(),
        meter_version: *version,
        window: *window,
        cut: cut.clone(),
        event_count: event_count.unwrap_or(0),
        digest: digest.clone().unwrap_or_default(),
        data: rows.into_iter().map(view).collect(),
        next_cursor,
    }))
}

fn view(stored: StoredEvent) -> LineEvent {
    let (content, record) = stored.view();
    LineEvent { content, record }
}
