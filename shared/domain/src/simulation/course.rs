//! One subscription on its way: what of it is billed, what comes next, and the closing of a moment. What decides is the
//! domain's own ([`next_moment`], [`closes_at`], [`assemble`], [`finalize`]); this only remembers, as the stores do for real.

use super::entry::Entry;
use super::prepare::{Prepared, Tenant};
use super::wallets::Wallets;
use crate::discount::AppliedCoupon;
use crate::error::FieldError;
use crate::id::MeterKey;
use crate::invoice::{
    BillInput, BillTerms, BilledLine, BillingTerms, Invoice, Remeasured, UsageFigure, assemble, finalize,
    format_number, redemptions, verify,
};
use crate::journal::InvoiceSettings;
use crate::money::MoneyError;
use crate::period::Period;
use crate::plan::PlanVersion;
use crate::subscription::{BillMoment, COLLECT_HOURS, ServedPeriod, Subscription, after_end, closes_at, next_moment};
use crate::tax::TaxTerms;
use chrono::{DateTime, Duration, Utc};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

pub(super) struct Course<'p> {
    prepared: &'p Prepared,
    /// The place of its start in the timeline.
    pub place: usize,
    pub plan: &'p PlanVersion,
    tenant: &'p Tenant,
    pub state: Subscription,
    recorded_at: DateTime<Utc>,
    pub billed_until: Option<DateTime<Utc>>,
    pub windows: Vec<ClosedWindow>,
    /// The lines of its issued invoices.
    pub lines: Vec<BilledLine>,
    /// Every coupon that was applied to it, with those that were removed.
    pub coupons: Vec<AppliedCoupon>,
    last: Option<LastClosing>,
    pub next: Option<Closing>,
}

/// A billing period that is closed.
pub(super) struct ClosedWindow {
    pub period: ServedPeriod,
    pub closed_at: DateTime<Utc>,
    /// As last measured.
    pub usage: BTreeMap<MeterKey, UsageFigure>,
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
    revision: u32,
}

impl<'p> Course<'p> {
    pub fn new(
        prepared: &'p Prepared,
        place: usize,
        plan: &'p PlanVersion,
        tenant: &'p Tenant,
        state: Subscription,
        recorded_at: DateTime<Utc>,
    ) -> Result<Self, FieldError> {
        let mut course = Self {
            prepared,
            place,
            plan,
            tenant,
            state,
            recorded_at,
            billed_until: None,
            windows: Vec::new(),
            lines: Vec::new(),
            coupons: Vec::new(),
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
    fn schedule(&mut self) -> Result<(), FieldError> {
        let moment = next_moment(&self.state, self.plan, self.billed_until).map_err(|error| self.refused(error))?;
        self.next = match moment {
            Some(moment) => {
                let closes = closes_at(&moment, self.recorded_at, self.prepared.grace(self.plan));
                closes.map(|at| self.closing(moment, at))
            }
            None => self.correction(),
        };
        Ok(())
    }

    /// Moments of a subscription are closed in order.
    fn closing(&self, moment: BillMoment, at: DateTime<Utc>) -> Closing {
        let at = self.last.map_or(at, |last| at.max(last.at));
        let wave = self.last.filter(|last| last.at == at).map_or(0, |last| last.wave + 1);
        Closing { moment, at, wave }
    }

    /// Late usage of a subscription that has ended, collected for a while.
    fn correction(&self) -> Option<Closing> {
        let (ended_at, last) = (self.state.ended_at?, self.last?);
        let log = &self.prepared.log;
        let mut late = log.between(&self.state.tenant, last.cut, log.entries.len());
        let changes = |entry: &&Entry| entry.meters.iter().any(|meter| !self.windows_of(entry.time, meter).is_empty());
        let first = late.find(changes)?;
        let at = first.known_at.max(last.at.checked_add_signed(Duration::hours(COLLECT_HOURS))?);
        Some(self.closing(after_end(&self.state, ended_at, last.revision + 1), at))
    }

    pub fn bills(&self, meter: &MeterKey) -> bool {
        self.plan.prices.iter().any(|price| price.meter() == Some(meter))
    }

    /// The closed windows whose usage an event changes: the one in which it lies, and all later ones where it carries over.
    fn windows_of(&self, instant: DateTime<Utc>, meter: &MeterKey) -> Range<usize> {
        if !self.bills(meter) {
            return 0..0;
        }
        let first = self.windows.partition_point(|window| window.period.served.end <= instant);
        if self.plan.demand(meter, self.state.currency).carries_over() {
            return first..self.windows.len();
        }
        let is_inside = self.windows.get(first).is_some_and(|window| window.period.served.contains(instant));
        first..first + usize::from(is_inside)
    }

    /// The usage of a window by everything its plan bills, inside a cut.
    pub fn usage(&self, window: Period, cut: usize) -> Result<BTreeMap<MeterKey, UsageFigure>, FieldError> {
        let meters = self.plan.billed_meters().into_iter();
        meters.map(|meter| Ok((meter.clone(), self.figure(meter, window, cut)?))).collect()
    }

    fn figure(&self, meter: &MeterKey, window: Period, cut: usize) -> Result<UsageFigure, FieldError> {
        let demand = self.plan.demand(meter, self.state.currency);
        self.prepared.log.figure(&self.state.tenant, meter, &demand, window, cut)
    }

    /// Closed windows into which usage has come since they were last measured, measured again whole, each with the meters
    /// that changed.
    fn late(&self, cut: usize) -> Result<BTreeMap<usize, BTreeMap<MeterKey, UsageFigure>>, FieldError> {
        let from = self.last.map_or(0, |last| last.cut);
        let mut changed: BTreeSet<(usize, &MeterKey)> = BTreeSet::new();
        if !self.windows.is_empty() {
            for entry in self.prepared.log.between(&self.state.tenant, from, cut) {
                for meter in &entry.meters {
                    changed.extend(self.windows_of(entry.time, meter).map(|window| (window, meter)));
                }
            }
        }
        let mut late: BTreeMap<usize, BTreeMap<MeterKey, UsageFigure>> = BTreeMap::new();
        for (window, meter) in changed {
            let figure = self.figure(meter, self.windows[window].period.served, cut)?;
            late.entry(window).or_default().insert(meter.clone(), figure);
        }
        Ok(late)
    }

    /// The document of a moment by what is known at an instant.
    pub fn draft(&self, moment: &BillMoment, at: DateTime<Utc>) -> Result<Drafted, FieldError> {
        let cut = self.prepared.log.cut(at);
        let needs = moment.usage.iter();
        let usage = needs
            .map(|need| Ok((need.meter.clone(), self.figure(&need.meter, need.window, cut)?)))
            .collect::<Result<BTreeMap<_, _>, FieldError>>()?;
        let late = self.late(cut)?;
        let remeasured = late.iter().map(|(window, usage)| Remeasured {
            window: self.windows[*window].period.served,
            plan: self.plan,
            usage: usage.clone(),
        });
        let settings = self.settings();
        let invoice = assemble(&BillInput {
            subscription: &self.state,
            plan: self.plan,
            moment,
            usage: &usage,
            billed: &self.billed(moment, late.keys()),
            remeasured: &remeasured.collect::<Vec<_>>(),
            settings: &settings,
            bill_to: &self.tenant.bill_to,
            terms: BillTerms { taxes: self.taxes(), coupons: &self.coupons },
        });
        let invoice = invoice.and_then(|invoice| verify(&invoice).map(|()| invoice));
        Ok(Drafted { invoice: invoice.map_err(|error| self.refused(error))?, usage, late, cut })
    }

    /// The issued lines that a document of this moment must know: about the windows that it measures again, and, where the
    /// subscription ends, about the period that ends with it.
    fn billed<'a>(&self, moment: &BillMoment, late: impl Iterator<Item = &'a usize>) -> Vec<BilledLine> {
        let ended = moment.closes.filter(|_| moment.is_last).map(|closes| closes.full);
        let stretches: Vec<Period> = late.map(|window| self.windows[*window].period.served).chain(ended).collect();
        let covers = |line: &&BilledLine| {
            stretches.iter().any(|stretch| stretch.start <= line.period.start && line.period.end <= stretch.end)
        };
        if stretches.is_empty() { Vec::new() } else { self.lines.iter().filter(covers).cloned().collect() }
    }

    /// Closes the next moment; answers its invoice, where it has one, paid by the wallets as far as they can. `numbers` counts
    /// those that are taken.
    pub fn close(&mut self, numbers: &mut u64, wallets: &mut Wallets) -> Result<Option<Arc<Invoice>>, FieldError> {
        let Some(Closing { moment, at, wave }) = self.next.take() else {
            return Ok(None);
        };
        let drafted = self.draft(&moment, at)?;
        let is_issued = drafted.invoice.is_owed(&self.prepared.settings) || self.was_drafted(&moment, at)?;
        let Drafted { mut invoice, usage, late, cut } = drafted;
        for (window, usage) in late {
            self.windows[window].usage.extend(usage);
        }
        self.windows.extend(moment.closes.map(|period| ClosedWindow { period, closed_at: at, usage }));
        self.billed_until = Some(moment.at);
        self.last = Some(LastClosing { at, wave, cut, revision: moment.revision });
        let mut issued = None;
        if is_issued {
            *numbers += 1;
            let number = format_number(&self.prepared.settings.series, None, *numbers);
            wallets.pay(&mut invoice, at).map_err(|error| self.refused(error))?;
            let invoice = finalize(invoice, number, at).map_err(|error| self.refused(error))?;
            self.lines.extend(invoice.lines.iter().map(BilledLine::from));
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
    fn redeem(&mut self, invoice: &Invoice) -> Result<(), MoneyError> {
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
        Ok(self.draft(moment, drafted_at)?.invoice.is_owed(&self.prepared.settings))
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
        self.prepared.terms(self.tenant, self.plan)
    }

    /// What stops this subscription is told at the command that started it.
    pub fn refused(&self, error: impl Display) -> FieldError {
        at_command(self.place, "", error)
    }
}

/// A document that is not issued yet, with what it stands on.
pub(super) struct Drafted {
    pub invoice: Invoice,
    usage: BTreeMap<MeterKey, UsageFigure>,
    late: BTreeMap<usize, BTreeMap<MeterKey, UsageFigure>>,
    cut: usize,
}

/// The domain's errors say reason and way out in one sentence.
pub(super) fn at_command(place: usize, below: &str, error: impl Display) -> FieldError {
    let text = error.to_string();
    let (reason, way_out) = text.split_once("; ").unwrap_or((&text, "check the command and its instant"));
    FieldError::new(format!("/timeline/{place}{below}"), reason, way_out)
}
