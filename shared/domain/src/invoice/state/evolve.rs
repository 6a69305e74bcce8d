//! The state after an event. What was decided is taken as it stands; nothing is judged here.

use super::{InvoiceStage, InvoiceState, Payment, Voided};
use crate::credit_note::CreditNote;
use crate::invoice::settlement::{InvoiceVoided, PaymentRecorded, PaymentReversed};
use crate::journal::JournalEvent;
use crate::money::{Money, MoneyError};

impl InvoiceState {
    /// The state after an event. An event of something else changes nothing.
    pub fn evolve(self, event: &JournalEvent) -> Result<Self, MoneyError> {
        match event {
            JournalEvent::PaymentRecorded(it) if it.invoice_id == self.invoice => self.take_payment(it),
            JournalEvent::PaymentReversed(it) if it.invoice_id == self.invoice => self.take_reversal(it),
            JournalEvent::CreditNoteIssued(it) if it.invoice == self.invoice => self.take_note(it),
            JournalEvent::InvoiceVoided(it) if it.invoice_id == self.invoice => Ok(self.take_void(it)),
            JournalEvent::PeriodClosed(it) if it.replaces.as_ref() == Some(&self.invoice) => {
                Ok(Self { voided: Some(Voided::Reissued), ..self })
            }
            JournalEvent::MarkedUncollectible(it) if it.invoice_id == self.invoice => {
                Ok(Self { stage: InvoiceStage::Uncollectible, ..self })
            }
            _ => Ok(self),
        }
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
        let reopens = self.open.is_zero() && !open.is_zero();
        let open_since = if reopens { it.reversed_at } else { self.open_since };
        let round = self.round.saturating_add(reopens.into());
        Ok(Self { open, paid, payments, open_since, round, ..self }.restaged())
    }

    /// Nothing of it is asked for or paid any more. What was voided before re-issues were known bills nothing anew by itself.
    fn take_void(self, it: &InvoiceVoided) -> Self {
        let zero = Money::zero(self.total.currency);
        let voided = it.reissue.map(|reissue| if reissue { Voided::Owed } else { Voided::Forgiven });
        Self { stage: InvoiceStage::Voided, open: zero, paid: zero, prepaid: zero, voided, ..self }
    }

    fn take_note(self, it: &CreditNote) -> Result<Self, MoneyError> {
        let open = self.open.checked_sub(it.reduces_open)?;
        let returned = it.prepaid_returned.unwrap_or(Money::zero(self.total.currency));
        let paid = self.paid.checked_sub(it.credit_owed)?.checked_sub(returned)?;
        let prepaid = self.prepaid.checked_sub(returned)?;
        let credited = self.credited.checked_add(it.total)?;
        Ok(Self { open, paid, prepaid, credited, ..self }.restaged())
    }

    fn restaged(self) -> Self {
        let written_off = self.stage == InvoiceStage::Uncollectible && !self.open.is_zero();
        let stage = if written_off { InvoiceStage::Uncollectible } else { self.settled_stage() };
        Self { stage, ..self }
    }
}
