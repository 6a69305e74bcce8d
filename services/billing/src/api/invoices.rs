//! The list of invoices, the latest bill moment first.

use super::printed::check_asked;
use super::reading;
use crate::context::Context;
use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::id::{SubscriptionId, TenantId};
use talea_domain::invoice::{InvoiceStage, InvoiceStatus};
use talea_domain::money::{Currency, Money};
use talea_domain::period::Period;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Page, PageQuery, Problem, Query};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InvoiceParameters {
    pub tenant_id: Option<TenantId>,
    /// `draft` or `finalized`.
    pub status: Option<InvoiceStatus>,
    /// `draft`, `finalized`, `partially_paid`, `paid`, `voided` or `uncollectible`.
    pub payment_state: Option<InvoiceStage>,
    pub subscription_id: Option<SubscriptionId>,
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

/// An invoice in a list; the document itself is at `/v1/invoices/{id}`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct InvoiceRow {
    pub id: String,
    pub tenant_id: String,
    /// None for a draft.
    pub number: Option<String>,
    pub status: String,
    /// None where it is of one-off charges alone.
    pub subscription_id: Option<String>,
    pub period: Period,
    /// The bill moment.
    pub billed_at: DateTime<Utc>,
    /// 0; further documents about the same moment count up.
    pub revision: u32,
    pub issue_date: Option<NaiveDate>,
    pub due_date: Option<NaiveDate>,
    pub subtotal: Money,
    pub tax: Money,
    pub total: Money,
    /// Beside the document, which never changes.
    pub payment_state: String,
    pub amount_paid: Money,
    pub amount_credited: Money,
    pub amount_open: Money,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    number: Option<String>,
    status: String,
    subscription_id: Option<String>,
    currency: String,
    subtotal_minor: i64,
    tax_minor: i64,
    total_minor: i64,
    billed_at: DateTime<Utc>,
    revision: i32,
    period_start: DateTime<Utc>,
    period_end: DateTime<Utc>,
    issue_date: Option<NaiveDate>,
    due_date: Option<NaiveDate>,
    stage: String,
    paid_minor: i64,
    credited_minor: i64,
    open_minor: i64,
}

type After = (DateTime<Utc>, String, String);

/// Invoices: of its own tenant for a key that is bound to one, else of all.
#[utoipa::path(get, path = "/v1/invoices", tag = "invoices", params(InvoiceParameters),
    responses((status = 200, body = Page<InvoiceRow>), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Query(asked): Query<InvoiceParameters>,
) -> Result<Json<Page<InvoiceRow>>, Problem> {
    const LIST: &str = "SELECT i.id, i.tenant_id, i.number, i.status, i.subscription_id, i.currency, i.subtotal_minor, \
            i.tax_minor, i.total_minor, i.billed_at, i.revision, i.period_start, i.period_end, i.issue_date, i.due_date, \
            coalesce(s.stage, 'draft') AS stage, coalesce(s.paid_minor, 0) AS paid_minor, \
            coalesce(s.credited_minor, 0) AS credited_minor, coalesce(s.open_minor, 0) AS open_minor \
        FROM invoices i LEFT JOIN invoice_states s ON s.tenant_id = i.tenant_id AND s.invoice_id = i.id \
        WHERE ($1::text IS NULL OR i.tenant_id = $1) AND ($2::text IS NULL OR i.status = $2) \
            AND ($3::text IS NULL OR i.subscription_id = $3) AND ($4::date IS NULL OR i.issue_date >= $4) \
            AND ($5::date IS NULL OR i.issue_date <= $5) AND ($6::text IS NULL OR i.number = $6) \
            AND ($7::timestamptz IS NULL OR (i.billed_at, i.tenant_id, i.id) < ($7, $8, $9)) \
            AND ($11::text IS NULL OR coalesce(s.stage, 'draft') = $11) \
        ORDER BY i.billed_at DESC, i.tenant_id DESC, i.id DESC LIMIT $10";
    caller.require(Scope::Finance)?;
    check_asked(asked.issued_from, asked.issued_to, asked.number.as_deref())?;
    let mut tx = reading(&context, &caller, asked.tenant_id.as_ref()).await?;
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor };
    let (limit, after) = (page.limit()?, page.after::<After>()?);
    let (billed_at, tenant, id) =
        after.map_or((None, None, None), |(at, tenant, id)| (Some(at), Some(tenant), Some(id)));
    let rows: Vec<Row> = sqlx::query_as(LIST)
        .bind(asked.tenant_id.as_ref().map(TenantId::as_str))
        .bind(asked.status.map(InvoiceStatus::as_str))
        .bind(asked.subscription_id.as_ref().map(SubscriptionId::as_str))
        .bind(asked.issued_from)
        .bind(asked.issued_to)
        .bind(asked.number)
        .bind(billed_at)
        .bind(tenant)
        .bind(id)
        .bind(i64::from(limit) + 1)
        .bind(asked.payment_state.map(InvoiceStage::as_str))
        .fetch_all(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let page = Page::of(rows, limit, |row| (row.billed_at, row.tenant_id.clone(), row.id.clone()))?;
    let data = page.data.into_iter().map(view).collect::<Result<_, FieldError>>().map_err(Problem::internal)?;
    Ok(Json(Page { data, next_cursor: page.next_cursor }))
}

fn view(row: Row) -> Result<InvoiceRow, FieldError> {
    let currency = Currency::parse(&row.currency)?;
    Ok(InvoiceRow {
        id: row.id,
        tenant_id: row.tenant_id,
        number: row.number,
        status: row.status,
        subscription_id: row.subscription_id,
        period: Period::new(row.period_start, row.period_end),
        billed_at: row.billed_at,
        revision: row.revision.unsigned_abs(),
        issue_date: row.issue_date,
        due_date: row.due_date,
        subtotal: Money::new(row.subtotal_minor, currency),
        tax: Money::new(row.tax_minor, currency),
        total: Money::new(row.total_minor, currency),
        payment_state: row.stage,
        amount_paid: Money::new(row.paid_minor, currency),
        amount_credited: Money::new(row.credited_minor, currency),
        amount_open: Money::new(row.open_minor, currency),
    })
}
