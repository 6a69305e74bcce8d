//! Which prices a subscription pays in a span of time, and in which parts of it: the terms of each stretch, turned around.

use super::change::{Alteration, TrialUsage};
use super::timeline::{Clock, Stretch, Terms};
use super::{Subscription, TimelineError};
use crate::id::{AddOnKey, PlanKey, PriceKey};
use crate::period::Period;
use crate::plan::{PlanBook, PlanVersion, Price, Timing};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What makes a price the same one: lines with the same identity are about the same thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PriceIdentity {
    pub add_on: Option<AddOnKey>,
    pub plan: PlanKey,
    pub plan_version: u32,
    pub price: PriceKey,
    /// The number of the change by which the price is the subscription's own.
    pub overridden_by: Option<u32>,
}

/// A price in a span of time.
#[derive(Debug, Clone)]
pub struct Sold<'a> {
    pub identity: PriceIdentity,
    pub plan: &'a PlanVersion,
    pub price: Cow<'a, Price>,
    /// In order, without overlap.
    pub parts: Vec<Part>,
}

/// A part of the span, and how many were bought in it. For usage it is the window that is rated by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub span: Period,
    pub quantity: Decimal,
}

/// The recurring prices of a span, each with what of it is charged.
pub fn recurring<'a>(
    subscription: &'a Subscription,
    plans: &'a dyn PlanBook,
    within: Period,
) -> Result<Vec<Sold<'a>>, TimelineError> {
    let mut sold =
        sold(subscription, plans, Clock::Charged, within, |terms, price| is_charged(terms) && price.meter().is_none())?;
    if sold.iter().any(|sold| sold.price.timing() == Timing::Once) {
        let begins = begins(subscription);
        for sold in sold.iter_mut().filter(|sold| sold.price.timing() == Timing::Once) {
            let begin = begins.get(&sold.identity.add_on);
            sold.parts.retain(|part| begin == Some(&part.span.start));
        }
        sold.retain(|sold| !sold.parts.is_empty());
    }
    Ok(sold)
}

/// Where what is charged once is charged: the stretch in which charging begins, for the subscription and for each add-on.
fn begins(subscription: &Subscription) -> BTreeMap<Option<AddOnKey>, DateTime<Utc>> {
    let mut begins = BTreeMap::new();
    for Stretch { span, terms } in subscription.stretches(Clock::Charged) {
        if is_charged(&terms) {
            for (add_on, ..) in terms.plans() {
                begins.entry(add_on.cloned()).or_insert(span.start);
            }
        }
    }
    begins
}

/// The plans of a span that commit to an amount, each with the times in which it is charged. Those of add-ons do not commit.
pub fn committed<'a>(
    subscription: &'a Subscription,
    plans: &'a dyn PlanBook,
    within: Period,
) -> Result<Vec<(&'a PlanVersion, Vec<Period>)>, TimelineError> {
    let mut committed: Vec<(&PlanVersion, Vec<Period>)> = Vec::new();
    // The common case, told without looking at every time of it.
    let first = find(plans, &subscription.plan, subscription.plan_version)?;
    if subscription.changes.is_empty() && first.commitment.is_none() {
        return Ok(committed);
    }
    for Stretch { span, terms } in subscription.stretches_within(Clock::Charged, within) {
        if !is_charged(&terms) {
            continue;
        }
        let plan = find(plans, &terms.plan, terms.plan_version)?;
        if plan.commitment.is_none() {
            continue;
        }
        match committed.iter_mut().find(|(known, _)| (&known.key, known.version) == (&plan.key, plan.version)) {
            Some((_, spans)) => spans.push(span),
            None => committed.push((plan, vec![span])),
        }
    }
    Ok(committed)
}

fn is_charged(terms: &Terms) -> bool {
    !terms.is_paused && terms.trial.is_none()
}

/// The prices of usage in a span, each with its windows: usage is rated by itself in each time in which its price stays the same.
pub fn metered<'a>(
    subscription: &'a Subscription,
    plans: &'a dyn PlanBook,
    within: Period,
) -> Result<Vec<Sold<'a>>, TimelineError> {
    let is_charged = |terms: &Terms| terms.trial != Some(TrialUsage::Free);
    sold(subscription, plans, Clock::Effective, within, |terms, price| is_charged(terms) && price.meter().is_some())
}

fn sold<'a>(
    subscription: &'a Subscription,
    plans: &'a dyn PlanBook,
    clock: Clock,
    within: Period,
    is_sold: impl Fn(&Terms, &Price) -> bool,
) -> Result<Vec<Sold<'a>>, TimelineError> {
    let mut all: Vec<Sold<'a>> = Vec::new();
    for Stretch { span, terms } in subscription.stretches_within(clock, within) {
        for (add_on, key, version, quantities) in terms.plans() {
            let plan = find(plans, key, version)?;
            for price in plan.prices.iter().filter(|price| is_sold(&terms, price)) {
                let quantity = if price.meter().is_none() { quantities.of(&price.key) } else { Decimal::ONE };
                let overridden_by = terms.overrides.get(&(add_on.cloned(), price.key.clone())).copied();
                let identity = PriceIdentity {
                    add_on: add_on.cloned(),
                    plan: key.clone(),
                    plan_version: version,
                    price: price.key.clone(),
                    overridden_by,
                };
                let part = Part { span, quantity };
                match all.iter_mut().find(|sold| sold.identity == identity) {
                    Some(sold) => sold.add(part),
                    None => all.push(Sold {
                        price: own_price(subscription, price, overridden_by),
                        identity,
                        plan,
                        parts: vec![part],
                    }),
                }
            }
        }
    }
    Ok(all)
}

/// A price by its identity, whether it is sold now or not.
pub fn priced<'a>(
    subscription: &'a Subscription,
    plans: &'a dyn PlanBook,
    identity: &PriceIdentity,
) -> Result<Option<Sold<'a>>, TimelineError> {
    let plan = find(plans, &identity.plan, identity.plan_version)?;
    Ok(plan.price(&identity.price).map(|price| Sold {
        identity: identity.clone(),
        plan,
        price: own_price(subscription, price, identity.overridden_by),
        parts: Vec::new(),
    }))
}

pub(super) fn find<'a>(plans: &'a dyn PlanBook, key: &PlanKey, version: u32) -> Result<&'a PlanVersion, TimelineError> {
    plans.version(key, version).ok_or_else(|| TimelineError::PlanUnknown { plan: key.clone(), version })
}

fn own_price<'a>(subscription: &Subscription, price: &'a Price, overridden_by: Option<u32>) -> Cow<'a, Price> {
    let number = overridden_by.and_then(|number| usize::try_from(number).ok());
    let change = number.and_then(|number| subscription.changes.get(number.checked_sub(1)?));
    match change.map(|change| &change.what) {
        Some(Alteration::PriceOverridden { model: Some(model), .. }) => {
            Cow::Owned(Price { model: model.clone(), ..price.clone() })
        }
        _ => Cow::Borrowed(price),
    }
}

impl Sold<'_> {
    fn add(&mut self, part: Part) {
        match self.parts.last_mut() {
            Some(last) if last.span.end == part.span.start && last.quantity == part.quantity => {
                last.span.end = part.span.end;
            }
            _ => self.parts.push(part),
        }
    }

    /// From the beginning of its first part to the end of its last.
    pub fn hull(&self) -> Option<Period> {
        Some(Period::new(self.parts.first()?.span.start, self.parts.last()?.span.end))
    }
}
