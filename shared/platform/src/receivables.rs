//! What became of issued invoices, read from the projections: their states, payments and notes, the tenants' open credit and
//! terms of payment.

use crate::postgres::DatabaseError;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use std::collections::HashMap;
use talea_domain::credit_note::CreditNote;
use talea_domain::error::FieldError;
use talea_domain::id::{InvoiceId, TenantId};
use talea_domain::invoice::{BillingTerms, InvoiceStage, InvoiceState, Payment, PaymentSource, Voided};
use talea_domain::money::{Currency, Money};

/// An invoice of a tenant.
pub type Key<'a> = (&'a TenantId, &'a InvoiceId);

#[derive(sqlx::FromRow)]
pub struct StateRow {
    tenant_id: String,
    invoice_id: String,
    stage: String,
    currency: String,
    total_minor: i64,
    paid_minor: i64,
    credited_minor: i64,
    open_minor: i64,
    due_date: Option<NaiveDate>,
    zone: String,
    open_since: DateTime<Utc>,
    prepaid_minor: i64,
    round: i32,
    voided: Option<String>,
}

impl StateRow {
    /// The columns, of a table or alias `s`.
    pub const COLUMNS: &str = "s.tenant_id, s.invoice_id, s.stage, s.currency, s.total_minor, s.paid_minor, \
        s.credited_minor, s.open_minor, s.due_date, s.zone, s.open_since, s.prepaid_minor, s.round, s.voided";

    /// The state, without its payments.
    pub fn decode(self) -> Result<InvoiceState, DatabaseError> {
        let unreadable = |reason: String| DatabaseError::Unreadable {
            table: "invoice_states",
            reason: format!("{}: {reason}", self.invoice_id),
        };
        let key = |error: FieldError| unreadable(error.to_string());
        let currency = Currency::parse(&self.currency).map_err(key)?;
        let money = |minor| Money::new(minor, currency);
        let stage = InvoiceStage::parse(&self.stage).ok_or_else(|| unreadable(format!("stage {}", self.stage)))?;
        let voided = match &self.voided {
            Some(text) => Some(Voided::parse(text).ok_or_else(|| unreadable(format!("void {text}")))?),
            None => None,
        };
        Ok(InvoiceState {
            tenant: TenantId::parse(&self.tenant_id).map_err(key)?,
            invoice: InvoiceId::parse(&self.invoice_id).map_err(key)?,
            stage,
            total: money(self.total_minor),
            paid: money(self.paid_minor),
            prepaid: money(self.prepaid_minor),
            credited: money(self.credited_minor),
            open: money(self.open_minor),
            due_date: self.due_date,
            zone: self.zone.parse().map_err(|_| unreadable(format!("zone {}", self.zone)))?,
            open_since: self.open_since,
            round: u32::try_from(self.round).map_err(|_| unreadable(format!("round {}", self.round)))?,
            voided,
            payments: Vec::new(),
        })
    }
}

/// The states of these invoices, without their payments.
pub async fn states<'a>(
    connection: &mut PgConnection,
    keys: impl IntoIterator<Item = Key<'a>>,
) -> Result<Vec<InvoiceState>, DatabaseError> {
    const STATES: &str = "SELECT s.tenant_id, s.invoice_id, s.stage, s.currency, s.total_minor, s.paid_minor, \
            s.credited_minor, s.open_minor, s.due_date, s.zone, s.open_since, s.prepaid_minor, s.round, s.voided \
        FROM unnest($1::text[], $2::text[]) AS k(tenant_id, invoice_id) \
        JOIN invoice_states s USING (tenant_id, invoice_id)";
    let (tenants, ids): (Vec<&str>, Vec<&str>) =
        keys.into_iter().map(|(tenant, id)| (tenant.as_str(), id.as_str())).unzip();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<StateRow> = sqlx::query_as(STATES).bind(tenants).bind(ids).fetch_all(connection).await?;
    rows.into_iter().map(StateRow::decode).collect()
}

/// The state of an invoice with its payments, of the tenants that the connection may see; none before it is issued.
pub async fn state(connection: &mut PgConnection, invoice: &InvoiceId) -> Result<Option<InvoiceState>, DatabaseError> {
    const STATE: &str = "SELECT s.tenant_id, s.invoice_id, s.stage, s.currency, s.total_minor, s.paid_minor, \
            s.credited_minor, s.open_minor, s.due_date, s.zone, s.open_since, s.prepaid_minor, s.round, s.voided \
        FROM invoices i JOIN invoice_states s ON s.tenant_id = i.tenant_id AND s.invoice_id = i.id WHERE i.id = $1";
    let row: Option<StateRow> = sqlx::query_as(STATE).bind(invoice.as_str()).fetch_optional(&mut *connection).await?;
    let Some(state) = row.map(StateRow::decode).transpose()? else { return Ok(None) };
    let payments = payments(connection, &state).await?;
    Ok(Some(InvoiceState { payments, ..state }))
}

#[derive(sqlx::FromRow)]
struct PaymentRow {
    reference: String,
    source: String,
    amount_minor: i64,
    applied_minor: i64,
    received_at: DateTime<Utc>,
    method: Option<String>,
    reversed_at: Option<DateTime<Utc>>,
}

async fn payments(connection: &mut PgConnection, state: &InvoiceState) -> Result<Vec<Payment>, DatabaseError> {
    const PAYMENTS: &str = "SELECT reference, source, amount_minor, applied_minor, received_at, method, reversed_at \
        FROM payments WHERE tenant_id = $1 AND invoice_id = $2 ORDER BY received_at, reference";
    let rows: Vec<PaymentRow> =
        sqlx::query_as(PAYMENTS).bind(state.tenant.as_str()).bind(state.invoice.as_str()).fetch_all(connection).await?;
    let currency = state.total.currency;
    let payment = |row: PaymentRow| {
        let source = PaymentSource::parse(&row.source)
            .ok_or_else(|| DatabaseError::Unreadable { table: "payments", reason: format!("source {}", row.source) })?;
        Ok(Payment {
            reference: row.reference,
            source,
            amount: Money::new(row.amount_minor, currency),
            applied: Money::new(row.applied_minor, currency),
            received_at: row.received_at,
            method: row.method,
            reversed_at: row.reversed_at,
        })
    };
    rows.into_iter().map(payment).collect()
}

/// A tenant's open credit in one currency.
pub async fn open_credit(
    connection: &mut PgConnection,
    tenant: &TenantId,
    currency: Currency,
) -> Result<Money, DatabaseError> {
    const SUM: &str = "SELECT coalesce(sum(amount_minor), 0)::bigint FROM open_credit_entries \
        WHERE tenant_id = $1 AND currency = $2";
    let minor = sqlx::query_scalar(SUM).bind(tenant.as_str()).bind(currency.to_string()).fetch_one(connection).await?;
    Ok(Money::new(minor, currency))
}

/// The notes of an invoice, in the order of their issue.
pub async fn credit_notes(
    connection: &mut PgConnection,
    tenant: &TenantId,
    invoice: &InvoiceId,
) -> Result<Vec<CreditNote>, DatabaseError> {
    const NOTES: &str = "SELECT document FROM credit_notes WHERE tenant_id = $1 AND invoice_id = $2 ORDER BY position";
    let documents: Vec<String> =
        sqlx::query_scalar(NOTES).bind(tenant.as_str()).bind(invoice.as_str()).fetch_all(connection).await?;
    let decode = |document: String| {
        serde_json::from_str(&document).map_err(|source| DatabaseError::Document { table: "credit_notes", source })
    };
    documents.into_iter().map(decode).collect()
}

/// The own terms of these tenants; those without any are left out.
pub async fn billing_terms(
    connection: &mut PgConnection,
    tenants: &[&str],
) -> Result<HashMap<TenantId, BillingTerms>, DatabaseError> {
    const TERMS: &str = "SELECT tenant_id, document FROM billing_terms WHERE tenant_id = ANY($1)";
    let rows: Vec<(String, String)> = sqlx::query_as(TERMS).bind(tenants).fetch_all(connection).await?;
    let decode = |(tenant, document): (String, String)| {
        let tenant = TenantId::parse(&tenant)
            .map_err(|error| DatabaseError::Unreadable { table: "billing_terms", reason: error.to_string() })?;
        let terms = serde_json::from_str(&document)
            .map_err(|source| DatabaseError::Document { table: "billing_terms", source })?;
        Ok((tenant, terms))
    };
    rows.into_iter().map(decode).collect()
}
