//! The one fold over a subscription's changes: which terms held when. Stretches tile the time that is served; everything
//! that is charged, limited or shown follows from them.
//!
//! There are two clocks. By the effective one a change holds from its instant: for usage, limits and switches. By the
//! charged one it counts from where its proration moved it: for recurring charges. What a change says of one thing (the plan, one
//! price's quantity, one add-on …) holds until a later change says something else of the same thing, so that a change
//! that counts later never takes back another one.

use super::change::{Alteration, Quantities, TrialUsage};
use super::fold::Fold;
use super::{Change, Subscription};
use crate::id::{AddOnKey, PlanKey, PriceKey};
use crate::period::{Interval, Period};
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

pub(super) const END_OF_TIME: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

impl Subscription {
    /// When it stops, or the end of all time.
    pub(super) fn end(&self) -> DateTime<Utc> {
        self.ended_at.unwrap_or(END_OF_TIME)
    }

    /// The times between an end and a reactivation, as they were recorded: a later one may hold earlier ones.
    pub(super) fn reactivations(&self) -> impl Iterator<Item = Period> + '_ {
        self.changes.iter().filter_map(|change| match change.what {
            Alteration::Reactivated { ended_at } if ended_at < change.at => Some(Period::new(ended_at, change.at)),
            _ => None,
        })
    }

    /// The times that are not served, in order, without overlap.
    pub(super) fn gaps(&self) -> Vec<Period> {
        let mut all: Vec<Period> = self.reactivations().collect();
        all.sort_unstable();
        let mut gaps: Vec<Period> = Vec::with_capacity(all.len());
        for gap in all {
            match gaps.last_mut() {
                Some(last) if gap.start <= last.end => last.end = last.end.max(gap.end),
                _ => gaps.push(gap),
            }
        }
        gaps
    }

    /// Whether it is running at `instant`.
    pub fn is_active(&self, instant: DateTime<Utc>) -> bool {
        self.started_at <= instant && instant < self.end() && !self.reactivations().any(|gap| gap.contains(instant))
    }

    /// The instants after `instant` at which its terms may change, its start and end among them.
    pub fn changes_after(&self, instant: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        let own = [Some(self.started_at), self.ended_at, self.trial.map(|trial| trial.until)];
        let changes = self.changes.iter().map(|change| change.at);
        own.into_iter().flatten().chain(changes).filter(move |at| *at > instant)
    }

    /// What holds at an instant; none while it is not running.
    pub fn terms_at(&self, instant: DateTime<Utc>) -> Option<Terms> {
        self.is_active(instant).then(|| self.terms(instant))
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
        let terms = self.terms(last);
        (terms.plan, terms.plan_version)
    }

    /// Every time in which the terms stay the same, in order. They tile what is served.
    pub fn stretches(&self, clock: Clock) -> Vec<Stretch> {
        self.stretches_within(clock, Period::new(self.started_at, self.end()))
    }

    /// Those of a span, cut to it.
    pub fn stretches_within(&self, clock: Clock, within: Period) -> Vec<Stretch> {
        let within = Period::new(within.start.max(self.started_at), within.end.min(self.end()));
        if within.is_empty() {
            return Vec::new();
        }
        let gaps = self.gaps();
        let mut cuts: Vec<DateTime<Utc>> = vec![within.start];
        cuts.extend(self.changes.iter().map(|change| change.time(clock)));
        cuts.extend(self.trial.map(|trial| trial.until));
        cuts.extend(gaps.iter().flat_map(|gap| [gap.start, gap.end]));
        cuts.retain(|cut| within.contains(*cut));
        cuts.sort_unstable();
        cuts.dedup();
        let mut fold = Fold::new(self, clock);
        let mut stretches: Vec<Stretch> = Vec::with_capacity(cuts.len());
        let ends = cuts.iter().skip(1).copied().chain([within.end]);
        for (from, until) in cuts.iter().copied().zip(ends) {
            if is_in(&gaps, from) {
                continue;
            }
            let terms = fold.at(from);
            match stretches.last_mut() {
                Some(last) if last.terms == *terms && last.span.end == from => last.span.end = until,
                _ => stretches.push(Stretch { span: Period::new(from, until), terms: terms.clone() }),
            }
        }
        stretches
    }

    /// The changes with their numbers, from 1, as they take effect; of one instant as they were recorded.
    pub(super) fn in_order(&self) -> Vec<(u32, &Change)> {
        let mut changes: Vec<(u32, &Change)> = (1..).zip(&self.changes).collect();
        changes.sort_by_key(|(number, change)| (change.at, *number));
        changes
    }

    /// What holds before any change.
    pub(super) fn first_terms(&self) -> Terms {
        Terms {
            plan: self.plan.clone(),
            plan_version: self.plan_version,
            interval: self.interval,
            quantities: self.quantities.clone(),
            add_ons: BTreeMap::new(),
            overrides: BTreeMap::new(),
            is_paused: false,
            trial: None,
        }
    }

    fn terms(&self, at: DateTime<Utc>) -> Terms {
        Fold::new(self, Clock::Effective).at(at).clone()
    }
}

/// Whether an instant lies in one of these times, which are in order.
pub(super) fn is_in(times: &[Period], instant: DateTime<Utc>) -> bool {
    let next = times.partition_point(|time| time.end <= instant);
    times.get(next).is_some_and(|time| time.contains(instant))
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

    pub(super) fn apply(&mut self, number: u32, what: &Alteration) {
        #[cfg(test)]
        super::fold::steps::count();
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
