//! The one fold over a subscription's changes: which terms held when. Stretches tile the time that is served; everything
//! that is charged, limited or shown follows from them.
//!
//! There are two clocks. By the effective one a change holds from its instant: for usage, limits and switches. By the
//! charged one it counts from where its proration moved it: for recurring charges. What a change says of one thing (the plan, one
//! price's quantity, one add-on …) holds until a later change says something else of the same thing, so that a change
//! that counts later never takes back another one.

use super::change::{Alteration, Quantities, TrialUsage};
use super::{Change, Subscription};
use crate::id::{AddOnKey, PlanKey, PriceKey};
use crate::period::{Alignment, BillingAnchor, Interval, Period, PeriodError, zone::day_of};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// What holds at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub plan: PlanKey,
    pub plan_version: u32,
    /// The length of its periods.
    pub interval: Interval,
    pub quantities: Quantities,
    pub add_ons: BTreeMap<AddOnKey, AddOn>,
    /// By add-on, or none for the plan, and price: the number of the change that set it.
    pub overrides: BTreeMap<(Option<AddOnKey>, PriceKey), u32>,
    pub is_paused: bool,
    pub trial: Option<TrialUsage>,
}

/// A plan beside the subscription's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddOn {
    pub plan: PlanKey,
    pub plan_version: u32,
    pub quantities: Quantities,
}

/// A time in which the terms stay the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Without an end for the last one of a subscription that runs on: the end of all time.
    pub span: Period,
    pub terms: Terms,
}

/// Which of a change's two instants counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Effective,
    Charged,
}

/// A time whose billing periods follow one anchor. The last one is not cut by the subscription's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub from: DateTime<Utc>,
    /// Exclusive.
    pub until: DateTime<Utc>,
    pub anchor: BillingAnchor,
    /// Whether charging begins with it, so that its first day counts as a whole one.
    pub is_fresh: bool,
}

const END_OF_TIME: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

impl Subscription {
    /// When it stops, or the end of all time.
    pub(super) fn end(&self) -> DateTime<Utc> {
        self.ended_at.unwrap_or(END_OF_TIME)
    }

    /// The times between an end and a reactivation.
    fn gaps(&self) -> impl Iterator<Item = Period> + '_ {
        self.changes.iter().filter_map(|change| match change.what {
            Alteration::Reactivated { ended_at } if ended_at < change.at => Some(Period::new(ended_at, change.at)),
            _ => None,
        })
    }

    /// Whether it is running at `instant`.
    pub fn is_active(&self, instant: DateTime<Utc>) -> bool {
        self.started_at <= instant && instant < self.end() && !self.gaps().any(|gap| gap.contains(instant))
    }

    /// The instants after `instant` at which its terms may change, its start and end among them.
    pub fn changes_after(&self, instant: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        let own = [Some(self.started_at), self.ended_at, self.trial.map(|trial| trial.until)];
        let changes = self.changes.iter().map(|change| change.at);
        own.into_iter().flatten().chain(changes).filter(move |at| *at > instant)
    }

    /// What holds at an instant; none while it is not running.
    pub fn terms_at(&self, instant: DateTime<Utc>) -> Option<Terms> {
        self.is_active(instant).then(|| self.terms(&self.in_order(), Clock::Effective, instant))
    }

    /// Every plan that it was, is or will be on, add-ons among them.
    pub fn plans(&self) -> BTreeSet<(PlanKey, u32)> {
        let own = (self.plan.clone(), self.plan_version);
        let later = self.changes.iter().filter_map(|change| match &change.what {
            Alteration::PlanChanged { plan, plan_version, .. } | Alteration::AddOnAdded { plan, plan_version, .. } => {
                Some((plan.clone(), *plan_version))
            }
            _ => None,
        });
        std::iter::once(own).chain(later).collect()
    }

    /// The plan that held just before an instant: the first one before the start, the last one after the end.
    pub fn plan_before(&self, instant: DateTime<Utc>) -> (PlanKey, u32) {
        let last = instant.min(self.end()) - chrono::Duration::nanoseconds(1);
        let terms = self.terms(&self.in_order(), Clock::Effective, last);
        (terms.plan, terms.plan_version)
    }

    /// Every time in which the terms stay the same, in order. They tile what is served.
    pub fn stretches(&self, clock: Clock) -> Vec<Stretch> {
        self.stretches_until(clock, self.end())
    }

    /// The same as if it ended at another instant.
    fn stretches_until(&self, clock: Clock, end: DateTime<Utc>) -> Vec<Stretch> {
        let changes = self.in_order();
        let mut cuts: Vec<DateTime<Utc>> = vec![self.started_at];
        cuts.extend(changes.iter().map(|(_, change)| change.time(clock)));
        cuts.extend(self.trial.map(|trial| trial.until));
        cuts.extend(self.gaps().flat_map(|gap| [gap.start, gap.end]));
        cuts.retain(|cut| (self.started_at..end).contains(cut));
        cuts.sort_unstable();
        cuts.dedup();
        let mut stretches: Vec<Stretch> = Vec::with_capacity(cuts.len());
        let ends = cuts.iter().skip(1).copied().chain([end]);
        for (from, until) in cuts.iter().copied().zip(ends) {
            if self.gaps().any(|gap| gap.contains(from)) {
                continue;
            }
            let terms = self.terms(&changes, clock, from);
            match stretches.last_mut() {
                Some(last) if last.terms == terms && last.span.end == from => last.span.end = until,
                _ => stretches.push(Stretch { span: Period::new(from, until), terms }),
            }
        }
        stretches
    }

    /// The changes with their numbers, from 1, as they take effect; of one instant as they were recorded.
    fn in_order(&self) -> Vec<(u32, &Change)> {
        let mut changes: Vec<(u32, &Change)> = (1..).zip(&self.changes).collect();
        changes.sort_by_key(|(number, change)| (change.at, *number));
        changes
    }

    fn terms(&self, changes: &[(u32, &Change)], clock: Clock, at: DateTime<Utc>) -> Terms {
        let trial = self.trial.filter(|trial| at < trial.until);
        let mut terms = Terms {
            plan: self.plan.clone(),
            plan_version: self.plan_version,
            interval: self.interval,
            quantities: self.quantities.clone(),
            add_ons: BTreeMap::new(),
            overrides: BTreeMap::new(),
            is_paused: false,
            trial: trial.map(|trial| trial.usage),
        };
        for (number, change) in changes.iter().filter(|(_, change)| change.time(clock) <= at) {
            terms.apply(*number, &change.what);
        }
        terms
    }

    /// The times of one anchor each, in order: periods begin anew where a trial is over, where the subscription goes on after
    /// a time that was not served, and where they become longer or shorter.
    pub(super) fn segments(&self) -> Result<Vec<Segment>, PeriodError> {
        let mut segments: Vec<Segment> = Vec::with_capacity(1);
        let mut before: Option<Stretch> = None;
        for stretch in self.stretches_until(Clock::Charged, END_OF_TIME) {
            let (from, interval) = (stretch.span.start, stretch.terms.interval);
            let is_fresh = before.as_ref().is_none_or(|before| {
                before.span.end < from || (before.terms.trial.is_some() && stretch.terms.trial.is_none())
            });
            if is_fresh || before.as_ref().is_some_and(|before| before.terms.interval != interval) {
                if let (Some(last), Some(before)) = (segments.last_mut(), &before) {
                    last.until = before.span.end;
                }
                let anchor = self.anchor_from(from, interval)?;
                segments.push(Segment { from, until: END_OF_TIME, anchor, is_fresh });
            }
            before = Some(stretch);
        }
        Ok(segments)
    }

    /// Periods that begin anew: on the calendar's own day, or the one that the subscription named, or by anniversary on the
    /// day itself.
    fn anchor_from(&self, from: DateTime<Utc>, interval: Interval) -> Result<BillingAnchor, PeriodError> {
        let names_its_own = from == self.started_at
            || self.trial.is_some_and(|trial| trial.until == from)
            || self.calendar == Alignment::Calendar;
        let day = if names_its_own && interval.unit == self.interval.unit {
            self.anchor_day
        } else {
            interval.own_anchor_day(self.calendar, from, self.zone)?
        };
        let origin = day_of(from, self.zone)?;
        Ok(BillingAnchor { interval, calendar: self.calendar, day, origin, zone: self.zone })
    }
}

impl Change {
    pub(super) fn time(&self, clock: Clock) -> DateTime<Utc> {
        match clock {
            Clock::Effective => self.at,
            Clock::Charged => self.charged_from,
        }
    }

    /// The first instant about which it changes anything.
    pub(super) fn reaches_back_to(&self) -> DateTime<Utc> {
        let first = self.at.min(self.charged_from);
        match self.what {
            Alteration::Reactivated { ended_at } => first.min(ended_at),
            _ => first,
        }
    }
}

impl Terms {
    /// The plans that hold, the subscription's own first.
    pub fn plans(&self) -> impl Iterator<Item = (Option<&AddOnKey>, &PlanKey, u32, &Quantities)> {
        let own = (None, &self.plan, self.plan_version, &self.quantities);
        let add_ons = self.add_ons.iter().map(|(key, it)| (Some(key), &it.plan, it.plan_version, &it.quantities));
        std::iter::once(own).chain(add_ons)
    }

    fn apply(&mut self, number: u32, what: &Alteration) {
        match what {
            Alteration::PlanChanged { plan, plan_version, interval, quantities } => {
                if *plan != self.plan {
                    self.overrides.retain(|(add_on, _), _| add_on.is_some());
                }
                (self.plan, self.plan_version, self.interval) = (plan.clone(), *plan_version, *interval);
                self.quantities.replace(quantities);
            }
            Alteration::QuantityChanged { add_on: None, quantities } => self.quantities.replace(quantities),
            Alteration::QuantityChanged { add_on: Some(key), quantities } => {
                if let Some(add_on) = self.add_ons.get_mut(key) {
                    add_on.quantities.replace(quantities);
                }
            }
            Alteration::AddOnAdded { add_on, plan, plan_version, quantities } => {
                let added = AddOn { plan: plan.clone(), plan_version: *plan_version, quantities: quantities.clone() };
                self.add_ons.insert(add_on.clone(), added);
            }
            Alteration::AddOnRemoved { add_on } => {
                self.add_ons.remove(add_on);
                self.overrides.retain(|(of, _), _| of.as_ref() != Some(add_on));
            }
            Alteration::Paused => self.is_paused = true,
            Alteration::Resumed => self.is_paused = false,
            Alteration::PriceOverridden { add_on, price, model } => {
                let key = (add_on.clone(), price.clone());
                match model {
                    Some(_) => drop(self.overrides.insert(key, number)),
                    None => drop(self.overrides.remove(&key)),
                }
            }
            Alteration::Ended | Alteration::Reactivated { .. } => {}
        }
    }
}
