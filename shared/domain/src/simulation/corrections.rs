//! What voids and credit notes lead to beside the invoice: prepaid credits and coupons are given back, and what a voided invoice
//! billed is owed again or forgiven.

use super::course::at_command;
use super::run::Simulation;
use crate::error::FieldError;
use crate::id::{InvoiceId, SubscriptionId};
use crate::invoice::{BilledLine, Invoice, Voided, check_reissue};
use crate::journal::JournalEvent;
use crate::money::Money;
use chrono::{DateTime, Utc};
use std::fmt::Display;
use std::sync::Arc;

impl Simulation<'_> {
    /// Takes a decision about an invoice; what else it may be leaves wallets and subscriptions as they are.
    pub fn correct(&mut self, place: usize, event: &JournalEvent, at: DateTime<Utc>) -> Result<(), FieldError> {
        match event {
            JournalEvent::CreditNoteIssued(it) => self.give_back(place, &it.invoice, it.prepaid_returned, at).map(drop),
            JournalEvent::InvoiceVoided(it) => {
                let Some(voided) = self.give_back(place, &it.invoice_id, it.prepaid_returned, at)? else {
                    return Ok(());
                };
                if it.reissue == Some(true) {
                    check_reissue(&voided).map_err(|error| fault(place, &error))?;
                }
                let Some(subscription) = voided.subscription.clone() else { return Ok(()) };
                self.forget(place, &subscription)?;
                let course = self.by_id.get(&subscription).copied();
                if let (Some(index), Some(true)) = (course, it.reissue) {
                    self.courses[index].owed_again.push((voided, at));
                    self.courses[index].schedule()?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn give_back(
        &mut self,
        place: usize,
        invoice: &InvoiceId,
        amount: Option<Money>,
        at: DateTime<Utc>,
    ) -> Result<Option<Arc<Invoice>>, FieldError> {
        let invoice = self.issued.iter().find(|it| it.id == *invoice).cloned();
        if let (Some(invoice), Some(amount)) = (&invoice, amount) {
            if let Some(index) = invoice.subscription.as_ref().and_then(|id| self.by_id.get(id)) {
                self.courses[*index].spend(self.wallets.movements())?;
            }
            self.wallets.give_back(invoice, amount, at).map_err(|error| at_command(place, "", error))?;
        }
        Ok(invoice)
    }

    /// What voided invoices billed counts as not billed, or as forgiven; what they used of coupons is there again.
    fn forget(&mut self, place: usize, subscription: &SubscriptionId) -> Result<(), FieldError> {
        let Some(index) = self.by_id.get(subscription).copied() else { return Ok(()) };
        let course = &mut self.courses[index];
        let lines: usize = self.issued.iter().map(|invoice| 1 + invoice.lines.len()).sum();
        course.spend(lines + self.issued.len())?;
        let all_voided = self.receivables.voided();
        course.lines.clear();
        course.coupons.iter_mut().for_each(|coupon| coupon.redeemed.clear());
        for invoice in self.issued.iter().filter(|it| it.subscription.as_ref() == Some(subscription)) {
            let voided = all_voided.get(&invoice.id).copied();
            if voided.is_none_or(|voided| voided == Voided::Forgiven) {
                let is_forgiven = voided.is_some();
                let lines = BilledLine::of(invoice).map(|line| BilledLine { is_forgiven, ..line });
                course.lines.extend(lines);
            }
            if voided.is_none() {
                course.redeem(invoice).map_err(|error: crate::money::MoneyError| fault(place, &error))?;
            }
        }
        Ok(())
    }
}

fn fault(place: usize, error: &dyn Display) -> FieldError {
    at_command(place, "/void_invoice", error)
}
