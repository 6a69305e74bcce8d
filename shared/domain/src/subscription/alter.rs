//! How a subscription is changed: what is asked is checked against what holds at its instant, and the instant from which
//! recurring charges count is fixed here, once.

use super::change::{Alteration, Change, Proration};
use super::command::{ChangeTerms, Effective, SubscriptionError};
use super::course::billed_since;
use super::sold::find;
use super::terms_checked::{check_currency, check_quantities, unknown_price};
use super::timeline::{Clock, Terms};
use super::{MAX_RERATED, Subscription, TimelineError};
use crate::error::FieldError;
use crate::id::{AddOnKey, PlanKey};
use crate::period::{
    Interval, MAX_PERIODS, PeriodError,
    zone::{day_of, start_of_day},
};
use crate::plan::{PlanBook, PlanVersion, Price, PriceModel};
use chrono::{DateTime, Duration, Utc};

/// The most changes of one subscription: it is read whole wherever it is billed.
pub const MAX_CHANGES: usize = 1000;

/// The change that a request leads to.
pub(super) fn change(
    state: &Subscription,
    asked: &ChangeTerms,
    plans: &dyn PlanBook,
    billed_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Change, SubscriptionError> {
    if state.changes.len() >= MAX_CHANGES {
        return Err(SubscriptionError::TooManyChanges { most: MAX_CHANGES });
    }
    let at = match asked.effective {
        Effective::Now => now,
        Effective::PeriodEnd => state.period_end(now)?,
        Effective::At(at) => at,
    };
    if at.signed_duration_since(state.started_at).abs()
        > Duration::days(31) * i32::try_from(MAX_PERIODS).unwrap_or(i32::MAX)
    {
        return Err(FieldError::new("/effective_at", "is more than a century from the start", "check the year").into());
    }
    let request = Request { state, asked, plans, billed_until, now, at };
    match &asked.what {
        Alteration::Ended => request.end(),
        Alteration::Reactivated { .. } => request.reactivate(),
        _ => request.alter(),
    }
}

struct Request<'a> {
    state: &'a Subscription,
    asked: &'a ChangeTerms,
    plans: &'a dyn PlanBook,
    billed_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    at: DateTime<Utc>,
}

impl Request<'_> {
    /// Also in the past: what was billed for the time after it is credited.
    fn end(&self) -> Result<Change, SubscriptionError> {
        if self.at <= self.state.started_at {
            return Err(SubscriptionError::NotStarted { start: self.state.started_at });
        }
        if let Some(end) = self.state.ended_at.filter(|end| *end <= self.at) {
            return Err(SubscriptionError::EndsAlready { at: end });
        }
        if !self.state.is_active(self.at - Duration::nanoseconds(1)) {
            return Err(SubscriptionError::NotRunning { at: self.at });
        }
        self.fixed(self.plain(self.at, Alteration::Ended))
    }

    /// An end that lies ahead is undone as if it had never been asked for; after an end it goes on from now.
    fn reactivate(&self) -> Result<Change, SubscriptionError> {
        let ended_at = self.state.ended_at.ok_or(SubscriptionError::HasNoEnd)?;
        let at = self.at.max(ended_at);
        if let Some(billed_until) = self.billed_until.filter(|until| ended_at <= *until && at <= *until) {
            return Err(SubscriptionError::PeriodsAreBilled { billed_until });
        }
        self.fixed(self.plain(at, Alteration::Reactivated { ended_at }))
    }

    fn plain(&self, at: DateTime<Utc>, what: Alteration) -> Change {
        Change {
            at,
            charged_from: at,
            proration: Proration::BySecond,
            invoice: self.asked.invoice,
            recorded_at: self.now,
            what,
        }
    }

    fn alter(&self) -> Result<Change, SubscriptionError> {
        let before = self.state.terms_at(self.at).ok_or(SubscriptionError::NotRunning { at: self.at })?;
        let mut what = self.asked.what.clone();
        let plan_interval = self.check(&before)?;
        if let (Some(new), Alteration::PlanChanged { interval, .. }) = (plan_interval, &mut what) {
            *interval = new;
        }
        let sold_from = self.sold_from();
        let by_policy = self.charged_from()?.max(sold_from);
        let change = |charged_from| Change {
            at: self.at,
            charged_from,
            proration: self.asked.proration,
            invoice: self.asked.invoice,
            recorded_at: self.now,
            what: what.clone(),
        };
        // Where a day that is billed in part would be cut, it counts by the second.
        let mut change = change(by_policy);
        if by_policy < self.at && self.moves_billed_periods(&change)? {
            change.charged_from = self.at.max(sold_from);
        }
        let after = self.state.clone().with(change.clone());
        if after.terms_at(self.at).as_ref() == Some(&before) {
            return Err(SubscriptionError::ChangesNothing);
        }
        self.check_add_ons(&after)?;
        self.fixed(change)
    }

    /// The change, unless it would move periods that are billed, or rate too many of them anew.
    fn fixed(&self, change: Change) -> Result<Change, SubscriptionError> {
        let Some(billed_until) = self.billed_until else { return Ok(change) };
        if self.moves_billed_periods(&change)? {
            return Err(SubscriptionError::PeriodsAreBilled { billed_until });
        }
        let from = change.reaches_back_to();
        if from <= billed_until {
            let after = self.state.clone().with(change.clone());
            match billed_since(&after, &after.segments()?, from, billed_until, MAX_RERATED) {
                Err(TimelineError::TooManyPeriods { most }) => {
                    let reason = format!("reaches back over more than {most} billed periods");
                    let way_out = "choose a later instant, and correct what is older by a credit note";
                    return Err(FieldError::new("/effective_at", reason, way_out).into());
                }
                other => drop(other?),
            }
        }
        Ok(change)
    }

    fn moves_billed_periods(&self, change: &Change) -> Result<bool, SubscriptionError> {
        let Some(until) = self.billed_until else { return Ok(false) };
        let begun = |state: &Subscription| -> Result<Vec<_>, PeriodError> {
            let begun = state.segments()?.into_iter().filter(|segment| segment.from <= until);
            Ok(begun.map(|segment| (segment.from, segment.anchor)).collect())
        };
        Ok(begun(self.state)? != begun(&self.state.clone().with(change.clone()))?)
    }

    /// Add-ons have the periods of the plan that they stand beside, at any time.
    fn check_add_ons(&self, after: &Subscription) -> Result<(), SubscriptionError> {
        for stretch in after.stretches(Clock::Charged) {
            for (key, add_on) in &stretch.terms.add_ons {
                if find(self.plans, &add_on.plan, add_on.plan_version)?.interval != stretch.terms.interval {
                    let reason = format!("and the add-on {key} would have periods of another length");
                    let way_out = "remove the add-on first, or start it as a subscription of its own";
                    return Err(FieldError::new("/plan", reason, way_out).into());
                }
            }
        }
        Ok(())
    }

    /// The instant from which recurring charges count the change.
    fn charged_from(&self) -> Result<DateTime<Utc>, SubscriptionError> {
        let (at, zone) = (self.at, self.state.zone);
        Ok(match self.asked.proration {
            Proration::BySecond => at,
            Proration::ByDay => start_of_day(day_of(at, zone)?, zone)?.max(self.state.started_at).min(at),
            Proration::None => {
                let period = self.state.period_at(at)?.ok_or(SubscriptionError::NotRunning { at })?;
                if period.served.start == at { at } else { self.state.period_end(at)? }
            }
        })
    }

    /// From when the plan is charged whose prices the request is about: what was checked against one plan never prices the one
    /// before it, which may be charged still.
    fn sold_from(&self) -> DateTime<Utc> {
        let about = match &self.asked.what {
            Alteration::QuantityChanged { add_on, .. } | Alteration::PriceOverridden { add_on, .. } => add_on,
            _ => return self.state.started_at,
        };
        let brought = |change: &&Change| match &change.what {
            Alteration::PlanChanged { .. } => about.is_none(),
            Alteration::AddOnAdded { add_on, .. } => about.as_ref() == Some(add_on),
            _ => false,
        };
        let before = self.state.changes.iter().filter(|change| change.at <= self.at).filter(brought);
        before.max_by_key(|change| change.at).map_or(self.state.started_at, |change| change.charged_from)
    }

    /// What is wrong with the request; or the interval of the plan that it names.
    fn check(&self, before: &Terms) -> Result<Option<Interval>, SubscriptionError> {
        match &self.asked.what {
            Alteration::PlanChanged { plan, plan_version, quantities, .. } => {
                let plan = self.plan(plan, *plan_version)?;
                check_quantities("/quantities", plan, quantities)?;
                return Ok(Some(plan.interval));
            }
            Alteration::QuantityChanged { add_on, quantities } => {
                let (key, version) = self.sold(before, add_on.as_ref())?;
                let plan = find(self.plans, key, version)?;
                if quantities.is_empty() {
                    return Err(FieldError::new("/quantities", "is empty", "name at least one price").into());
                }
                check_quantities("/quantities", plan, quantities)?;
            }
            Alteration::AddOnAdded { plan, plan_version, quantities, .. } => {
                check_quantities("/quantities", self.plan(plan, *plan_version)?, quantities)?;
            }
            Alteration::AddOnRemoved { add_on } => drop(self.sold(before, Some(add_on))?),
            Alteration::PriceOverridden { add_on, price, model } => {
                let (key, version) = self.sold(before, add_on.as_ref())?;
                let plan = find(self.plans, key, version)?;
                let price = plan.price(price).ok_or_else(|| unknown_price("/price", plan, price))?;
                model.iter().try_for_each(|model| self.check_model(price, model))?;
            }
            Alteration::Paused | Alteration::Resumed | Alteration::Ended | Alteration::Reactivated { .. } => {}
        }
        Ok(None)
    }

    fn plan(&self, key: &PlanKey, version: u32) -> Result<&PlanVersion, SubscriptionError> {
        let plan = self.plans.version(key, version).ok_or_else(|| {
            FieldError::new("/plan", "there is no such plan or version", "name a version that was published")
        })?;
        check_currency("/plan", plan, self.state)?;
        Ok(plan)
    }

    /// The plan of an add-on, or the subscription's own.
    fn sold<'t>(&self, terms: &'t Terms, add_on: Option<&AddOnKey>) -> Result<(&'t PlanKey, u32), SubscriptionError> {
        let Some(key) = add_on else {
            return Ok((&terms.plan, terms.plan_version));
        };
        let add_on = terms.add_ons.get(key).ok_or_else(|| {
            FieldError::new("/add_on", "the subscription has no such add-on then", "add it first, or check its key")
        })?;
        Ok((&add_on.plan, add_on.plan_version))
    }

    /// A price of its own is billed when and over what the plan's price is.
    fn check_model(&self, price: &Price, model: &PriceModel) -> Result<(), SubscriptionError> {
        let (own, rules) = (model.rules(), price.model.rules());
        if (own.meter(), own.timing(), own.dimensions()) != (rules.meter(), rules.timing(), rules.dimensions()) {
            let way_out = "keep the meter and the timing of the plan's price";
            return Err(
                FieldError::new("/model", "is billed over something else than the plan's price", way_out).into()
            );
        }
        if !own.currencies().contains(&self.state.currency) {
            let reason = format!("has no amount in {}", self.state.currency);
            return Err(FieldError::new("/model", reason, "add one").into());
        }
        match model.faults("/model").into_iter().next() {
            Some(fault) => Err(fault.into()),
            None => Ok(()),
        }
    }
}
