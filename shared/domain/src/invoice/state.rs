//! What became of an invoice after it was issued: paid, credited, voided, written off. The document itself never changes;
//! this state stands beside it and follows from the journal alone.
//!
//! [`InvoiceState::decide`] says what a command leads to, [`InvoiceState::evolve`] consumes the old state. At any time
//! `open + paid + credited = total`, and nothing of it is below zero, but for an invoice that is itself a credit.

use super::settlement::{
    InvoiceVoided, MarkedUncollectible, PaymentRecorded, PaymentReversed, PaymentSource, check_text,
};
use super::{Invoice, InvoiceStatus};
use crate::credit_note::CreditNote;
use crate::error::FieldError;
use crate::id::{InvoiceId, TenantId};
use crate::journal::JournalEvent;
use crate::money::{Currency, Money, MoneyError};
use crate::period::TimeZone;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// An amount of this many minor units is a mistake, and sums of smaller ones fit 64 bits.
const MAX_PAYMENT_MINOR: i64 = 1_000_000_000_000_000;

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
    /// Taken back before anything was paid. Its number stays used.
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
    /// By credit notes.
    pub credited: Money,
    /// Still to be paid.
    pub open: Money,
    pub due_date: Option<NaiveDate>,
    pub zone: TimeZone,
    /// When it last became open: its issue, or the reversal of a payment that had settled it.
    pub open_since: DateTime<Utc>,
    pub payments: Vec<Payment>,
}

/// What may be asked of an invoice.
#[derive(Debug, Clone)]
pub enum InvoiceCommand {
    /// Money came from outside.
    RecordPayment {
        reference: String,
        amount: Money,
        received_at: DateTime<Utc>,
        method: Option<String>,
    },
    /// Settle it with the tenant's open credit: with `amount`, else as far as both go.
    SettleFromCredit {
        reference: String,
        amount: Option<Money>,
        available: Money,
    },
    /// A payment was taken back, for example by a chargeback.
    ReversePayment {
        reference: String,
        reason: String,
        available: Money,
    },
    Void {
        reason: String,
    },
    MarkUncollectible {
        reason: String,
    },
    /// A note as [`crate::credit_note::draft`] made it.
    IssueCreditNote(Box<CreditNote>),
}

/// Why a command is refused. The state stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("the invoice is a draft; finalise it first")]
    NotIssued,
    #[error("the invoice is voided; nothing can be recorded about it any more, name the invoice that took its place")]
    Voided,
    #[error("something was paid or credited already; reverse the payments first, or correct it by a credit note")]
    NotUntouched,
    #[error("nothing is open; read the invoice's state again")]
    NothingOpen,
    #[error("the invoice is written off already; a payment can still be recorded")]
    WrittenOff,
    #[error("the amount is in {given}, the invoice in {expected}; send it in the invoice's currency")]
    Currency { expected: Currency, given: Currency },
    #[error("the amount is not above zero; send what was paid, or reverse a payment")]
    NotPositive,
    #[error("the amount has more than 15 digits of minor units; check it, or record it in parts")]
    TooLarge,
    #[error("payment {reference} is recorded with these values already; nothing needs to be sent again")]
    Repeated { reference: String },
    #[error("payment {reference} is recorded with other values; give each payment its own reference")]
    ReferenceTaken { reference: String },
    #[error("the invoice has no payment {reference}; check the reference")]
    UnknownPayment { reference: String },
    #[error("payment {reference} is reversed already; record what comes again under a new reference")]
    ReversedAlready { reference: String },
    #[error(
        "{needed} of it stand in open credit, of which {available} are left; reverse what was settled with it first"
    )]
    CreditSpent { needed: Money, available: Money },
    #[error("{asked} are more than what is open or what the tenant has as credit, {available}; settle at most that")]
    CreditShort { asked: Money, available: Money },
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
            credited: zero,
            open,
            due_date: invoice.due_date,
            zone: invoice.zone,
            open_since: invoice.finalized_at.unwrap_or(invoice.billed_at),
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
        sum == Ok(whole) && self.open.minor >= 0 && self.credited.minor >= 0 && paid_is_sound && closed
    }

    /// What a command leads to at `at`. An answer is an event to append; an error changes nothing.
    pub fn decide(&self, command: &InvoiceCommand, at: DateTime<Utc>) -> Result<JournalEvent, StateError> {
        match self.stage {
            InvoiceStage::Draft => return Err(StateError::NotIssued),
            InvoiceStage::Voided => return Err(StateError::Voided),
            InvoiceStage::Finalized
            | InvoiceStage::PartiallyPaid
            | InvoiceStage::Paid
            | InvoiceStage::Uncollectible => {}
        }
        match command {
            InvoiceCommand::RecordPayment { reference, amount, received_at, method } => {
                let payment = self.received(reference, *amount, *received_at, method.as_deref(), at)?;
                Ok(JournalEvent::PaymentRecorded(payment))
            }
            InvoiceCommand::SettleFromCredit { reference, amount, available } => {
                Ok(JournalEvent::PaymentRecorded(self.settled(reference, *amount, *available, at)?))
            }
            InvoiceCommand::ReversePayment { reference, reason, available } => {
                Ok(JournalEvent::PaymentReversed(self.reversed(reference, reason, *available, at)?))
            }
            InvoiceCommand::Void { reason } => self.void(reason, at).map(JournalEvent::InvoiceVoided),
            InvoiceCommand::MarkUncollectible { reason } => {
                self.write_off(reason, at).map(JournalEvent::MarkedUncollectible)
            }
            InvoiceCommand::IssueCreditNote(note) => {
                let reduces_open = Money::new(note.total.minor.min(self.open.minor), note.total.currency);
                let credit_owed = note.total.checked_sub(reduces_open)?;
                Ok(JournalEvent::CreditNoteIssued(CreditNote { reduces_open, credit_owed, ..note.as_ref().clone() }))
            }
        }
    }

    /// The state after an event. An event of something else changes nothing.
    pub fn evolve(self, event: &JournalEvent) -> Result<Self, MoneyError> {
        match event {
            JournalEvent::PaymentRecorded(it) if it.invoice_id == self.invoice => self.take_payment(it),
            JournalEvent::PaymentReversed(it) if it.invoice_id == self.invoice => self.take_reversal(it),
            JournalEvent::CreditNoteIssued(it) if it.invoice == self.invoice => self.take_note(it),
            JournalEvent::InvoiceVoided(it) if it.invoice_id == self.invoice => {
                let zero = Money::zero(self.total.currency);
                Ok(Self { stage: InvoiceStage::Voided, open: zero, ..self })
            }
            JournalEvent::MarkedUncollectible(it) if it.invoice_id == self.invoice => {
                Ok(Self { stage: InvoiceStage::Uncollectible, ..self })
            }
            _ => Ok(self),
        }
    }

    fn received(
        &self,
        reference: &str,
        amount: Money,
        received_at: DateTime<Utc>,
        method: Option<&str>,
        at: DateTime<Utc>,
    ) -> Result<PaymentRecorded, StateError> {
        self.check_amount(amount)?;
        check_text("/reference", reference)?;
        method.map_or(Ok(()), |method| check_text("/method", method))?;
        if let Some(known) = self.payment(reference) {
            let same = known.amount == amount && known.source == PaymentSource::External;
            let reference = reference.to_owned();
            if known.reversed_at.is_some() {
                return Err(StateError::ReversedAlready { reference });
            }
            return Err(if same {
                StateError::Repeated { reference }
            } else {
                StateError::ReferenceTaken { reference }
            });
        }
        let applied = Money::new(amount.minor.min(self.open.minor), amount.currency);
        Ok(PaymentRecorded {
            tenant_id: self.tenant.clone(),
            invoice_id: self.invoice.clone(),
            reference: reference.to_owned(),
            source: PaymentSource::External,
            amount,
            applied,
            credit_change: amount.checked_sub(applied)?,
            received_at,
            method: method.map(str::to_owned),
            recorded_at: at,
        })
    }

    fn settled(
        &self,
        reference: &str,
        asked: Option<Money>,
        available: Money,
        at: DateTime<Utc>,
    ) -> Result<PaymentRecorded, StateError> {
        check_text("/reference", reference)?;
        let currency = self.total.currency;
        let most = Money::new(self.open.minor.min(available.minor), currency);
        if let Some(known) = self.payment(reference) {
            let same = known.source == PaymentSource::OpenCredit && asked.is_none_or(|asked| asked == known.amount);
            let reference = reference.to_owned();
            return Err(if same {
                StateError::Repeated { reference }
            } else {
                StateError::ReferenceTaken { reference }
            });
        }
        if self.open.is_zero() {
            return Err(StateError::NothingOpen);
        }
        let amount = asked.unwrap_or(most);
        if amount.is_zero() {
            return Err(StateError::CreditShort { asked: self.open, available });
        }
        self.check_amount(amount)?;
        if amount.minor > most.minor {
            return Err(StateError::CreditShort { asked: amount, available: most });
        }
        Ok(PaymentRecorded {
            tenant_id: self.tenant.clone(),
            invoice_id: self.invoice.clone(),
            reference: reference.to_owned(),
            source: PaymentSource::OpenCredit,
            amount,
            applied: amount,
            credit_change: amount.checked_neg()?,
            received_at: at,
            method: None,
            recorded_at: at,
        })
    }

    /// The part that had become open credit is taken from there; the rest opens the invoice again, and what a credit note
    /// had moved from paid to credit in the meantime is taken from credit too.
    fn reversed(
        &self,
        reference: &str,
        reason: &str,
        available: Money,
        at: DateTime<Utc>,
    ) -> Result<PaymentReversed, StateError> {
        check_text("/reason", reason)?;
        let reference = reference.to_owned();
        let Some(payment) = self.payment(&reference) else {
            return Err(StateError::UnknownPayment { reference });
        };
        if payment.reversed_at.is_some() {
            return Err(StateError::ReversedAlready { reference });
        }
        let reopened = Money::new(payment.applied.minor.min(self.paid.minor), self.total.currency);
        let from_credit = payment.amount.checked_sub(reopened)?;
        let given_back = match payment.source {
            PaymentSource::OpenCredit => payment.amount,
            PaymentSource::External => Money::zero(self.total.currency),
        };
        let credit_change = given_back.checked_sub(from_credit)?;
        if available.checked_add(credit_change)?.minor < 0 {
            return Err(StateError::CreditSpent { needed: from_credit, available });
        }
        Ok(PaymentReversed {
            tenant_id: self.tenant.clone(),
            invoice_id: self.invoice.clone(),
            reference,
            amount: payment.amount,
            reopened,
            credit_change,
            reason: reason.to_owned(),
            reversed_at: at,
        })
    }

    fn void(&self, reason: &str, at: DateTime<Utc>) -> Result<InvoiceVoided, StateError> {
        check_text("/reason", reason)?;
        let paid_in = self.payments.iter().any(|payment| payment.reversed_at.is_none());
        if !self.paid.is_zero() || !self.credited.is_zero() || paid_in {
            return Err(StateError::NotUntouched);
        }
        Ok(InvoiceVoided {
            tenant_id: self.tenant.clone(),
            invoice_id: self.invoice.clone(),
            reason: reason.to_owned(),
            voided_at: at,
        })
    }

    fn write_off(&self, reason: &str, at: DateTime<Utc>) -> Result<MarkedUncollectible, StateError> {
        check_text("/reason", reason)?;
        if self.stage == InvoiceStage::Uncollectible {
            return Err(StateError::WrittenOff);
        }
        if self.open.is_zero() {
            return Err(StateError::NothingOpen);
        }
        Ok(MarkedUncollectible {
            tenant_id: self.tenant.clone(),
            invoice_id: self.invoice.clone(),
            amount: self.open,
            reason: reason.to_owned(),
            marked_at: at,
        })
    }

    fn take_payment(self, it: &PaymentRecorded) -> Result<Self, MoneyError> {
        let mut payments = self.payments.clone();
        payments.push(Payment {
            reference: it.reference.clone(),
            source: it.source,
            amount: it.amount,
            applied: it.applied,
            received_at: it.received_at,
            method: it.method.clone(),
            reversed_at: None,
        });
        let (open, paid) = (self.open.checked_sub(it.applied)?, self.paid.checked_add(it.applied)?);
        Ok(Self { open, paid, payments, ..self }.restaged())
    }

    fn take_reversal(self, it: &PaymentReversed) -> Result<Self, MoneyError> {
        let mut payments = self.payments.clone();
        for payment in payments.iter_mut().filter(|payment| payment.reference == it.reference) {
            payment.reversed_at = Some(it.reversed_at);
        }
        let (open, paid) = (self.open.checked_add(it.reopened)?, self.paid.checked_sub(it.reopened)?);
        let open_since = if self.open.is_zero() && !open.is_zero() { it.reversed_at } else { self.open_since };
        Ok(Self { open, paid, payments, open_since, ..self }.restaged())
    }

    fn take_note(self, it: &CreditNote) -> Result<Self, MoneyError> {
        let open = self.open.checked_sub(it.reduces_open)?;
        let paid = self.paid.checked_sub(it.credit_owed)?;
        let credited = self.credited.checked_add(it.total)?;
        Ok(Self { open, paid, credited, ..self }.restaged())
    }

    fn restaged(self) -> Self {
        let written_off = self.stage == InvoiceStage::Uncollectible && !self.open.is_zero();
        let stage = if written_off { InvoiceStage::Uncollectible } else { self.settled_stage() };
        Self { stage, ..self }
    }

    fn settled_stage(&self) -> InvoiceStage {
        match (self.open.minor, self.paid.minor) {
            (0, _) => InvoiceStage::Paid,
            (_, 0) => InvoiceStage::Finalized,
            _ => InvoiceStage::PartiallyPaid,
        }
    }

    fn payment(&self, reference: &str) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.reference == reference)
    }

    fn check_amount(&self, amount: Money) -> Result<(), StateError> {
        if amount.currency != self.total.currency {
            return Err(StateError::Currency { expected: self.total.currency, given: amount.currency });
        }
        match amount.minor {
            ..=0 => Err(StateError::NotPositive),
            MAX_PAYMENT_MINOR.. => Err(StateError::TooLarge),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
