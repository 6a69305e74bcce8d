//! What became of an invoice after it was issued: paid, credited, voided, written off. The document itself never changes;
//! this state stands beside it and follows from the journal alone.
//!
//! [`InvoiceState::decide`] says what a command leads to, [`InvoiceState::evolve`] consumes the old state. At any time
//! `open + paid + credited = total`, and nothing of it is below zero, but for an invoice that is itself a credit. Of what is
//! paid, `prepaid` came from wallets: it goes back there and never becomes money.

mod decide;
mod evolve;

pub use decide::{InvoiceCommand, StateError, check_reissue};

use super::settlement::PaymentSource;
use super::{Invoice, InvoiceStatus};
use crate::id::{InvoiceId, TenantId};
use crate::money::{Money, MoneyError};
use crate::period::TimeZone;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Where an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStage {
    /// Not issued.
    Draft,
    /// Issued, and nothing of it is paid.
    Finalized,
    PartiallyPaid,
    /// Nothing is open: paid, credited, or nothing to pay from the beginning.
    Paid,
    /// Taken back before any money was paid. Its number stays used.
    Voided,
    /// Written off. What is paid later is still taken.
    Uncollectible,
}

impl InvoiceStage {
    pub const ALL: [Self; 6] =
        [Self::Draft, Self::Finalized, Self::PartiallyPaid, Self::Paid, Self::Voided, Self::Uncollectible];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Finalized => "finalized",
            Self::PartiallyPaid => "partially_paid",
            Self::Paid => "paid",
            Self::Voided => "voided",
            Self::Uncollectible => "uncollectible",
        }
    }

    /// The stage of this name, where there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Whether its open amount is asked for, so that it can be overdue.
    pub fn is_asked_for(self) -> bool {
        matches!(self, Self::Finalized | Self::PartiallyPaid)
    }
}

/// One payment of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The payer's or processor's own; unique among the payments of an invoice.
    pub reference: String,
    pub source: PaymentSource,
    pub amount: Money,
    /// What of it paid the invoice; the rest became open credit.
    pub applied: Money,
    pub received_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversed_at: Option<DateTime<Utc>>,
}

/// An invoice after its issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceState {
    pub tenant: TenantId,
    pub invoice: InvoiceId,
    pub stage: InvoiceStage,
    pub total: Money,
    /// By payments, by open credit and by what was paid before it was issued.
    pub paid: Money,
    /// What of it prepaid credits paid.
    pub prepaid: Money,
    /// By credit notes.
    pub credited: Money,
    /// Still to be paid.
    pub open: Money,
    pub due_date: Option<NaiveDate>,
    pub zone: TimeZone,
    /// When it last became open: its issue, or the reversal of a payment that had settled it.
    pub open_since: DateTime<Utc>,
    /// How often it was settled and became open again: dunning begins anew each time.
    pub round: u32,
    /// What becomes of what a voided invoice billed; none before it is voided.
    pub voided: Option<Voided>,
    pub payments: Vec<Payment>,
}

/// What becomes of what a voided invoice billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Voided {
    /// It is owed again: the next billing run issues what takes its place.
    Owed,
    /// It was billed anew, as far as it was still owed.
    Reissued,
    /// It is never asked for again.
    Forgiven,
}

impl Voided {
    pub const ALL: [Self; 3] = [Self::Owed, Self::Reissued, Self::Forgiven];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::Reissued => "reissued",
            Self::Forgiven => "forgiven",
        }
    }

    /// The outcome of this name, where there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|voided| voided.as_str() == text)
    }
}

impl InvoiceState {
    /// The state in which an invoice begins. A total of zero is paid at once; one below zero is paid to the tenant as open
    /// credit. What prepaid credits pay is paid from the beginning.
    pub fn of(invoice: &Invoice) -> Result<Self, MoneyError> {
        let zero = Money::zero(invoice.currency);
        let total = invoice.total;
        let open = if total.minor > 0 { invoice.amount_due() } else { zero };
        let paid = total.checked_sub(open)?;
        let draft = invoice.status == InvoiceStatus::Draft;
        let state = Self {
            tenant: invoice.tenant.clone(),
            invoice: invoice.id.clone(),
            stage: InvoiceStage::Draft,
            total,
            paid,
            prepaid: Money::sum(invoice.currency, invoice.credits.iter().map(|credit| credit.amount))?,
            credited: zero,
            open,
            due_date: invoice.due_date,
            zone: invoice.zone,
            open_since: invoice.finalized_at.unwrap_or(invoice.billed_at),
            round: 0,
            voided: None,
            payments: Vec::new(),
        };
        Ok(Self { stage: if draft { InvoiceStage::Draft } else { state.settled_stage() }, ..state })
    }

    /// What must hold at any time.
    pub fn adds_up(&self) -> bool {
        let parts = [self.open, self.paid, self.credited];
        let sum = Money::sum(self.total.currency, parts);
        let whole = if self.stage == InvoiceStage::Voided { Money::zero(self.total.currency) } else { self.total };
        let paid_is_sound = if self.total.minor < 0 { self.paid == self.total } else { self.paid.minor >= 0 };
        let closed = self.stage != InvoiceStage::Paid || self.open.is_zero();
        let prepaid_is_sound = self.prepaid.minor >= 0 && self.prepaid.minor <= self.paid.minor.max(0);
        sum == Ok(whole)
            && self.open.minor >= 0
            && self.credited.minor >= 0
            && paid_is_sound
            && prepaid_is_sound
            && closed
    }

    /// What of it was paid with money, or with open credit, which is money.
    pub(super) fn paid_in_money(&self) -> Result<Money, MoneyError> {
        self.paid.checked_sub(self.prepaid)
    }

    fn settled_stage(&self) -> InvoiceStage {
        match (self.open.minor, self.paid.minor) {
            (0, _) => InvoiceStage::Paid,
            (_, 0) => InvoiceStage::Finalized,
            _ => InvoiceStage::PartiallyPaid,
        }
    }
}

#[cfg(test)]
mod tests;
