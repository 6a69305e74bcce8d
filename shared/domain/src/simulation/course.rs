//! One subscription on its way: what of it is billed, what comes next, and the closing of a moment. What decides is the
//! domain's own ([`next_moment`], [`closes_at`], [`assemble`], [`finalize`]); this only remembers, as the stores do for real.

use super::late::Needs;
use super::prepare::{Prepared, Tenant};
use super::wallets::Wallets;
use super::work::Exhausted;
use crate::charge::Charge;
use crate::discount::AppliedCoupon;
use crate::error::FieldError;
use crate::invoice::InvoiceSettings;
use crate::invoice::{
    BillInput, BillTerms, BilledLine, BillingTerms, Invoice, UsageFigure, assemble, finalize, format_number,
    redemptions, verify,
};
use crate::money::MoneyError;
use crate::period::Period;
use crate::plan::PlanVersion;
use crate::subscription::{
    BillMoment, COLLECT_HOURS, Progress, ServedPeriod, Subscription, UsageNeed, after_end, closes_at, demand,
    next_moment, reissued, usage_needs,
};
use crate::tax::TaxTerms;
use chrono::{DateTime, Duration, Utc};
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

pub(super) struct Course<'p> {
    pub prepared: &'p Prepared,
    /// The place of its start in the timeline.
    pub place: usize,
    tenant: &'p Tenant,
    pub state: Subscription,
    recorded_at: DateTime<Utc>,
    pub progress: Progress,
    /// Whether usage of one of its plans carries over into later windows.
    pub carries_over: bool,
    /// The steps of looking once at all of its terms: every change, and every price in every time between two of them.
    weight: usize,
    pub windows: Vec<ClosedWindow>,
    /// The lines of its issued invoices.
    pub lines: Vec<BilledLine>,
    /// Every coupon that was applied to it, with those that were removed.
    pub coupons: Vec<AppliedCoupon>,
    /// Voided invoices that are to be billed anew, each with the instant of its void.
    pub owed_again: Vec<(Arc<Invoice>, DateTime<Utc>)>,
    /// The last revision of each bill moment that is closed.
    revisions: BTreeMap<DateTime<Utc>, u32>,
    last: Option<LastClosing>,
    pub next: Option<Closing>,
}

/// A billing period that is closed.
pub(super) struct ClosedWindow {
    pub period: ServedPeriod,
    pub closed_at: DateTime<Utc>,
    /// As last measured.
    pub usage: BTreeMap<UsageNeed, UsageFigure>,
}

/// A moment, and when it is closed.
pub(super) struct Closing {
    pub moment: BillMoment,
    pub at: DateTime<Utc>,
    /// How many moments of the subscription are closed at this very instant before it: the bill run goes in waves, each
    /// with one moment of every subscription.
    pub wave: u32,
}

#[derive(Clone, Copy)]
struct LastClosing {
    at: DateTime<Utc>,
    wave: u32,
    /// Every closed window is measured up to here.
    cut: usize,
}

impl<'p> Course<'p> {
    pub fn new(
        prepared: &'p Prepared,
        place: usize,
        tenant: &'p Tenant,
        state: Subscription,
        recorded_at: DateTime<Utc>,
    ) -> Result<Self, FieldError> {
        let mut course = Self {
            prepared,
            place,
            tenant,
            state,
            recorded_at,
            progress: Progress::default(),
            carries_over: false,
            weight: 0,
            windows: Vec::new(),
            lines: Vec::new(),
            coupons: Vec::new(),
            owed_again: Vec::new(),
            revisions: BTreeMap::new(),
            last: None,
            next: None,
        };
        course.schedule()?;
        Ok(course)
    }

    /// Takes a state that a command led to.
    pub fn take(&mut self, state: Subscription) -> Result<(), FieldError> {
        self.state = state;
        self.schedule()
    }

    /// Finds what is closed next, and when.
    pub fn schedule(&mut self) -> Result<(), FieldError> {
        let plans = self.state.plans().into_iter().filter_map(|(key, version)| self.prepared.plan(&key, Some(version)));
        let (mut prices, mut carries_over) = (0, false);
        for price in plans.flat_map(|plan| &plan.prices) {
            prices += 1;
            carries_over |= price.time_weighted.is_some_and(|weighting| weighting.carry_over);
        }
        let changes = self.state.changes.len();
        self.carries_over = carries_over;
        self.weight = 1 + changes * changes / 8 + (changes + 1) * prices * (prices + changes) / 64;
        self.look(2)?;
        if let Some((voided, at)) = self.owed_again.first().cloned() {
            self.look(voided.lines.len())?;
            let (until, revision) =
                (self.progress.until.unwrap_or(voided.billed_at), self.next_revision(voided.billed_at));
            let moment = reissued(&self.state, self.prepared, &voided, until, revision);
            let moment = moment.map_err(|error| self.refused(error))?;
            self.next = Some(self.closing(moment, at));
            return Ok(());
        }
        let moment = next_moment(&self.state, self.prepared, self.progress).map_err(|error| self.refused(error))?;
        self.next = match moment {
            Some(moment) => {
                let grace = self.prepared.grace(self.plan_at(moment.at)?);
                let closes = closes_at(&moment, self.recorded_at, grace);
                closes.map(|at| self.closing(moment, at))
            }
            None => self.correction()?,
        };
        Ok(())
    }

    /// The plan that held just before an instant.
    fn plan_at(&self, instant: DateTime<Utc>) -> Result<&'p PlanVersion, FieldError> {
        let (key, version) = self.state.plan_before(instant);
        let plan = self.prepared.plan(&key, Some(version));
        plan.ok_or_else(|| self.refused(format!("plan {key} version {version} is missing; add it to plans")))
    }

    /// Moments of a subscription are closed in order.
    fn closing(&self, moment: BillMoment, at: DateTime<Utc>) -> Closing {
        let at = self.last.map_or(at, |last| at.max(last.at));
        let wave = self.last.filter(|last| last.at == at).map_or(0, |last| last.wave + 1);
        Closing { moment, at, wave }
    }

    /// Late usage of a subscription that has ended, collected for a while.
    fn correction(&self) -> Result<Option<Closing>, FieldError> {
        let (Some(ended_at), Some(last)) = (self.state.ended_at, self.last) else { return Ok(None) };
        let log = &self.prepared.log;
        let mut needs = Needs::of(self);
        for entry in log.between(&self.state.tenant, last.cut, log.entries.len()) {
            if !needs.changed_by(entry)?.is_empty() {
                let collected = last.at.checked_add_signed(Duration::hours(COLLECT_HOURS));
                let moment = after_end(&self.state, ended_at, self.next_revision(ended_at));
                return Ok(collected.map(|collected| self.closing(moment, entry.known_at.max(collected))));
            }
        }
        Ok(None)
    }

    /// Of a further document about a bill moment.
    fn next_revision(&self, at: DateTime<Utc>) -> u32 {
        self.revisions.get(&at).map_or(1, |last| last.saturating_add(1))
    }

    /// By meter the times in which it is billed for usage, over all of its life.
    pub fn pays_in(&self) -> Result<BTreeSet<UsageNeed>, FieldError> {
        self.look(1)?;
        let all = Period::new(self.state.started_at, DateTime::<Utc>::MAX_UTC);
        usage_needs(&self.state, self.prepared, all).map_err(|error| self.refused(error))
    }

    /// Takes the steps of looking at its terms so many times.
    pub fn look(&self, times: usize) -> Result<(), FieldError> {
        self.spend(self.weight * times)
    }

    pub fn spend(&self, steps: usize) -> Result<(), FieldError> {
        self.prepared.work.spend(steps).map_err(|exhausted: Exhausted| self.refused(exhausted))
    }

    fn window_of(&self, instant: DateTime<Utc>) -> Option<usize> {
        let after = self.windows.partition_point(|window| window.period.served.start <= instant);
        let index = after.checked_sub(1)?;
        self.windows[index].period.served.contains(instant).then_some(index)
    }

    /// The usage of a span by everything that is billed in it, inside a cut.
    pub fn usage(&self, within: Period, cut: usize) -> Result<BTreeMap<UsageNeed, UsageFigure>, FieldError> {
        self.look(1)?;
        let needs = usage_needs(&self.state, self.prepared, within).map_err(|error| self.refused(error))?;
        needs.into_iter().map(|need| self.figure(&need, cut).map(|figure| (need, figure))).collect()
    }

    fn figure(&self, need: &UsageNeed, cut: usize) -> Result<UsageFigure, FieldError> {
        self.look(1)?;
        let demand = demand(&self.state, self.prepared, need).map_err(|error| self.refused(error))?;
        self.prepared.log.figure(&self.state.tenant, &need.meter, &demand, need.window, cut, &self.prepared.work)
    }

    /// What of closed periods is to be measured again, because usage has come since it was last measured.
    fn late(&self, cut: usize) -> Result<BTreeMap<UsageNeed, UsageFigure>, FieldError> {
        let from = self.last.map_or(0, |last| last.cut);
        let mut late = BTreeMap::new();
        if self.windows.is_empty() {
            return Ok(late);
        }
        let mut needs = Needs::of(self);
        for entry in self.prepared.log.between(&self.state.tenant, from, cut) {
            for need in needs.changed_by(entry)? {
                if let Entry::Vacant(place) = late.entry(need) {
                    let figure = self.figure(place.key(), cut)?;
                    place.insert(figure);
                }
            }
        }
        Ok(late)
    }

    /// The document of a moment by what is known at an instant.
    pub fn draft(&self, moment: &BillMoment, at: DateTime<Utc>, charges: &[Charge]) -> Result<Drafted, FieldError> {
        let cut = self.prepared.log.cut(at);
        let needs = moment.usage.iter();
        let usage = needs
            .map(|need| Ok((need.clone(), self.figure(need, cut)?)))
            .collect::<Result<BTreeMap<_, _>, FieldError>>()?;
        let late = self.late(cut)?;
        let settings = self.settings();
        let knows_earlier = !late.is_empty() || moment.compared().next().is_some();
        self.look(4 + moment.reopens.len())?;
        if knows_earlier {
            let compared = late.len() + moment.compared().count();
            self.spend(self.lines.len() * compared)?;
        }
        let invoice = assemble(&BillInput {
            subscription: &self.state,
            plans: self.prepared,
            moment,
            usage: &usage,
            billed: if knows_earlier { &self.lines } else { &[] },
            late: &late,
            settings: &settings,
            bill_to: &self.tenant.bill_to,
            terms: BillTerms { taxes: self.taxes(), coupons: &self.coupons, charges },
        });
        let invoice = invoice.and_then(|invoice| verify(&invoice).map(|()| invoice));
        Ok(Drafted { invoice: invoice.map_err(|error| self.refused(error))?, usage, late, cut })
    }

    /// What was measured becomes what the periods were billed for.
    fn remember(&mut self, moment: &BillMoment, at: DateTime<Utc>, measured: BTreeMap<UsageNeed, UsageFigure>) {
        let of = |period: &ServedPeriod| -> BTreeMap<UsageNeed, UsageFigure> {
            let inside = measured.iter().filter(|(need, _)| period.served.intersect(&need.window).is_some());
            inside.map(|(need, figure)| (need.clone(), figure.clone())).collect()
        };
        for reopened in moment.reopens.iter().filter(|reopened| reopened.is_closed) {
            let known = |window: &&mut ClosedWindow| window.period.served.start == reopened.period.served.start;
            if let Some(window) = self.windows.iter_mut().find(known) {
                window.usage = of(&reopened.period);
            }
        }
        if let Some(period) = moment.closes {
            self.windows.retain(|window| window.period.served.start < period.served.start);
            self.windows.push(ClosedWindow { period, closed_at: at, usage: of(&period) });
        }
    }

    /// Closes the next moment; answers its invoice, where it has one, paid by the wallets as far as they can. `numbers` counts
    /// those that are taken.
    pub fn close(
        &mut self,
        numbers: &mut u64,
        wallets: &mut Wallets,
        charges: &[Charge],
    ) -> Result<Option<Arc<Invoice>>, FieldError> {
        let Some(Closing { moment, at, wave }) = self.next.take() else {
            return Ok(None);
        };
        let drafted = self.draft(&moment, at, charges)?;
        let is_issued = drafted.invoice.is_owed(&self.prepared.settings) || self.was_drafted(&moment, at)?;
        let Drafted { mut invoice, usage, late, cut } = drafted;
        for (need, figure) in late {
            if let Some(window) = self.window_of(need.window.start) {
                self.windows[window].usage.insert(need, figure);
            }
        }
        self.remember(&moment, at, usage);
        self.revisions.insert(moment.at, moment.revision);
        if moment.replaces.is_some() {
            // Nothing else is billed with it, and no change is done with.
            self.owed_again.remove(0);
        } else {
            self.progress = Progress { until: Some(moment.at), changes: self.state.changes.len() };
        }
        self.last = Some(LastClosing { at, wave, cut });
        let mut issued = None;
        if is_issued {
            *numbers += 1;
            let number = format_number(&self.prepared.settings.series, None, *numbers);
            wallets.pay(&mut invoice, at).map_err(|error| self.refused(error))?;
            let invoice = finalize(invoice, number, at).map_err(|error| self.refused(error))?;
            self.lines.extend(BilledLine::of(&invoice));
            self.redeem(&invoice).map_err(|error| self.refused(error))?;
            issued = Some(Arc::new(invoice));
        }
        self.schedule()?;
        Ok(issued)
    }

    fn taxes(&self) -> TaxTerms<'p> {
        let profiles = &self.tenant.tax;
        self.prepared.taxes.as_ref().map_or(TaxTerms::None, |settings| TaxTerms::Rates { settings, profiles })
    }

    /// Notes what an issued invoice used of the coupons.
    pub fn redeem(&mut self, invoice: &Invoice) -> Result<(), MoneyError> {
        for (coupon, redemption) in redemptions(invoice)? {
            for applied in self.coupons.iter_mut().filter(|applied| applied.coupon.key == coupon) {
                applied.redeem(redemption)?;
            }
        }
        Ok(())
    }

    /// A moment that was drafted when its grace began is issued in any case, because somebody may have read its draft.
    fn was_drafted(&self, moment: &BillMoment, closes_at: DateTime<Utc>) -> Result<bool, FieldError> {
        let drafted_at = moment.at.max(self.recorded_at);
        let waited = moment.revision == 0 && drafted_at < closes_at;
        // Only usage that came meanwhile can have made it empty.
        if !waited || self.prepared.log.cut(drafted_at) == self.prepared.log.cut(closes_at) {
            return Ok(false);
        }
        Ok(self.draft(moment, drafted_at, &[])?.invoice.is_owed(&self.prepared.settings))
    }

    /// The document's settings with its own days to pay.
    fn settings(&self) -> Cow<'p, InvoiceSettings> {
        let settings = &self.prepared.settings;
        match self.terms().due_days.filter(|due_days| *due_days != settings.due_days) {
            Some(due_days) => Cow::Owned(InvoiceSettings { due_days, ..settings.clone() }),
            None => Cow::Borrowed(settings),
        }
    }

    /// The terms of payment of its invoices.
    pub fn terms(&self) -> BillingTerms {
        let plan = self.prepared.plan(&self.state.plan, Some(self.state.plan_version));
        self.prepared.terms(self.tenant, plan)
    }

    /// What stops this subscription is told at the command that started it.
    pub fn refused(&self, error: impl Display) -> FieldError {
        at_command(self.place, "", error)
    }
}

/// A document that is not issued yet, with what it stands on.
pub(super) struct Drafted {
    pub invoice: Invoice,
    usage: BTreeMap<UsageNeed, UsageFigure>,
    late: BTreeMap<UsageNeed, UsageFigure>,
    cut: usize,
}

/// The domain's errors say reason and way out in one sentence.
pub(super) fn at_command(place: usize, below: &str, error: impl Display) -> FieldError {
    let text = error.to_string();
    let (reason, way_out) = text.split_once("; ").unwrap_or((&text, "check the command and its instant"));
    FieldError::new(format!("/timeline/{place}{below}"), reason, way_out)
}
