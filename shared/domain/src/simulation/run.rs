//! Time passes: commands and closings happen in the order of their instants, as they would for a bill run that never sleeps.
//! A command comes before a closing of the same instant.

use super::SimulationDocument;
use super::course::{Course, at_command};
use super::document::{StartInput, TimelineEntry};
use super::prepare::Prepared;
use super::receivables::Receivables;
use crate::error::FieldError;
use crate::id::{InvoiceId, SubscriptionId};
use crate::invoice::{BilledLine, Invoice};
use crate::period::PeriodError;
use crate::subscription::{StartTerms, Subscription, SubscriptionCommand, SubscriptionError, decide, evolve};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;

/// The most bill moments of one document: a hundred subscriptions over eight years of months.
pub const MAX_MOMENTS: usize = 10_000;

pub(super) struct Simulation<'p> {
    pub prepared: &'p Prepared,
    document: &'p SimulationDocument,
    /// In the order in which they were started.
    pub courses: Vec<Course<'p>>,
    by_id: HashMap<SubscriptionId, usize>,
    pub issued: Vec<Arc<Invoice>>,
    numbers: u64,
    closed: usize,
    /// Commands that are done, in the order of their instants.
    commands_done: usize,
    pub receivables: Receivables,
}

impl<'p> Simulation<'p> {
    pub fn new(document: &'p SimulationDocument, prepared: &'p Prepared) -> Self {
        Self {
            prepared,
            document,
            courses: Vec::new(),
            by_id: HashMap::new(),
            issued: Vec::new(),
            numbers: 0,
            closed: 0,
            commands_done: 0,
            receivables: Receivables::default(),
        }
    }

    /// Everything up to an instant, inclusive. To go there in two steps is the same as in one.
    pub fn advance(&mut self, until: DateTime<Utc>) -> Result<(), FieldError> {
        loop {
            let place = self.prepared.order.get(self.commands_done).copied();
            let command = place.map(|place| (place, self.document.timeline[place].at));
            let closing = self.next_closing();
            let first = command.map(|(_, at)| at).into_iter().chain(closing.map(|(_, at)| at)).min();
            if self.dun(until, command.map(|(_, at)| at), first)? {
                continue;
            }
            match (command, closing) {
                (Some((place, at)), closing) if at <= until && closing.is_none_or(|(_, closes)| at <= closes) => {
                    self.commands_done += 1;
                    self.command(place, &self.document.timeline[place])?;
                }
                (_, Some((index, at))) if at <= until => self.close(index)?,
                _ => return Ok(()),
            }
        }
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
        let issued = course.close(&mut self.numbers)?;
        if let Some(invoice) = issued.as_ref().filter(|_| self.prepared.follows_payments) {
            let (terms, course) = (course.terms(), &*course);
            self.receivables.issued(invoice, terms).map_err(|error| course.refused(error))?;
        }
        self.issued.extend(issued);
        Ok(())
    }

    /// Reaches the next step of dunning where it comes before everything else; a command of the same instant comes first.
    fn dun(
        &mut self,
        until: DateTime<Utc>,
        command: Option<DateTime<Utc>>,
        first: Option<DateTime<Utc>>,
    ) -> Result<bool, FieldError> {
        if !self.prepared.follows_payments {
            return Ok(false);
        }
        let refused = |error: PeriodError| FieldError::new("/dunning", error.to_string(), "choose fewer days");
        let next = self.receivables.next_at().map_err(refused)?;
        let Some(at) =
            next.filter(|at| *at <= until && command.is_none_or(|it| *at < it) && first.is_none_or(|it| *at <= it))
        else {
            return Ok(false);
        };
        self.receivables.reach(at).map_err(refused)?;
        Ok(true)
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
        if let Some(cancel) = &entry.cancel {
            let course = index.map(|index| &self.courses[index]);
            let billed_until = course.and_then(|course| course.billed_until);
            let command = SubscriptionCommand::Cancel { mode: cancel.mode, billed_until };
            let state = decided(place, "/cancel", course.map(|course| &course.state), &command, entry.at)?;
            if let Some(index) = index {
                self.courses[index].take(state)?;
            }
        }
        Ok(())
    }

    /// What a voided invoice billed counts as not billed.
    fn forget(&mut self, voided: &InvoiceId) {
        let Some(subscription) = self.issued.iter().find(|it| it.id == *voided).map(|it| it.subscription.clone())
        else {
            return;
        };
        let counts = |it: &&Arc<Invoice>| it.subscription == subscription && !self.receivables.is_voided(&it.id);
        let lines = self.issued.iter().filter(counts).flat_map(|it| &it.lines).map(BilledLine::from).collect();
        if let Some(index) = self.by_id.get(&subscription) {
            self.courses[*index].lines = lines;
        }
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
        };
        let state = existing.map(|index| &self.courses[index].state);
        let state = decided(place, "/start", state, &SubscriptionCommand::Start { terms, plan }, now)?;
        Course::new(self.prepared, place, plan, tenant, state, now)
    }
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
