//! A tenant's own terms of payment, and its open credit.

use super::deciding::append;
use super::reading;
use crate::context::Context;
use axum::extract::State;
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use std::sync::Arc;
use talea_domain::id::TenantId;
use talea_domain::invoice::{BillingTerms, BillingTermsChanged};
use talea_domain::journal::JournalEvent;
use talea_domain::money::{Currency, Money};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::http::{Caller, Json, Path, Problem};
use talea_platform::journal::Decision;
use talea_platform::postgres::Tx;
use talea_platform::receivables;

/// What a tenant has paid, or was credited, beyond what it owed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OpenCreditView {
    pub tenant_id: TenantId,
    /// One for each currency in which there is any.
    pub balances: Vec<Money>,
    /// The last thousand, newest first.
    pub entries: Vec<OpenCreditEntry>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OpenCreditEntry {
    /// Above zero adds to the credit.
    pub amount: Money,
    /// `overpayment`, `settlement`, `reversal`, `credit_note`, `credit_invoice` or `refund`.
    pub cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_id: Option<String>,
    /// Of the payment or the note.
    pub reference: String,
    pub recorded_at: DateTime<Utc>,
}

/// A tenant's open credit. It pays an invoice when somebody says so: `POST /v1/invoices/{id}/settlements`.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/open-credit", tag = "payments", params(("tenant_id" = String, Path)),
    responses((status = 200, body = OpenCreditView), (status = 404, body = Problem)))]
pub async fn open_credit(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(tenant_id): Path<TenantId>,
) -> Result<Json<OpenCreditView>, Problem> {
    const BALANCES: &str = "SELECT currency, sum(amount_minor)::bigint FROM open_credit_entries WHERE tenant_id = $1 \
        GROUP BY currency HAVING sum(amount_minor) <> 0 ORDER BY currency";
    const ENTRIES: &str = "SELECT currency, amount_minor, cause, invoice_id, reference, recorded_at \
        FROM open_credit_entries WHERE tenant_id = $1 ORDER BY position DESC LIMIT 1000";
    type Row = (String, i64, String, Option<String>, String, DateTime<Utc>);
    caller.require(Scope::Finance)?;
    let mut tx = of_tenant(&context, &caller, &tenant_id).await?;
    let balances: Vec<(String, i64)> =
        sqlx::query_as(BALANCES).bind(tenant_id.as_str()).fetch_all(&mut *tx).await.map_err(Problem::internal)?;
    let rows: Vec<Row> =
        sqlx::query_as(ENTRIES).bind(tenant_id.as_str()).fetch_all(&mut *tx).await.map_err(Problem::internal)?;
    let entry = |(currency, minor, cause, invoice_id, reference, recorded_at): Row| {
        Ok(OpenCreditEntry { amount: money(&currency, minor)?, cause, invoice_id, reference, recorded_at })
    };
    Ok(Json(OpenCreditView {
        tenant_id,
        balances: balances.iter().map(|(currency, minor)| money(currency, *minor)).collect::<Result<_, Problem>>()?,
        entries: rows.into_iter().map(entry).collect::<Result<_, Problem>>()?,
    }))
}

/// A tenant's own terms of payment; what is absent follows its plan, then the deployment.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/billing-terms", tag = "payments", params(("tenant_id" = String, Path)),
    responses((status = 200, body = BillingTerms), (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(tenant_id): Path<TenantId>,
) -> Result<Json<BillingTerms>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = of_tenant(&context, &caller, &tenant_id).await?;
    let mut terms = receivables::billing_terms(&mut tx, &[tenant_id.as_str()]).await.map_err(Problem::internal)?;
    Ok(Json(terms.remove(&tenant_id).unwrap_or_default()))
}

/// Sets a tenant's own terms of payment, in place of all earlier ones. Invoices that are issued keep their due date.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/billing-terms", tag = "payments", params(("tenant_id" = String, Path)),
    request_body = BillingTerms,
    responses((status = 200, body = BillingTerms), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn set(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(tenant_id): Path<TenantId>,
    Json(terms): Json<BillingTerms>,
) -> Result<Json<BillingTerms>, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    terms.check("")?;
    drop(of_tenant(&context, &caller, &tenant_id).await?);
    let now = context.now().trunc_subsecs(6);
    let changed = BillingTermsChanged { tenant_id: tenant_id.clone(), terms: terms.clone(), changed_at: now };
    let decision = Decision {
        tenant: TenantScope::from(&tenant_id),
        expected_version: None,
        event: JournalEvent::BillingTermsChanged(changed),
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    let mut tx = context.platform.databases.app.tenant(&tenant_id).await.map_err(Problem::internal)?;
    append(&mut tx, decision).await?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok(Json(terms))
}

/// A transaction that reads a tenant that is there.
pub(super) async fn of_tenant(context: &Context, caller: &Caller, tenant: &TenantId) -> Result<Tx, Problem> {
    let mut tx = reading(context, caller, Some(tenant)).await?;
    let there: Option<i32> = sqlx::query_scalar("SELECT 1 FROM tenants WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    there.map(|_| tx).ok_or_else(Problem::not_found)
}

fn money(currency: &str, minor: i64) -> Result<Money, Problem> {
    Ok(Money::new(minor, Currency::parse(currency).map_err(Problem::internal)?))
}
