//! Corrections of issued invoices: voided, written off, credited. The document itself stays as it is.

use super::deciding::{InvoiceBalance, begin, no_note};
use super::invoice::{decode, stored};
use super::reading;
use crate::context::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::credit_note::{CreditLine, CreditNote, SERIES, draft};
use talea_domain::id::InvoiceId;
use talea_domain::invoice::InvoiceCommand;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, IdempotentRequest, Json, Path, Problem, idempotent};
use talea_platform::receivables;

#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    pub reason: String,
}

#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCreditNote {
    pub reason: String,
    /// All that is left of the invoice when absent.
    #[serde(default)]
    pub lines: Option<Vec<CreditLine>>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CreditNotes {
    /// In the order of their issue.
    pub data: Vec<CreditNote>,
}

/// Takes an invoice back of which nothing is paid or credited. Its number stays used.
#[utoipa::path(post, path = "/v1/invoices/{id}/void", tag = "corrections", params(("id" = String, Path)),
    request_body = Correction,
    responses((status = 200, body = InvoiceBalance), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn void(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
    Json(asked): Json<Correction>,
) -> Result<Json<InvoiceBalance>, Problem> {
    let deciding = begin(&context, &caller, &id, None).await?;
    let (_, state) = deciding.record(&context, &caller, &InvoiceCommand::Void { reason: asked.reason }, None).await?;
    Ok(Json(state.into()))
}

/// Writes off what is open of an invoice. It is not asked for any more; what is paid later is still taken.
#[utoipa::path(post, path = "/v1/invoices/{id}/uncollectible", tag = "corrections", params(("id" = String, Path)),
    request_body = Correction,
    responses((status = 200, body = InvoiceBalance), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn write_off(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
    Json(asked): Json<Correction>,
) -> Result<Json<InvoiceBalance>, Problem> {
    let deciding = begin(&context, &caller, &id, None).await?;
    let command = InvoiceCommand::MarkUncollectible { reason: asked.reason };
    let (_, state) = deciding.record(&context, &caller, &command, None).await?;
    Ok(Json(state.into()))
}

/// Issues a credit note. With an `Idempotency-Key`, a repeated request answers the note that the first one issued.
#[utoipa::path(post, path = "/v1/invoices/{id}/credit-notes", tag = "corrections", params(("id" = String, Path)),
    request_body = NewCreditNote,
    responses((status = 201, body = CreditNote), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub async fn credit(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
    headers: HeaderMap,
    Json(asked): Json<NewCreditNote>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    let about = (&id, &asked);
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/invoices/{id}/credit-notes",
        body: &about,
        now: context.now(),
    };
    // In the journal too: of two equal requests at once one is refused, and a note that was issued before a crash is not
    // issued again.
    let once = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let once = once.map(|key| format!("credit-note/{}/{key}", caller.actor()));
    idempotent(request, issue(&context, &caller, &id, &asked, once)).await
}

async fn issue(
    context: &Context,
    caller: &Caller,
    id: &InvoiceId,
    asked: &NewCreditNote,
    once: Option<String>,
) -> Result<(StatusCode, CreditNote), Problem> {
    let mut deciding = begin(context, caller, id, Some(SERIES)).await?;
    let document = stored(context, caller, id).await?.ok_or_else(Problem::not_found)?;
    let invoice = decode(&document)?;
    let before = receivables::credit_notes(&mut deciding.tx, &invoice.tenant, id).await.map_err(Problem::internal)?;
    let note = draft(&invoice, &before, asked.lines.as_deref(), &asked.reason, deciding.number, deciding.now);
    let command = InvoiceCommand::IssueCreditNote(Box::new(note.map_err(no_note)?));
    match deciding.record(context, caller, &command, once).await? {
        (JournalEvent::CreditNoteIssued(note), _) => Ok((StatusCode::CREATED, note)),
        _ => Err(Problem::internal("a credit note led to another event")),
    }
}

/// The credit notes of an invoice.
#[utoipa::path(get, path = "/v1/invoices/{id}/credit-notes", tag = "corrections", params(("id" = String, Path)),
    responses((status = 200, body = CreditNotes), (status = 404, body = Problem)))]
pub async fn list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Json<CreditNotes>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let state = receivables::state(&mut tx, &id).await.map_err(Problem::internal)?;
    let state = state.ok_or_else(Problem::not_found)?;
    let data = receivables::credit_notes(&mut tx, &state.tenant, &id).await.map_err(Problem::internal)?;
    Ok(Json(CreditNotes { data }))
}
