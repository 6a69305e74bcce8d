//! Deciding about an issued invoice: its state is read under the journal's lock, so that two payments at once see each other,
//! the domain decides, and the decision is recorded in the same transaction.

use super::invoice::decode;
use super::reading;
use crate::context::Context;
use axum::http::HeaderMap;
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use talea_domain::credit::give_back_all;
use talea_domain::credit_note::CreditNoteError;
use talea_domain::id::{InvoiceId, TenantId};
use talea_domain::invoice::{
    Invoice, InvoiceCommand, InvoiceStage, InvoiceState, Payment, StateError, Voided, check_reissue,
};
use talea_domain::journal::JournalEvent;
use talea_domain::money::Money;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::credits;
use talea_platform::http::{Caller, IdempotentRequest, Problem};
use talea_platform::journal::{self, AppendError, Decision};
use talea_platform::postgres::Tx;
use talea_platform::receivables;

/// What became of an issued invoice.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct InvoiceBalance {
    pub invoice_id: InvoiceId,
    pub tenant_id: TenantId,
    pub payment_state: InvoiceStage,
    pub total: Money,
    /// By payments, by open credit and by what was paid ahead.
    pub amount_paid: Money,
    /// What of it prepaid credits paid.
    pub amount_prepaid: Money,
    /// By credit notes.
    pub amount_credited: Money,
    pub amount_open: Money,
    pub due_date: Option<chrono::NaiveDate>,
    /// What becomes of what it billed, where it is voided: `owed` again until it is `reissued`, or `forgiven`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voided: Option<Voided>,
    /// In the order in which they were received.
    pub payments: Vec<Payment>,
}

impl From<InvoiceState> for InvoiceBalance {
    fn from(state: InvoiceState) -> Self {
        Self {
            invoice_id: state.invoice,
            tenant_id: state.tenant,
            payment_state: state.stage,
            total: state.total,
            amount_paid: state.paid,
            amount_prepaid: state.prepaid,
            amount_credited: state.credited,
            amount_open: state.open,
            due_date: state.due_date,
            voided: state.voided,
            payments: state.payments,
        }
    }
}

/// A request that its `Idempotency-Key` makes one, however often it is sent.
pub(super) fn request<'r, B>(
    context: &'r Context,
    caller: &'r Caller,
    headers: &'r HeaderMap,
    route: &'static str,
    body: &'r B,
) -> IdempotentRequest<'r, B> {
    IdempotentRequest { app: &context.platform.databases.app, caller, headers, route, body, now: context.now() }
}

/// A transaction in which nobody else decides.
pub(super) struct Deciding {
    pub tx: Tx,
    pub state: InvoiceState,
    /// The tenant's open credit in the invoice's currency.
    pub available: Money,
    pub now: DateTime<Utc>,
    /// Taken from the series that was asked for.
    pub number: u64,
}

/// Begins a decision. What was paid is for the issuer to say: a key that is bound to a tenant may not. `series` takes a
/// number; it goes back with the transaction.
pub(super) async fn begin(
    context: &Context,
    caller: &Caller,
    id: &InvoiceId,
    series: Option<&str>,
) -> Result<Deciding, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let mut tx = reading(context, caller, None).await?;
    let tenant: Option<String> = sqlx::query_scalar("SELECT tenant_id FROM invoices WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    drop(tx);
    let tenant = TenantId::parse(&tenant.ok_or_else(Problem::not_found)?).map_err(Problem::internal)?;
    let mut tx = context.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let number = match series {
        Some(series) => journal::take_numbers(&mut tx, series, 1).await.map_err(Problem::internal)?,
        None => 0,
    };
    lock(&mut tx).await?;
    let state = receivables::state(&mut tx, id).await.map_err(Problem::internal)?;
    let state = state.ok_or_else(|| refused(StateError::NotIssued))?;
    let available =
        receivables::open_credit(&mut tx, &tenant, state.total.currency).await.map_err(Problem::internal)?;
    let number = u64::try_from(number).map_err(Problem::internal)?;
    Ok(Deciding { tx, state, available, now: context.now().trunc_subsecs(6), number })
}

/// Nobody else decides from here to the end of the transaction.
pub(super) async fn lock(tx: &mut Tx) -> Result<(), Problem> {
    sqlx::query("SELECT position FROM journal_head FOR UPDATE").execute(&mut **tx).await.map_err(Problem::internal)?;
    Ok(())
}

impl Deciding {
    /// Decides and records, and with `once` never again under this name; what wallets paid is given back with it. Answers the
    /// event, where it is new, and the state after it: what is recorded already is answered as it stands.
    pub async fn record(
        mut self,
        context: &Context,
        caller: &Caller,
        command: &InvoiceCommand,
        once: Option<String>,
    ) -> Result<(Option<JournalEvent>, InvoiceState), Problem> {
        let event = match self.state.decide(command, self.now) {
            Err(StateError::Repeated { .. } | StateError::DoneAlready) => return Ok((None, self.state)),
            decided => decided.map_err(refused)?,
        };
        if let JournalEvent::InvoiceVoided(voided) = &event
            && voided.reissue == Some(true)
        {
            check_reissue(&issued(&mut self.tx, &self.state.invoice).await?).map_err(refused)?;
        }
        let decision = |event, expected_version, idempotency_key| Decision {
            tenant: TenantScope::from(&self.state.tenant),
            expected_version,
            event,
            effective_at: self.now,
            recorded_at: self.now,
            actor: caller.actor(),
            idempotency_key,
        };
        let mut decisions = vec![decision(event.clone(), None, once)];
        for (event, version) in give_back(&mut self.tx, &self.state.invoice, &event, self.now).await? {
            decisions.push(decision(event, Some(version), None));
        }
        let state = self.state.evolve(&event).map_err(Problem::internal)?;
        append_all(&mut self.tx, decisions).await?;
        self.tx.commit().await.map_err(Problem::internal)?;
        context.recorded.notify_one();
        Ok((Some(event), state))
    }
}

/// What was recorded under this name before.
pub(super) async fn recorded(tx: &mut Tx, tenant: &TenantId, once: &str) -> Result<Option<JournalEvent>, Problem> {
    let row: Option<(String, String)> =
        sqlx::query_as("SELECT type, payload::text FROM journal WHERE tenant_id = $1 AND idempotency_key = $2")
            .bind(tenant.as_str())
            .bind(once)
            .fetch_optional(&mut **tx)
            .await
            .map_err(Problem::internal)?;
    row.map(|(kind, payload)| JournalEvent::decode(&kind, &payload).map_err(Problem::internal)).transpose()
}

async fn issued(tx: &mut Tx, invoice: &InvoiceId) -> Result<Invoice, Problem> {
    let document: Option<String> = sqlx::query_scalar("SELECT document FROM invoices WHERE id = $1")
        .bind(invoice.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(Problem::internal)?;
    decode(&document.ok_or_else(Problem::not_found)?)
}

/// What wallets get back by a void or a credit note, each decision with the version that it expects of its wallet's stream.
async fn give_back(
    tx: &mut Tx,
    invoice: &InvoiceId,
    event: &JournalEvent,
    at: DateTime<Utc>,
) -> Result<Vec<(JournalEvent, i64)>, Problem> {
    let amount = match event {
        JournalEvent::InvoiceVoided(it) => it.prepaid_returned,
        JournalEvent::CreditNoteIssued(it) => it.prepaid_returned,
        _ => None,
    };
    let Some(amount) = amount else { return Ok(Vec::new()) };
    let invoice = issued(tx, invoice).await?;
    let wallets = credits::of_tenants(tx, &[invoice.tenant.as_str()]).await.map_err(Problem::internal)?;
    let movements = credits::movements(tx, &invoice.tenant, &invoice.id).await.map_err(Problem::internal)?;
    let (mut states, mut versions): (Vec<_>, Vec<_>) = wallets.into_iter().map(|it| (it.state, it.version)).unzip();
    let events = give_back_all(&mut states, &invoice, &movements, amount, at).map_err(Problem::internal)?;
    let mut decided = Vec::with_capacity(events.len());
    for event in events {
        let stream = event.stream();
        if let Some(place) = states.iter().position(|state| state.wallet.id.as_str() == stream.id) {
            decided.push((event, versions[place]));
            versions[place] += 1;
        }
    }
    Ok(decided)
}

pub(super) async fn append(tx: &mut Tx, decision: Decision) -> Result<(), Problem> {
    append_all(tx, vec![decision]).await
}

async fn append_all(tx: &mut Tx, decisions: Vec<Decision>) -> Result<(), Problem> {
    match journal::append(tx, decisions).await {
        Ok(_) => Ok(()),
        Err(error @ (AppendError::Conflict { .. } | AppendError::AlreadyRecorded(_))) => {
            Err(Problem::conflict(error.to_string()))
        }
        Err(error) => Err(Problem::internal(error)),
    }
}

/// A refusal of the domain, as a caller is told it.
pub(super) fn refused(error: StateError) -> Problem {
    match error {
        StateError::Field(fault) => fault.into(),
        StateError::Money(error) => Problem::unprocessable(error.to_string()),
        StateError::Currency { .. } | StateError::NotPositive | StateError::TooLarge => {
            Problem::unprocessable(error.to_string())
        }
        StateError::UnknownPayment { .. } => Problem::not_found().with_detail(error.to_string()),
        other => Problem::conflict(other.to_string()),
    }
}

pub(super) fn no_note(error: CreditNoteError) -> Problem {
    match error {
        CreditNoteError::Field(fault) => fault.into(),
        CreditNoteError::Money(_) | CreditNoteError::Period(_) => Problem::unprocessable(error.to_string()),
        other => Problem::conflict(other.to_string()),
    }
}
