//! Time passes: commands and closings happen in the order of their instants, as they would for a bill run that never sleeps.
//! A command comes before a closing of the same instant.

use super::SimulationDocument;
use super::changes::resolved;
use super::charges::Charges;
use super::course::{Course, at_command};
use super::document::{StartInput, TimelineEntry};
use super::prepare::Prepared;
use super::receivables::Receivables;
use super::wallets::{Ending, Wallets};
use super::work::Exhausted;
use crate::charge::Charge;
use crate::credit::CreditError;
use crate::error::FieldError;
use crate::id::{InvoiceId, SubscriptionId, TenantId};
use crate::invoice::{BilledLine, Invoice};
use crate::period::PeriodError;
use crate::subscription::{
    Phase, StartOptions, StartTerms, Subscription, SubscriptionCommand, SubscriptionError, TrialTerms, decide, evolve,
};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;

/// The most bill moments of one document: a hundred subscriptions over eight years of months.
pub const MAX_MOMENTS: usize = 10_000;

enum Next {
    Command(usize),
    Dunning,
    Closing(usize),
    Ending(Ending),
}

pub(super) struct Simulation<'p> {
    pub prepared: &'p Prepared,
    pub document: &'p SimulationDocument,
    /// In the order in which they were started.
    pub courses: Vec<Course<'p>>,
    by_id: HashMap<SubscriptionId, usize>,
    pub issued: Vec<Arc<Invoice>>,
    pub wallets: Wallets,
    /// The instant of what happened last.
    now: Option<DateTime<Utc>>,
    pub numbers: u64,
    closed: usize,
    /// Commands that are done, in the order of their instants.
    commands_done: usize,
    pub receivables: Receivables,
    pub charges: Charges,
}

impl<'p> Simulation<'p> {
    pub fn new(document: &'p SimulationDocument, prepared: &'p Prepared) -> Self {
        Self {
            prepared,
            document,
            courses: Vec::new(),
            by_id: HashMap::new(),
            issued: Vec::new(),
            wallets: prepared.wallets.clone(),
            now: None,
            numbers: 0,
            closed: 0,
            commands_done: 0,
            receivables: Receivables::default(),
            charges: Charges::default(),
        }
    }

    /// Everything up to an instant, inclusive. To go there in two steps is the same as in one.
    pub fn advance(&mut self, until: DateTime<Utc>) -> Result<(), FieldError> {
        loop {
            self.look_ahead()?;
            let Some((at, next)) = self.next().filter(|(at, _)| *at <= until) else { return Ok(()) };
            self.now = Some(at);
            match next {
                Next::Command(place) => {
                    self.commands_done += 1;
                    self.command(place, &self.document.timeline[place])?;
                }
                Next::Dunning => self.receivables.reach(at).map_err(|error| at_dunning(&error))?,
                Next::Closing(index) => self.close(index)?,
                Next::Ending(ending) => self.wallets.end(ending).map_err(|error| at_wallets(&error))?,
            }
        }
    }

    /// Takes the steps of finding what happens next, and of doing it with credits and receivables.
    fn look_ahead(&self) -> Result<(), FieldError> {
        let followed = if self.prepared.follows_payments { self.receivables.weight() } else { 0 };
        let work = &self.prepared.work;
        let taken = work.scan(self.courses.len() + 2 * self.wallets.weight()).and_then(|()| work.spend(1 + followed));
        taken.map_err(|exhausted| exhausted.at("/timeline"))
    }

    /// What happens next. Of one instant a command is first, then dunning, then what is closed, then the grants that end.
    fn next(&self) -> Option<(DateTime<Utc>, Next)> {
        let place = self.prepared.order.get(self.commands_done).copied();
        let command = place.map(|place| (self.document.timeline[place].at, Next::Command(place)));
        let closing = self.next_closing().map(|(index, at)| (at, Next::Closing(index)));
        let ending = self.wallets.next_ending(self.now, || self.unbilled_from());
        let ending = ending.map(|ending| (ending.at, Next::Ending(ending)));
        let dunning = if self.prepared.follows_payments { self.receivables.next_at() } else { None };
        let dunning = dunning.map(|at| (at, Next::Dunning));
        [command, dunning, closing, ending].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The course of a subscription.
    pub fn course(&self, id: &SubscriptionId) -> Option<&Course<'p>> {
        self.by_id.get(id).map(|index| &self.courses[*index])
    }

    /// The charges that the draft of a subscription shows: those that no other of its tenant's invoices takes before.
    pub fn charges_shown(&self, course: &Course<'_>, until: DateTime<Utc>) -> Result<Vec<Charge>, Exhausted> {
        let key = |course: &Course<'_>| {
            let next = course.next.as_ref().filter(|next| next.moment.at <= until)?;
            let id = course.state.id.clone();
            Some((next.at, next.moment.revision > 0, next.wave, id))
        };
        let own = key(course);
        let mut charges = self.charges.pending_for(course, &self.prepared.work)?;
        self.prepared.work.spend(charges.len().saturating_mul(self.courses.len()))?;
        charges.retain(|charge| {
            let mut others = self
                .courses
                .iter()
                .filter(|other| charge.is_for(&other.state.tenant, &other.state.id, other.state.currency));
            !others.any(|other| key(other).is_some_and(|other| own.as_ref().is_some_and(|own| other < *own)))
        });
        Ok(charges)
    }

    /// By tenant the first moment that waits for its invoice.
    fn unbilled_from(&self) -> HashMap<&TenantId, DateTime<Utc>> {
        let mut first: HashMap<&TenantId, DateTime<Utc>> = HashMap::new();
        for course in &self.courses {
            if let Some(next) = course.next.as_ref().filter(|next| next.moment.revision == 0) {
                let known = first.entry(&course.state.tenant).or_insert(next.moment.at);
                *known = next.moment.at.min(*known);
            }
        }
        first
    }

    /// The course whose moment is closed next. Of one instant: wave by wave, by tenant and subscription, then corrections.
    fn next_closing(&self) -> Option<(usize, DateTime<Utc>)> {
        let closings =
            self.courses.iter().enumerate().filter_map(|(index, course)| Some((index, course, course.next.as_ref()?)));
        let first = closings.min_by_key(|(_, course, closing)| {
            (closing.at, closing.moment.revision > 0, closing.wave, &course.state.tenant, &course.state.id)
        });
        first.map(|(index, _, closing)| (index, closing.at))
    }

    fn close(&mut self, index: usize) -> Result<(), FieldError> {
        self.closed += 1;
        let course = &mut self.courses[index];
        if self.closed > MAX_MOMENTS {
            let way_out = "choose an earlier as_of, or fewer subscriptions in one document";
            let reason = format!("the document has more than {MAX_MOMENTS} bill moments");
            return Err(course.refused(format!("{reason}; {way_out}")));
        }
        let charges = self.charges.pending_for(course, &self.prepared.work).map_err(|error| course.refused(error))?;
        let issued = course.close(&mut self.numbers, &mut self.wallets, &charges)?;
        if let Some(invoice) = &issued {
            self.charges.issued(invoice, invoice.finalized_at.unwrap_or_default());
        }
        if let Some(invoice) = issued.as_ref().filter(|_| self.prepared.follows_payments) {
            let (terms, course) = (course.terms(), &*course);
            self.receivables.issued(invoice, terms).map_err(|error| course.refused(error))?;
        }
        self.issued.extend(issued);
        Ok(())
    }

    fn command(&mut self, place: usize, entry: &TimelineEntry) -> Result<(), FieldError> {
        if let Some(voided) = self.receivables.command(place, entry)? {
            self.forget(&voided);
        }
        let index = entry.subscription.as_ref().and_then(|id| self.by_id.get(id).copied());
        if let (Some(id), Some(start)) = (&entry.subscription, &entry.start) {
            let course = self.start(place, entry.at, id, start, index)?;
            self.by_id.insert(id.clone(), self.courses.len());
            self.courses.push(course);
        }
        if let Some(mode) = entry.cancel.as_ref().and_then(|cancel| cancel.mode) {
            self.decide(place, "cancel", index, entry.at, |billed_until| SubscriptionCommand::Cancel {
                mode,
                billed_until,
            })?;
        }
        if let Some((name, request)) = entry.change() {
            let terms = resolved(self.prepared, place, name, request)?;
            let plans = self.prepared;
            self.decide(place, name, index, entry.at, |billed_until| SubscriptionCommand::Change {
                terms,
                plans,
                billed_until,
            })?;
        }
        if let Some(apply) = &entry.apply_coupon {
            self.apply_coupon(place, entry.at, index, apply)?;
        }
        if let Some(remove) = &entry.remove_coupon {
            self.remove_coupon(place, entry.at, index, remove)?;
        }
        if let Some(input) = &entry.grant_credit {
            self.wallets.grant(place, input, entry.at)?;
        }
        if let Some(input) = &entry.top_up {
            self.wallets.top_up(place, input, entry.at)?;
        }
        if let Some(input) = &entry.add_charges {
            self.add_charges(place, entry.at, input)?;
        }
        if let Some(input) = &entry.withdraw_charge {
            self.withdraw_charge(place, entry.at, input)?;
        }
        Ok(())
    }

    /// What a voided invoice billed counts as not billed.
    fn forget(&mut self, voided: &InvoiceId) {
        let voided = self.issued.iter().find(|it| it.id == *voided);
        let Some(subscription) = voided.and_then(|it| it.subscription.clone()) else {
            return;
        };
        let counts =
            |it: &&Arc<Invoice>| it.subscription.as_ref() == Some(&subscription) && !self.receivables.is_voided(&it.id);
        let lines = self.issued.iter().filter(counts).flat_map(|it| BilledLine::of(it)).collect();
        if let Some(index) = self.by_id.get(&subscription) {
            self.courses[*index].lines = lines;
        }
    }

    /// Asks a command of a subscription, and takes what it leads to.
    fn decide<'c>(
        &mut self,
        place: usize,
        name: &str,
        index: Option<usize>,
        now: DateTime<Utc>,
        command: impl FnOnce(Option<DateTime<Utc>>) -> SubscriptionCommand<'c>,
    ) -> Result<(), FieldError> {
        let course = index.map(|index| &self.courses[index]);
        let command = command(course.and_then(|course| course.progress.until));
        let state = decided(place, &format!("/{name}"), course.map(|course| &course.state), &command, now)?;
        if let Some(index) = index {
            self.courses[index].take(state)?;
        }
        Ok(())
    }

    fn start(
        &self,
        place: usize,
        now: DateTime<Utc>,
        id: &SubscriptionId,
        start: &StartInput,
        existing: Option<usize>,
    ) -> Result<Course<'p>, FieldError> {
        let field = |member: &str| format!("/timeline/{place}/start/{member}");
        let tenant = self.prepared.tenants.get(&start.tenant).ok_or_else(|| {
            let reason = format!("{} is not a tenant of the document", start.tenant);
            FieldError::new(field("tenant"), reason, "add it to tenants, or check its id")
        })?;
        let plan = self.prepared.plan(&start.plan, start.plan_version).ok_or_else(|| {
            let reason = format!("{} is not a plan of the document in that version", start.plan);
            FieldError::new(field("plan"), reason, "add it to plans, or check its key and version")
        })?;
        let terms = StartTerms {
            id: id.clone(),
            tenant: start.tenant.clone(),
            currency: start.currency.unwrap_or(self.document.currency),
            zone: tenant.zone,
            calendar: start.calendar,
            anchor_day: start.anchor_day,
            start_at: start.start_at.unwrap_or(now),
            end_at: start.end_at,
            options: self.options(place, start)?,
        };
        let state = existing.map(|index| &self.courses[index].state);
        let state = decided(place, "/start", state, &SubscriptionCommand::Start { terms, plan }, now)?;
        Course::new(self.prepared, place, tenant, state, now)
    }
}

impl Simulation<'_> {
    fn options(&self, place: usize, start: &StartInput) -> Result<StartOptions, FieldError> {
        let trial = start.trial.as_ref().map(|trial| TrialTerms {
            until: trial.until,
            usage: trial.usage,
            converts: trial.converts,
        });
        let phases = start.phases.iter().enumerate().map(|(index, phase)| {
            let plan = self.prepared.plan(&phase.plan, phase.plan_version).ok_or_else(|| {
                let reason = format!("{} is not a plan of the document in that version", phase.plan);
                let field = format!("/timeline/{place}/start/phases/{index}/plan");
                FieldError::new(field, reason, "add it to plans, or check its key and version")
            })?;
            let (quantities, proration) = (phase.quantities.clone(), phase.proration);
            Ok(Phase { at: phase.at, plan: plan.clone(), quantities, proration })
        });
        let phases = phases.collect::<Result<_, FieldError>>()?;
        Ok(StartOptions { quantities: start.quantities.clone(), trial, phases })
    }
}

/// A fault of a wallet belongs to no command.
fn at_wallets(error: &CreditError) -> FieldError {
    FieldError::new("/wallets", error.to_string(), "check the amounts of its grants")
}

/// The state that a command leads to; a refusal is told at its place.
fn decided(
    place: usize,
    name: &str,
    state: Option<&Subscription>,
    command: &SubscriptionCommand<'_>,
    now: DateTime<Utc>,
) -> Result<Subscription, FieldError> {
    let event = decide(state, command, now).map_err(|error| match error {
        SubscriptionError::Field(fault) => {
            FieldError { field: format!("/timeline/{place}{name}{}", fault.field), ..fault }
        }
        error => at_command(place, name, error),
    })?;
    // An event that was decided from a state leads to one.
    evolve(state.cloned(), &event).ok_or_else(|| at_command(place, name, SubscriptionError::Unknown))
}

fn at_dunning(error: &PeriodError) -> FieldError {
    FieldError::new("/dunning", error.to_string(), "choose fewer days")
}
