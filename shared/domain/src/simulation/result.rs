//! What a simulation answers: `schemas/simulation-result.v1.schema.json`. Same document, same bytes.

use crate::charge::ChargeState;
use crate::credit::{GrantState, LedgerTransaction, TopUpOrder, Units, Wallet};
use crate::credit_note::CreditNote;
use crate::dunning::DunningStepReached;
use crate::id::{MeterKey, TenantId};
use crate::invoice::{Invoice, InvoiceStage, Payment};
use crate::money::{Currency, Money};
use crate::period::Period;
use crate::subscription::Subscription;
use crate::tenant::{StateCause, TenantState};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One view for each `as_of`, in their order. Each is complete: it is what a document with this `as_of` alone gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulationResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub views: Vec<View>,
}

/// Everything as it stands at an instant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    pub as_of: DateTime<Utc>,
    /// In the order of the commands that started them.
    pub subscriptions: Vec<SubscriptionView>,
    /// Issued, in the order of their numbers.
    pub invoices: Vec<Arc<Invoice>>,
    /// What the moments that wait for their grace would be invoiced, by what is known.
    pub drafts: Vec<Invoice>,
    /// One for each currency.
    pub totals: Vec<Totals>,
    /// Usage that is known and that no subscription pays for, each with its reason. Nothing is left out silently.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unbilled_usage: Vec<UnbilledUsage>,
    /// What became of the invoices, in the order of their issue. Of a document that pays, corrects or duns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receivables: Vec<ReceivableView>,
    /// In the order of their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credit_notes: Vec<Arc<CreditNote>>,
    /// What tenants have paid, or were credited, beyond what they owed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_credits: Vec<OpenCredit>,
    /// Suspensions by dunning and their ends, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenant_states: Vec<TenantStateView>,
    /// In the document's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wallets: Vec<WalletView>,
    /// One-off charges, in the order in which they were added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<ChargeState>,
}

/// A wallet, and how it came to what it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WalletView {
    pub wallet: Wallet,
    /// What can be spent now.
    pub balance: Units,
    /// In the order in which they were granted, with what is left of each.
    pub grants: Vec<GrantState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_order: Option<TopUpOrder>,
    /// Every movement, in order.
    pub ledger: Vec<LedgerTransaction>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubscriptionView {
    pub subscription: Subscription,
    /// Every billing period that has begun, in order: they tile from the start to the end, or to `as_of`.
    pub periods: Vec<PeriodView>,
    /// The last bill moment that is closed.
    pub billed_until: Option<DateTime<Utc>>,
    /// The next moment, whenever that is; none when everything is billed.
    pub next: Option<NextMoment>,
}

/// One billing period, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeriodView {
    /// As the anchor fixes it.
    pub full: Period,
    /// The part in which the subscription ran.
    pub served: Period,
    pub state: PeriodState,
    /// When its invoice was made final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// By meter of its plan: of a closed period as it was last billed, else as far as it is known.
    pub usage: BTreeMap<MeterKey, Used>,
    /// The sum of all issued lines about it, with credits and adjustments.
    pub billed: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodState {
    /// Runs.
    Open,
    /// Has ended and waits for its grace.
    Waiting,
    /// Is billed.
    Closed,
}

/// A quantity in the meter's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Used(#[serde(with = "crate::money::exact_decimal")] pub Decimal);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NextMoment {
    pub at: DateTime<Utc>,
    /// When its grace is over.
    pub closes_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub currency: Currency,
    /// Issued invoices.
    pub invoices: usize,
    /// The sum of their totals.
    pub invoiced: Money,
    /// The sum of the drafts' totals.
    pub drafted: Money,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnbilledUsage {
    /// JSON pointer into the document.
    pub usage: String,
    pub reason: String,
}

/// An issued invoice as its payments and notes left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceivableView {
    /// Its number.
    pub invoice: String,
    pub tenant: TenantId,
    pub payment_state: InvoiceStage,
    pub total: Money,
    pub amount_paid: Money,
    pub amount_credited: Money,
    pub amount_open: Money,
    pub due_date: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Payment>,
    /// The steps that it reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dunning: Vec<DunningStepReached>,
}

/// A tenant's open credit in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenCredit {
    pub tenant: TenantId,
    pub amount: Money,
}

/// A tenant was suspended, or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantStateView {
    pub tenant: TenantId,
    pub state: TenantState,
    pub cause: StateCause,
    pub at: DateTime<Utc>,
}
