//! What a command leads to: the event to append, or why it is refused. Nothing of the state is changed here.

use super::{InvoiceStage, InvoiceState, Payment, Voided};
use crate::credit_note::CreditNote;
use crate::error::FieldError;
use crate::invoice::settlement::{
    InvoiceVoided, MarkedUncollectible, PaymentRecorded, PaymentReversed, PaymentSource, check_text,
};
use crate::invoice::{Invoice, LineKind};
use crate::journal::JournalEvent;
use crate::money::{Currency, Money, MoneyError};
use chrono::{DateTime, Utc};

/// An amount of this many minor units is a mistake, and sums of smaller ones fit 64 bits.
pub(super) const MAX_PAYMENT_MINOR: i64 = 1_000_000_000_000_000;

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
    },
    /// Take it back: with `reissue`, what it billed is owed again; without, it is never asked for again.
    Void {
        reason: String,
        reissue: bool,
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
    #[error("money was paid or a credit note issued; reverse the payments first, or correct it by a credit note")]
    NotUntouched,
    #[error(
        "it holds one-off charges, which are not issued anew; void it without reissue, and record the charges again"
    )]
    HoldsCharges,
    #[error("this is recorded already; nothing needs to be sent again")]
    DoneAlready,
    #[error("nothing is open; read the invoice's state again")]
    NothingOpen,
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
    #[error("{asked} are more than what is open or what the tenant has as credit, {available}; settle at most that")]
    CreditShort { asked: Money, available: Money },
}

/// Whether what a void leaves owed can be billed anew: one-off charges stand on one invoice alone.
pub fn check_reissue(invoice: &Invoice) -> Result<(), StateError> {
    match invoice.subscription.is_none() || invoice.lines.iter().any(|line| line.kind == LineKind::OneOff) {
        true => Err(StateError::HoldsCharges),
        false => Ok(()),
    }
}

impl InvoiceState {
    /// What a command leads to at `at`. An answer is an event to append; an error changes nothing.
    pub fn decide(&self, command: &InvoiceCommand, at: DateTime<Utc>) -> Result<JournalEvent, StateError> {
        match self.stage {
            InvoiceStage::Draft => return Err(StateError::NotIssued),
            InvoiceStage::Voided => return Err(self.after_void(command)),
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
            InvoiceCommand::ReversePayment { reference, reason } => {
                Ok(JournalEvent::PaymentReversed(self.reversed(reference, reason, at)?))
            }
            InvoiceCommand::Void { reason, reissue } => {
                self.void(reason, *reissue, at).map(JournalEvent::InvoiceVoided)
            }
            InvoiceCommand::MarkUncollectible { reason } => {
                self.write_off(reason, at).map(JournalEvent::MarkedUncollectible)
            }
            InvoiceCommand::IssueCreditNote(note) => Ok(JournalEvent::CreditNoteIssued(self.credited(note)?)),
        }
    }

    /// What is open is given up first, then money goes back, and what wallets paid at last: it paid first, when the invoice
    /// was issued.
    fn credited(&self, note: &CreditNote) -> Result<CreditNote, MoneyError> {
        let currency = note.total.currency;
        let reduces_open = Money::new(note.total.minor.min(self.open.minor), currency);
        let rest = note.total.checked_sub(reduces_open)?;
        let credit_owed = Money::new(rest.minor.min(self.paid_in_money()?.minor), currency);
        let returned = rest.checked_sub(credit_owed)?;
        let prepaid_returned = (!returned.is_zero()).then_some(returned);
        Ok(CreditNote { reduces_open, credit_owed, prepaid_returned, ..note.clone() })
    }

    /// What is voided answers the same void again, and nothing else.
    fn after_void(&self, command: &InvoiceCommand) -> StateError {
        match command {
            InvoiceCommand::Void { reissue, .. }
                if self.voided.is_none_or(|voided| *reissue != (voided == Voided::Forgiven)) =>
            {
                StateError::DoneAlready
            }
            _ => StateError::Voided,
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
        if most.minor <= 0 {
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

    /// The part that had become open credit is taken from there, also where it is spent: what is missing then is a balance
    /// below zero, which the tenant owes. The rest opens the invoice again, and what a credit note had moved from paid to
    /// credit in the meantime is taken from credit too. What wallets paid stays paid.
    fn reversed(&self, reference: &str, reason: &str, at: DateTime<Utc>) -> Result<PaymentReversed, StateError> {
        check_text("/reason", reason)?;
        let reference = reference.to_owned();
        let Some(payment) = self.payment(&reference) else {
            return Err(StateError::UnknownPayment { reference });
        };
        if payment.reversed_at.is_some() {
            return Err(StateError::DoneAlready);
        }
        let reopened = Money::new(payment.applied.minor.min(self.paid_in_money()?.minor), self.total.currency);
        let from_credit = payment.amount.checked_sub(reopened)?;
        let given_back = match payment.source {
            PaymentSource::OpenCredit => payment.amount,
            PaymentSource::External => Money::zero(self.total.currency),
        };
        Ok(PaymentReversed {
            tenant_id: self.tenant.clone(),
            invoice_id: self.invoice.clone(),
            reference,
            amount: payment.amount,
            reopened,
            credit_change: given_back.checked_sub(from_credit)?,
            reason: reason.to_owned(),
            reversed_at: at,
        })
    }

    /// What wallets paid goes back to them with it.
    fn void(&self, reason: &str, reissue: bool, at: DateTime<Utc>) -> Result<InvoiceVoided, StateError> {
        check_text("/reason", reason)?;
        let paid_in = self.payments.iter().any(|payment| payment.reversed_at.is_none());
        if !self.paid_in_money()?.is_zero() || !self.credited.is_zero() || paid_in {
            return Err(StateError::NotUntouched);
        }
        Ok(InvoiceVoided {
            tenant_id: self.tenant.clone(),
            invoice_id: self.invoice.clone(),
            reason: reason.to_owned(),
            reissue: Some(reissue),
            prepaid_returned: (!self.prepaid.is_zero()).then_some(self.prepaid),
            voided_at: at,
        })
    }

    fn write_off(&self, reason: &str, at: DateTime<Utc>) -> Result<MarkedUncollectible, StateError> {
        check_text("/reason", reason)?;
        if self.stage == InvoiceStage::Uncollectible {
            return Err(StateError::DoneAlready);
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
