//! One invoice: as JSON (the bytes that were recorded), CSV or a printable page; and the early end of a draft.

use super::printed::{self, DocumentFormat, FormatParameters};
use super::reading;
use crate::context::Context;
use crate::print::{csv, html};
use crate::run::{ASKED_PATIENCE, Run, Trigger, candidate, close, find_one};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use talea_domain::id::InvoiceId;
use talea_domain::invoice::{Invoice, InvoiceStatus, invoice_id};
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Path, Problem, Query};
use talea_platform::receivables;

/// One invoice. Issued, it is the same to the byte whenever it is asked for; where it stands is said beside it, by the
/// headers `talea-payment-state`, `talea-amount-paid`, `talea-amount-credited` and `talea-amount-open`.
#[utoipa::path(get, path = "/v1/invoices/{id}", tag = "invoices", params(("id" = String, Path), FormatParameters),
    responses((status = 200, content((Invoice = "application/json"), (String = "text/csv"), (String = "text/html"))),
        (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<InvoiceId>,
    Query(asked): Query<FormatParameters>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    let document = stored(&context, &caller, &id).await?.ok_or_else(Problem::not_found)?;
    let beside = beside(&context, &caller, &id).await?;
    let shown = match asked.chosen(&headers) {
        DocumentFormat::Json => Ok(printed::json(document)),
        DocumentFormat::Csv => {
            let invoice = decode(&document)?;
            let number = invoice.number.as_deref().unwrap_or(invoice.id.as_str());
            Ok(printed::csv(number, csv::write(&invoice).map_err(Problem::internal)?))
        }
        DocumentFormat::Html => Ok(printed::page(html::page(&decode(&document)?).map_err(Problem::internal)?)),
    };
    shown.map(|response: Response| (beside, response).into_response())
}

/// Where the invoice stands, as headers: the document itself never says it, because it never changes.
async fn beside(context: &Context, caller: &Caller, id: &InvoiceId) -> Result<HeaderMap, Problem> {
    let mut tx = reading(context, caller, None).await?;
    let state = receivables::state(&mut tx, id).await.map_err(Problem::internal)?;
    let mut headers = HeaderMap::new();
    if let Some(state) = state {
        for (name, value) in [
            ("talea-payment-state", state.stage.as_str().to_owned()),
            ("talea-amount-paid", state.paid.to_decimal().to_string()),
            ("talea-amount-credited", state.credited.to_decimal().to_string()),
            ("talea-amount-open", state.open.to_decimal().to_string()),
        ] {
            headers.insert(name, value.parse().map_err(Problem::internal)?);
        }
    }
    Ok(headers)
}

/// Issues a draft now, without waiting for its grace. Metering must still have consumed what the log holds. An invoice that
/// is issued already is answered as it is.
#[utoipa::path(post, path = "/v1/invoices/{id}/finalize", tag = "invoices", params(("id" = String, Path)),
    responses((status = 200, body = Invoice), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn finalize(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    let document = stored(&context, &caller, &id).await?.ok_or_else(Problem::not_found)?;
    let invoice = decode(&document)?;
    if invoice.status == InvoiceStatus::Finalized {
        return Ok(printed::json(document));
    }
    // In a task of its own: a caller that hangs up must not end it half way.
    let actor = caller.actor();
    let issuing = tokio::spawn(async move { issue(&context, &invoice, actor).await });
    let issued = issuing.await.map_err(Problem::internal)??;
    Ok(printed::json(serde_json::to_string(&issued).map_err(Problem::internal)?))
}

async fn issue(context: &Context, draft: &Invoice, actor: String) -> Result<Invoice, Problem> {
    let _turn = context.one_run.lock().await;
    let now = context.now();
    let mut run = Run::new(context, now, Trigger::Asked, actor, ASKED_PATIENCE).await?;
    if !run.consumed.covers(run.now) {
        return Err(Problem::unavailable("metering has not consumed the log yet; send the request again"));
    }
    let mut tx = context.platform.databases.app.tenant(&draft.tenant).await.map_err(Problem::internal)?;
    // Only invoices of subscriptions are drafted.
    let subscription = draft.subscription.as_ref().ok_or_else(Problem::not_found)?;
    let row = find_one(&mut tx, subscription).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
    tx.commit().await.map_err(Problem::internal)?;
    let next = candidate(&run.catalogue, &row).map_err(Problem::unprocessable)?;
    let next = next.filter(|it| invoice_id(&it.subscription.id, it.moment.at, it.moment.revision) == draft.id);
    let next = next.ok_or_else(|| {
        Problem::conflict(
            "it is not the next invoice of its subscription; look at GET /v1/invoices for what came of it",
        )
    })?;
    let closed = close(&mut run, vec![next]).await?;
    match closed.into_iter().flatten().next() {
        Some(issued) => Ok(issued),
        None => Err(match run.summary.refused.first() {
            Some(refused) => Problem::unprocessable(refused.reason.clone()),
            None => Problem::conflict("somebody else issued or changed it meanwhile; read it again"),
        }),
    }
}

/// The stored bytes of an invoice that the caller may see.
pub(super) async fn stored(context: &Context, caller: &Caller, id: &InvoiceId) -> Result<Option<String>, Problem> {
    let mut tx = reading(context, caller, None).await?;
    sqlx::query_scalar("SELECT document FROM invoices WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(Problem::internal)
}

pub(super) fn decode(document: &str) -> Result<Invoice, Problem> {
    serde_json::from_str(document).map_err(Problem::internal)
}
