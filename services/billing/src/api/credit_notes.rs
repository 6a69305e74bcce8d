//! Credit notes as documents: the list, and one as JSON (the bytes that were recorded), CSV or a printable page.

use super::printed::{self, DocumentFormat, FormatParameters, check_asked};
use super::reading;
use crate::context::Context;
use crate::print::{credit_note_csv, credit_note_html};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::credit_note::CreditNote;
use talea_domain::error::FieldError;
use talea_domain::id::{CreditNoteId, InvoiceId, TenantId};
use talea_domain::money::{Currency, Money};
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Page, PageQuery, Path, Problem, Query};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CreditNoteParameters {
    pub tenant_id: Option<TenantId>,
    pub invoice_id: Option<InvoiceId>,
    /// First issue date, inclusive.
    pub issued_from: Option<NaiveDate>,
    /// Last issue date, inclusive.
    pub issued_to: Option<NaiveDate>,
    pub number: Option<String>,
    /// Rows of this page, 1 to 1000 (default 100).
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A credit note in a list; the document itself is at `/v1/credit-notes/{id}`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CreditNoteRow {
    pub id: String,
    pub tenant_id: String,
    pub number: String,
    pub invoice_id: String,
    pub issue_date: NaiveDate,
    pub issued_at: DateTime<Utc>,
    pub total: Money,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    number: String,
    invoice_id: String,
    currency: String,
    total_minor: i64,
    issue_date: NaiveDate,
    issued_at: DateTime<Utc>,
}

type After = (DateTime<Utc>, String, String);

/// Credit notes, the latest first: of its own tenant for a key that is bound to one, else of all.
#[utoipa::path(get, path = "/v1/credit-notes", tag = "corrections", params(CreditNoteParameters),
    responses((status = 200, body = Page<CreditNoteRow>), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Query(asked): Query<CreditNoteParameters>,
) -> Result<Json<Page<CreditNoteRow>>, Problem> {
    const LIST: &str = "SELECT id, tenant_id, number, invoice_id, currency, total_minor, issue_date, issued_at \
        FROM credit_notes WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR invoice_id = $2) \
            AND ($3::date IS NULL OR issue_date >= $3) AND ($4::date IS NULL OR issue_date <= $4) \
            AND ($5::text IS NULL OR number = $5) \
            AND ($6::timestamptz IS NULL OR (issued_at, tenant_id, id) < ($6, $7, $8)) \
        ORDER BY issued_at DESC, tenant_id DESC, id DESC LIMIT $9";
    caller.require(Scope::Finance)?;
    check_asked(asked.issued_from, asked.issued_to, asked.number.as_deref())?;
    let mut tx = reading(&context, &caller, asked.tenant_id.as_ref()).await?;
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor };
    let (limit, after) = (page.limit()?, page.after::<After>()?);
    let (issued_at, tenant, id) =
        after.map_or((None, None, None), |(at, tenant, id)| (Some(at), Some(tenant), Some(id)));
    let rows: Vec<Row> = sqlx::query_as(LIST)
        .bind(asked.tenant_id.as_ref().map(TenantId::as_str))
        .bind(asked.invoice_id.as_ref().map(InvoiceId::as_str))
        .bind(asked.issued_from)
        .bind(asked.issued_to)
        .bind(asked.number)
        .bind(issued_at)
        .bind(tenant)
        .bind(id)
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let page = Page::of(rows, limit, |row| (row.issued_at, row.tenant_id.clone(), row.id.clone()))?;
    let data = page.data.into_iter().map(view).collect::<Result<_, FieldError>>().map_err(Problem::internal)?;
    Ok(Json(Page { data, next_cursor: page.next_cursor }))
}

fn view(row: Row) -> Result<CreditNoteRow, FieldError> {
    let currency = Currency::parse(&row.currency)?;
    Ok(CreditNoteRow {
        id: row.id,
        tenant_id: row.tenant_id,
        number: row.number,
        invoice_id: row.invoice_id,
        issue_date: row.issue_date,
        issued_at: row.issued_at,
        total: Money::new(row.total_minor, currency),
    })
}

/// One credit note, the same to the byte whenever it is asked for.
#[utoipa::path(get, path = "/v1/credit-notes/{id}", tag = "corrections", params(("id" = String, Path), FormatParameters),
    responses((status = 200, content((CreditNote = "application/json"), (String = "text/csv"), (String = "text/html"))),
        (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<CreditNoteId>,
    Query(asked): Query<FormatParameters>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let document: Option<String> = sqlx::query_scalar("SELECT document FROM credit_notes WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let document = document.ok_or_else(Problem::not_found)?;
    let note = || serde_json::from_str::<CreditNote>(&document).map_err(Problem::internal);
    match asked.chosen(&headers) {
        DocumentFormat::Json => Ok(printed::json(document)),
        DocumentFormat::Csv => {
            let note = note()?;
            Ok(printed::csv(&note.number, credit_note_csv::write(&note).map_err(Problem::internal)?))
        }
        DocumentFormat::Html => Ok(printed::page(credit_note_html::page(&note()?).map_err(Problem::internal)?)),
    }
}
