//! One-off charges of a simulation: added, withdrawn, and taken by the next invoice or by one of their own.

use super::course::{Course, at_command};
use super::document::{AddChargesInput, WithdrawChargeInput};
use super::run::Simulation;
use super::work::{Exhausted, Work};
use crate::charge::{Charge, ChargeStage, ChargeState, ChargedTo, MAX_AT_ONCE};
use crate::error::FieldError;
use crate::id::ChargeId;
use crate::invoice::InvoiceSettings;
use crate::invoice::{BillingTerms, Invoice, OneOffInput, assemble_charges, finalize, format_number};
use crate::journal::JournalEvent;
use crate::subscription::{InvoiceTiming, SubscriptionError};
use crate::tax::TaxTerms;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Clone, Default)]
pub(super) struct Charges {
    /// In the order in which they were added.
    list: Vec<ChargeState>,
}

impl Charges {
    /// Those that the next invoice of a subscription takes, if it is the first one that comes.
    pub fn pending_for(&self, course: &Course<'_>, work: &Work) -> Result<Vec<Charge>, Exhausted> {
        work.scan(self.list.len())?;
        let state = &course.state;
        let pending = self.list.iter().filter(|it| it.stage == ChargeStage::Pending).map(|it| &it.charge);
        Ok(pending.filter(|charge| charge.is_for(&state.tenant, &state.id, state.currency)).cloned().collect())
    }

    /// Those that stand on an issued invoice wait no more.
    pub fn issued(&mut self, invoice: &Invoice, at: DateTime<Utc>) {
        let on_it: BTreeSet<&ChargeId> = invoice.charges().collect();
        if on_it.is_empty() {
            return;
        }
        for state in self.list.iter_mut().filter(|state| on_it.contains(&state.charge.id)) {
            if let Ok(event) = state.take(&invoice.id, at) {
                *state = state.clone().evolve(&event);
            }
        }
    }

    pub fn views(&self) -> Vec<ChargeState> {
        self.list.clone()
    }

    fn find(&self, id: &ChargeId) -> Option<usize> {
        self.list.iter().position(|it| it.charge.id == *id)
    }
}

impl Simulation<'_> {
    pub(super) fn add_charges(
        &mut self,
        place: usize,
        now: DateTime<Utc>,
        input: &AddChargesInput,
    ) -> Result<(), FieldError> {
        let charges = self.charges_of(place, now, input)?;
        self.prepared.work.spend(charges.len()).map_err(|error| at_command(place, "/add_charges", error))?;
        match input.invoice {
            InvoiceTiming::Next => self.charges.list.extend(charges.into_iter().map(ChargeState::new)),
            InvoiceTiming::Now => {
                self.charges.list.extend(charges.iter().cloned().map(ChargeState::new));
                self.invoice_now(place, now, input, &charges)?;
            }
        }
        Ok(())
    }

    fn charges_of(&self, place: usize, now: DateTime<Utc>, input: &AddChargesInput) -> Result<Vec<Charge>, FieldError> {
        let field = |below: &str| format!("/timeline/{place}/add_charges{below}");
        let tenant = self.prepared.tenants.get(&input.tenant).ok_or_else(|| {
            let reason = format!("{} is not a tenant of the document", input.tenant);
            FieldError::new(field("/tenant"), reason, "add it to tenants, or check its id")
        })?;
        let mut currency = input.currency.unwrap_or(self.document.currency);
        if let Some(id) = &input.subscription {
            let course = self.course(id).filter(|course| course.state.tenant == input.tenant);
            let course = course.ok_or_else(|| at_command(place, "/add_charges", SubscriptionError::Unknown))?;
            currency = input.currency.unwrap_or(course.state.currency);
            if course.state.currency != currency {
                let reason = format!("is not {}, which the subscription is billed in", course.state.currency);
                return Err(FieldError::new(field("/currency"), reason, "leave it out"));
            }
            if course.next.is_none() {
                let way_out = "leave the subscription out, or invoice the charge now";
                return Err(FieldError::new(field("/subscription"), "has no invoice to come", way_out));
            }
            if input.invoice == InvoiceTiming::Now {
                let way_out = "leave the subscription out; an invoice at once belongs to none";
                return Err(FieldError::new(field("/subscription"), "stands beside invoice now", way_out));
            }
        }
        if input.charges.is_empty() || input.charges.len() > MAX_AT_ONCE {
            let reason = format!("has {} entries", input.charges.len());
            return Err(FieldError::new(field("/charges"), reason, format!("send 1 to {MAX_AT_ONCE}")));
        }
        let to = ChargedTo {
            tenant: input.tenant.clone(),
            subscription: input.subscription.clone(),
            currency,
            zone: tenant.zone,
            at: now,
        };
        let charge = |(index, new): (usize, &crate::charge::NewCharge)| {
            let id = ChargeId::parse(&format!("chg_{place}_{}", index + 1))?;
            let below =
                |fault: FieldError| FieldError { field: field(&format!("/charges/{index}{}", fault.field)), ..fault };
            new.charge(id, &to).map_err(below)
        };
        input.charges.iter().enumerate().map(charge).collect()
    }

    fn invoice_now(
        &mut self,
        place: usize,
        now: DateTime<Utc>,
        input: &AddChargesInput,
        charges: &[Charge],
    ) -> Result<(), FieldError> {
        let prepared = self.prepared;
        let tenant = &prepared.tenants[&input.tenant];
        let terms: BillingTerms = prepared.terms(tenant, None);
        let due_days = terms.due_days.unwrap_or(prepared.settings.due_days);
        let settings = InvoiceSettings { due_days, ..prepared.settings.clone() };
        let profiles = &tenant.tax;
        let refused = |error: &dyn std::fmt::Display| at_command(place, "/add_charges", error);
        let mut invoice = assemble_charges(&OneOffInput {
            tenant: &input.tenant,
            zone: tenant.zone,
            currency: charges[0].currency,
            charges,
            at: now,
            settings: &settings,
            bill_to: &tenant.bill_to,
            taxes: prepared.taxes.as_ref().map_or(TaxTerms::None, |settings| TaxTerms::Rates { settings, profiles }),
        })
        .map_err(|error| refused(&error))?;
        self.numbers += 1;
        let number = format_number(&prepared.settings.series, None, self.numbers);
        self.wallets.pay(&mut invoice, now).map_err(|error| refused(&error))?;
        let invoice = Arc::new(finalize(invoice, number, now).map_err(|error| refused(&error))?);
        self.charges.issued(&invoice, now);
        if prepared.follows_payments {
            self.receivables.issued(&invoice, terms).map_err(|error| refused(&error))?;
        }
        self.issued.push(invoice);
        Ok(())
    }

    pub(super) fn withdraw_charge(
        &mut self,
        place: usize,
        now: DateTime<Utc>,
        input: &WithdrawChargeInput,
    ) -> Result<(), FieldError> {
        let index = self.charges.find(&input.charge).ok_or_else(|| {
            let reason = format!("{} is no charge at that instant", input.charge);
            let way_out =
                "its id is chg_, its command's place in the timeline, and its own place there from 1: chg_0_1";
            FieldError::new(format!("/timeline/{place}/withdraw_charge/charge"), reason, way_out)
        })?;
        let state = &mut self.charges.list[index];
        let event: Option<JournalEvent> =
            state.withdraw(now).map_err(|error| at_command(place, "/withdraw_charge", error))?;
        if let Some(event) = event {
            *state = state.clone().evolve(&event);
        }
        Ok(())
    }
}
