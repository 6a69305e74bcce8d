//! What becomes of issued invoices: payments, notes, dunning, and the suspension that it leads to. What decides is the
//! domain's own ([`InvoiceState`], [`draft`], [`dunning_steps`]); this only remembers, as the journal does for real.

use super::SimulationDocument;
use super::commands::COMMANDS;
use super::course::at_command;
use super::document::TimelineEntry;
use super::result::{OpenCredit, ReceivableView, TenantStateView};
use crate::credit_note::{CreditNote, draft};
use crate::dunning::{DunningPolicy, DunningStepReached, dunning_steps, next_step_at, suspends_from};
use crate::error::FieldError;
use crate::id::{InvoiceId, TenantId};
use crate::invoice::{BillingTerms, Invoice, InvoiceCommand, InvoiceState, StateError, credit_entry};
use crate::journal::JournalEvent;
use crate::money::{AmountOverflow, Currency, Money, MoneyError};
use crate::period::PeriodError;
use crate::tenant::{StateCause, TenantState};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::sync::Arc;

/// The commands about invoices.
const ABOUT_INVOICES: [&str; 6] = [
    "record_payment",
    "settle_from_credit",
    "reverse_payment",
    "void_invoice",
    "mark_uncollectible",
    "issue_credit_note",
];

/// Whether a document pays, corrects or duns at all; if not, its invoices are only issued.
pub(super) fn are_followed(document: &SimulationDocument, outer: &BillingTerms) -> bool {
    let about_invoices = COMMANDS.iter().filter(|command| ABOUT_INVOICES.contains(&command.name));
    let is_there = |entry: &TimelineEntry| about_invoices.clone().any(|command| (command.is_there)(entry));
    outer.dunning.is_some()
        || document.plans.iter().any(|plan| plan.dunning.is_some())
        || document.tenants.iter().any(|tenant| tenant.dunning.is_some())
        || document.timeline.iter().any(is_there)
}

#[derive(Default)]
pub(super) struct Receivables {
    /// In the order of their issue.
    list: Vec<Receivable>,
    by_number: HashMap<String, usize>,
    notes: Vec<Arc<CreditNote>>,
    credit: BTreeMap<(TenantId, Currency), Money>,
    /// Suspensions and resumptions, in their order.
    states: Vec<TenantStateView>,
    /// The steps of looking once at every invoice, its policy and what was paid of it.
    weight: usize,
}

struct Receivable {
    invoice: Arc<Invoice>,
    state: InvoiceState,
    policy: DunningPolicy,
    steps: Vec<DunningStepReached>,
    notes: Vec<Arc<CreditNote>>,
}

impl Receivables {
    /// Takes an invoice that was issued.
    pub fn issued(&mut self, invoice: &Arc<Invoice>, terms: BillingTerms) -> Result<(), MoneyError> {
        let state = InvoiceState::of(invoice)?;
        self.take_credit(&JournalEvent::InvoiceFinalized(invoice.as_ref().clone()))?;
        self.by_number.insert(invoice.number.clone().unwrap_or_default(), self.list.len());
        let policy = terms.dunning.unwrap_or_default();
        self.weight += 1 + policy.steps.len();
        self.list.push(Receivable { invoice: invoice.clone(), state, policy, steps: Vec::new(), notes: Vec::new() });
        Ok(())
    }

    /// The steps of looking once at all of it.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// When the next step is reached or the next suspension begins, if nothing happens until then.
    /// What lies past the end of the calendar is never reached.
    pub fn next_at(&self) -> Option<DateTime<Utc>> {
        let mut next: Option<DateTime<Utc>> = None;
        let suspended = self.suspended();
        for it in &self.list {
            let known = |name: &str| it.steps.iter().any(|step| step.step == name);
            let step = next_step_at(&it.state, &it.policy, known).ok().flatten();
            let is_served = !suspended.contains_key(&it.state.tenant);
            let suspension = if is_served { it.suspends_from().ok().flatten() } else { None };
            next = next.into_iter().chain(step).chain(suspension).min();
        }
        next
    }

    /// Time is at an instant: steps are recorded and tenants suspended.
    pub fn reach(&mut self, at: DateTime<Utc>) -> Result<(), PeriodError> {
        for it in &mut self.list {
            for step in dunning_steps(&it.state, &it.policy, at)? {
                if !it.steps.iter().any(|known| known.step == step.step) {
                    it.steps.push(step);
                }
            }
        }
        self.judge(|_| true, at)
    }

    /// One command about an invoice. Answers the number of an invoice that was voided.
    pub fn command(&mut self, place: usize, entry: &TimelineEntry) -> Result<Option<InvoiceId>, FieldError> {
        if let Some(it) = &entry.record_payment {
            let (index, name) = (self.find(place, "/record_payment", &it.invoice)?, "/record_payment");
            let amount =
                self.money(index, it.amount).map_err(|error| at_command(place, "/record_payment/amount", error))?;
            let (reference, method) = (it.reference.clone(), it.method.clone());
            let command = InvoiceCommand::RecordPayment { reference, amount, received_at: entry.at, method };
            self.apply(place, name, index, &command, entry.at)?;
        }
        if let Some(it) = &entry.settle_from_credit {
            let (index, name) = (self.find(place, "/settle_from_credit", &it.invoice)?, "/settle_from_credit");
            let amount = it.amount.map(|amount| self.money(index, amount)).transpose();
            let amount = amount.map_err(|error| at_command(place, "/settle_from_credit/amount", error))?;
            let (reference, available) = (it.reference.clone(), self.available(index));
            let command = InvoiceCommand::SettleFromCredit { reference, amount, available };
            self.apply(place, name, index, &command, entry.at)?;
        }
        if let Some(it) = &entry.reverse_payment {
            let (index, name) = (self.find(place, "/reverse_payment", &it.invoice)?, "/reverse_payment");
            let (reference, reason, available) = (it.reference.clone(), it.reason.clone(), self.available(index));
            let command = InvoiceCommand::ReversePayment { reference, reason, available };
            self.apply(place, name, index, &command, entry.at)?;
        }
        if let Some(it) = &entry.mark_uncollectible {
            let (index, name) = (self.find(place, "/mark_uncollectible", &it.invoice)?, "/mark_uncollectible");
            let command = InvoiceCommand::MarkUncollectible { reason: it.reason.clone() };
            self.apply(place, name, index, &command, entry.at)?;
        }
        if let Some(it) = &entry.issue_credit_note {
            let (index, name) = (self.find(place, "/issue_credit_note", &it.invoice)?, "/issue_credit_note");
            let before: Vec<CreditNote> = self.list[index].notes.iter().map(|note| note.as_ref().clone()).collect();
            let number = self.notes.len() as u64 + 1;
            let note = draft(&self.list[index].invoice, &before, it.lines.as_deref(), &it.reason, number, entry.at);
            let note = note.map_err(|error| at_command(place, name, error))?;
            self.apply(place, name, index, &InvoiceCommand::IssueCreditNote(Box::new(note)), entry.at)?;
        }
        if let Some(it) = &entry.void_invoice {
            let (index, name) = (self.find(place, "/void_invoice", &it.invoice)?, "/void_invoice");
            self.apply(place, name, index, &InvoiceCommand::Void { reason: it.reason.clone() }, entry.at)?;
            return Ok(Some(self.list[index].invoice.id.clone()));
        }
        Ok(None)
    }

    pub fn is_voided(&self, invoice: &InvoiceId) -> bool {
        let voided =
            |it: &Receivable| it.invoice.id == *invoice && it.state.stage == crate::invoice::InvoiceStage::Voided;
        self.list.iter().any(voided)
    }

    pub fn views(&self) -> Vec<ReceivableView> {
        self.list.iter().map(Receivable::view).collect()
    }

    pub fn notes(&self) -> Vec<Arc<CreditNote>> {
        self.notes.clone()
    }

    pub fn open_credits(&self) -> Vec<OpenCredit> {
        let open = self.credit.iter().filter(|(_, amount)| !amount.is_zero());
        open.map(|((tenant, _), amount)| OpenCredit { tenant: tenant.clone(), amount: *amount }).collect()
    }

    pub fn tenant_states(&self) -> Vec<TenantStateView> {
        self.states.clone()
    }

    fn find(&self, place: usize, name: &str, number: &str) -> Result<usize, FieldError> {
        self.by_number.get(number).copied().ok_or_else(|| {
            let reason = format!("{number} is not issued at that instant");
            FieldError::new(format!("/timeline/{place}{name}/invoice"), reason, "check the number, or command it later")
        })
    }

    fn money(&self, index: usize, amount: Decimal) -> Result<Money, AmountError> {
        let currency = self.list[index].invoice.currency;
        let money = Money::rounded(amount, currency)?;
        if money.to_decimal() == amount { Ok(money) } else { Err(AmountError::TooFine { currency }) }
    }

    fn available(&self, index: usize) -> Money {
        let Receivable { state, invoice, .. } = &self.list[index];
        let key = (state.tenant.clone(), invoice.currency);
        self.credit.get(&key).copied().unwrap_or(Money::zero(invoice.currency))
    }

    fn apply(
        &mut self,
        place: usize,
        name: &str,
        index: usize,
        command: &InvoiceCommand,
        at: DateTime<Utc>,
    ) -> Result<(), FieldError> {
        let refused = |error: &dyn Display| at_command(place, name, error);
        let event = match self.list[index].state.decide(command, at) {
            Ok(event) => event,
            // A payment that is told twice counts once.
            Err(StateError::Repeated { .. }) => return Ok(()),
            Err(StateError::Field(fault)) => {
                return Err(FieldError { field: format!("/timeline/{place}{name}{}", fault.field), ..fault });
            }
            Err(error) => return Err(refused(&error)),
        };
        self.take_credit(&event).map_err(|error| refused(&error))?;
        let receivable = &mut self.list[index];
        receivable.state = receivable.state.clone().evolve(&event).map_err(|error| refused(&error))?;
        if let JournalEvent::CreditNoteIssued(note) = event {
            let note = Arc::new(note);
            receivable.notes.push(note.clone());
            self.notes.push(note);
        }
        self.weight += 1;
        let tenant = self.list[index].state.tenant.clone();
        self.judge(|it| *it == tenant, at).map_err(|error| refused(&error))
    }

    fn take_credit(&mut self, event: &JournalEvent) -> Result<(), MoneyError> {
        if let Some(entry) = credit_entry(event) {
            let currency = entry.amount.currency;
            let credit = self.credit.entry((entry.tenant, currency)).or_insert(Money::zero(currency));
            *credit = credit.checked_add(entry.amount)?;
        }
        Ok(())
    }

    /// Suspends the tenants that dunning suspends, and resumes those that nothing suspends any more.
    fn judge(&mut self, whom: impl Fn(&TenantId) -> bool, at: DateTime<Utc>) -> Result<(), PeriodError> {
        let mut causes: HashMap<&TenantId, Option<&InvoiceId>> = HashMap::new();
        let mut in_order = Vec::new();
        for it in self.list.iter().filter(|it| whom(&it.state.tenant)) {
            let cause = causes.entry(&it.state.tenant).or_insert_with(|| {
                in_order.push(&it.state.tenant);
                None
            });
            if cause.is_none() && it.suspends_from()?.is_some_and(|from| from <= at) {
                *cause = Some(&it.invoice.id);
            }
        }
        let suspended = self.suspended();
        let mut changed = Vec::new();
        for tenant in in_order {
            let (state, invoice_id) = match (suspended.get(tenant), causes.get(tenant).copied().flatten()) {
                (None, Some(invoice_id)) => (TenantState::Suspended, invoice_id),
                (Some(invoice_id), None) => (TenantState::Active, *invoice_id),
                _ => continue,
            };
            let cause = StateCause::Dunning { invoice_id: invoice_id.clone() };
            changed.push(TenantStateView { tenant: tenant.clone(), state, cause, at });
        }
        self.states.extend(changed);
        Ok(())
    }

    /// The tenants that are suspended, and for which invoice.
    fn suspended(&self) -> HashMap<&TenantId, &InvoiceId> {
        let mut suspended = HashMap::new();
        for it in &self.states {
            match (it.state, &it.cause) {
                (TenantState::Suspended, StateCause::Dunning { invoice_id }) => {
                    suspended.insert(&it.tenant, invoice_id);
                }
                _ => drop(suspended.remove(&it.tenant)),
            }
        }
        suspended
    }
}

#[derive(Debug, thiserror::Error)]
enum AmountError {
    #[error(transparent)]
    Overflow(#[from] AmountOverflow),
    #[error("has more decimals than {currency}; write whole minor units")]
    TooFine { currency: Currency },
}

impl Receivable {
    fn suspends_from(&self) -> Result<Option<DateTime<Utc>>, PeriodError> {
        let mut from: Option<DateTime<Utc>> = None;
        for step in &self.steps {
            from = from.into_iter().chain(suspends_from(&self.state, step.after_days, step.action)?).min();
        }
        Ok(from)
    }

    fn view(&self) -> ReceivableView {
        let state = &self.state;
        ReceivableView {
            invoice: self.invoice.number.clone().unwrap_or_default(),
            tenant: state.tenant.clone(),
            payment_state: state.stage,
            total: state.total,
            amount_paid: state.paid,
            amount_credited: state.credited,
            amount_open: state.open,
            due_date: state.due_date,
            payments: state.payments.clone(),
            dunning: self.steps.clone(),
        }
    }
}
