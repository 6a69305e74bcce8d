//! When something is billed. At the bill moment B: prices in advance for the period that starts at B; prices in arrears and
//! usage for the period that ended at B. The first moment is the start, when anything is billed in advance; the last is
//! the end. A change that asks for it is billed at once, by a moment of its own; what else changes about periods that are billed
//! already is billed with the next moment.

use super::sold::{committed, find, metered};
use super::timeline::{Clock, Segment};
use super::{Change, InvoiceTiming, Subscription, TimelineError};
use crate::id::{MeterKey, SubscriptionId};
use crate::invoice::InvoiceReference;
use crate::period::{BillingAnchor, Fraction, MAX_PERIODS, Period, PeriodError, zone::day_of};
use crate::plan::{Demand, PlanBook};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A billing period, and the part of it in which the subscription ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServedPeriod {
    pub full: Period,
    pub served: Period,
}

impl ServedPeriod {
    /// The share of the period that a part of it is, by [`Fraction::of_period`]. Where charging begins on the period's first
    /// day, at whatever hour, that day is charged from its beginning.
    pub fn share(&self, part: Period, subscription: &Subscription) -> Result<Fraction, PeriodError> {
        let zone = subscription.zone;
        let begins =
            subscription.charging_begins_at(part.start) && day_of(part.start, zone)? == day_of(self.full.start, zone)?;
        let start = if begins { self.full.start } else { part.start };
        Fraction::of_period(&Period::new(start, part.end), &self.full, zone)
    }
}

/// The usage that a bill moment needs: everything of `meter` in `window`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UsageNeed {
    pub meter: MeterKey,
    pub window: Period,
}

/// How far a subscription is billed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last bill moment that is closed.
    pub until: Option<DateTime<Utc>>,
    /// How many of its changes were known when that moment was closed: what they change is billed.
    pub changes: usize,
}

/// An earlier period that a change concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    pub period: ServedPeriod,
    /// Whether it was closed, with its usage; else only what was paid in advance for it is settled.
    pub is_closed: bool,
}

/// One moment at which a subscription is billed. It makes at most one invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillMoment {
    pub subscription_id: SubscriptionId,
    pub at: DateTime<Utc>,
    /// The period that ended: billed in arrears, with its usage.
    pub closes: Option<ServedPeriod>,
    /// The period that begins: billed in advance. Only where something is.
    pub opens: Option<ServedPeriod>,
    /// Whether the subscription ends here.
    pub is_last: bool,
    /// Whether what was paid in advance for the period that ended is settled: the subscription ends, or it was changed.
    #[serde(default)]
    pub settles: bool,
    /// Whether a plan of the period that ended commits to an amount: what was charged for it so far counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub commits: bool,
    /// Earlier periods that a change concerns which was recorded since, in order: billed are the differences.
    #[serde(default)]
    pub reopens: Vec<Reopened>,
    /// 0; counts up for further documents about the same moment.
    pub revision: u32,
    /// The voided invoice that is billed anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<InvoiceReference>,
    /// What has to be fetched, in the order of the meters' keys.
    pub usage: Vec<UsageNeed>,
}

impl BillMoment {
    /// The period that its invoice is about: the one it closes, or else the one it opens; none for corrections alone.
    pub fn period(&self) -> Option<Period> {
        self.closes.or(self.opens).map(|period| period.served)
    }

    /// The periods of which earlier lines must be known.
    pub fn compared(&self) -> impl Iterator<Item = ServedPeriod> + '_ {
        self.closes
            .filter(|_| self.settles || self.commits)
            .into_iter()
            .chain(self.reopens.iter().map(|reopened| reopened.period))
    }
}

/// Every bill moment after `progress` that is due at `as_of`, in order; at most [`MAX_PERIODS`], so that a caller that reaches
/// this number asks again after the last one.
pub fn bill_moments(
    subscription: &Subscription,
    plans: &dyn PlanBook,
    progress: Progress,
    as_of: DateTime<Utc>,
) -> Result<Vec<BillMoment>, TimelineError> {
    let mut moments = Vec::new();
    let mut progress = progress;
    while moments.len() < MAX_PERIODS {
        let Some(moment) = next_moment(subscription, plans, progress)? else {
            break;
        };
        if moment.at > as_of {
            break;
        }
        progress = Progress { until: Some(moment.at), changes: subscription.changes.len() };
        moments.push(moment);
    }
    Ok(moments)
}

/// The first bill moment after what is billed, or the first of all; none when everything is billed.
pub fn next_moment(
    subscription: &Subscription,
    plans: &dyn PlanBook,
    progress: Progress,
) -> Result<Option<BillMoment>, TimelineError> {
    let course = Course { subscription, plans, segments: subscription.segments()?, progress };
    let pending = subscription.changes.get(progress.changes..).unwrap_or_default();
    let regular = course.regular()?;
    let known = |change: &Change| known_at(subscription, change);
    let at_once = pending.iter().filter(|change| change.invoice == InvoiceTiming::Now).map(known).min();
    let bounds = match (regular, at_once) {
        (Some(regular), Some(at)) if course.after_billed(at) < regular.at => {
            Bounds { at: course.after_billed(at), closes: None, opens: None }
        }
        (Some(regular), _) => regular,
        // Nothing is to come, but the last change came after everything was billed.
        (None, _) => match pending.iter().map(known).max() {
            Some(at) => Bounds { at: course.after_billed(at), closes: course.last_period()?, opens: None },
            None => return Ok(None),
        },
    };
    course.moment(bounds, pending).map(Some)
}

/// When a change is known and holds. Past the end nothing is charged, so that nothing is waited for there.
fn known_at(subscription: &Subscription, change: &Change) -> DateTime<Utc> {
    change.recorded_at.max(change.at).max(change.charged_from.min(subscription.end()))
}

/// A moment for late usage that is found when the subscription has no further moment: it carries adjustments only.
/// `revision` counts from 1.
pub fn after_end(subscription: &Subscription, ended_at: DateTime<Utc>, revision: u32) -> BillMoment {
    BillMoment {
        subscription_id: subscription.id.clone(),
        at: ended_at,
        closes: None,
        opens: None,
        is_last: false,
        settles: false,
        commits: false,
        reopens: Vec::new(),
        revision,
        replaces: None,
        usage: Vec::new(),
    }
}

/// A moment that compares every period from the one that holds `from` on with what it should be as of now: it carries nothing
/// but differences, and none where nothing has changed. `revision` counts from 1 at one instant.
pub fn rerated(
    subscription: &Subscription,
    plans: &dyn PlanBook,
    progress: Progress,
    from: DateTime<Utc>,
    revision: u32,
) -> Result<Option<BillMoment>, TimelineError> {
    let Some(until) = progress.until else {
        return Ok(None);
    };
    let course = Course { subscription, plans, segments: subscription.segments()?, progress };
    let reopens = course.billed_since(from, until)?;
    let mut usage = BTreeSet::new();
    for reopened in reopens.iter().filter(|reopened| reopened.is_closed) {
        usage.extend(usage_needs(subscription, plans, reopened.period.served)?);
    }
    let usage = usage.into_iter().collect();
    Ok(Some(BillMoment { reopens, usage, ..after_end(subscription, until, revision) }))
}

/// The usage that is billed for a period, each window by itself.
pub fn usage_needs(
    subscription: &Subscription,
    plans: &dyn PlanBook,
    within: Period,
) -> Result<BTreeSet<UsageNeed>, TimelineError> {
    let mut needs = BTreeSet::new();
    for sold in metered(subscription, plans, within)? {
        if let Some(meter) = sold.price.meter() {
            needs.extend(sold.parts.iter().map(|part| UsageNeed { meter: meter.clone(), window: part.span }));
        }
    }
    Ok(needs)
}

/// What the prices of a subscription ask of a meter's usage in a window, beside the whole.
pub fn demand(subscription: &Subscription, plans: &dyn PlanBook, need: &UsageNeed) -> Result<Demand, TimelineError> {
    let mut demand = Demand::default();
    for sold in metered(subscription, plans, need.window)? {
        if sold.price.meter() == Some(&need.meter) {
            demand.add(&sold.price, subscription.currency);
        }
    }
    Ok(demand)
}

struct Bounds {
    at: DateTime<Utc>,
    closes: Option<ServedPeriod>,
    opens: Option<ServedPeriod>,
}

/// A subscription on its way through its periods.
struct Course<'a> {
    subscription: &'a Subscription,
    plans: &'a dyn PlanBook,
    segments: Vec<Segment>,
    progress: Progress,
}

impl Course<'_> {
    /// The next moment that follows from the periods alone.
    fn regular(&self) -> Result<Option<Bounds>, TimelineError> {
        let (after, end) = (self.progress.until, self.subscription.end());
        for (index, segment) in self.segments.iter().enumerate() {
            let until = segment.until.min(end);
            if until <= segment.from {
                continue;
            }
            let goes_on = index > 0 && self.segments[index - 1].until == segment.from;
            if !goes_on && after.is_none_or(|after| after < segment.from) {
                let opens = Some(self.first(segment)?);
                if let Some(opens) = self.paid_in_advance(opens)? {
                    return Ok(Some(Bounds { at: segment.from, closes: None, opens: Some(opens) }));
                }
            }
            let from = after.map_or(segment.from, |after| after.max(segment.from));
            if until <= from {
                continue;
            }
            let closes = self.served(segment, segment.anchor.period_containing(from)?);
            let at = closes.served.end;
            let opens = match self.segments.get(index + 1) {
                _ if at == end => None,
                Some(next) if at == segment.until => (next.from == at).then(|| self.first(next)).transpose()?,
                _ => Some(self.served(segment, segment.anchor.period_containing(at)?)),
            };
            return Ok(Some(Bounds { at, closes: Some(closes), opens: self.paid_in_advance(opens)? }));
        }
        Ok(None)
    }

    fn moment(&self, bounds: Bounds, pending: &[Change]) -> Result<BillMoment, TimelineError> {
        let Bounds { at, closes, opens } = bounds;
        let is_last = self.subscription.ended_at.is_some_and(|end| end <= at) && opens.is_none();
        let reaches_back_to = pending.iter().map(Change::reaches_back_to).min();
        let mut reopens = Vec::new();
        if let (Some(from), Some(until)) = (reaches_back_to, self.progress.until) {
            reopens = self.billed_since(from, until)?;
            let closing = |it: &Reopened| {
                closes.is_some_and(|closes| {
                    (closes.full, closes.served.start) == (it.period.full, it.period.served.start)
                })
            };
            reopens.retain(|reopened| !closing(reopened));
        }
        let changed = |closes: ServedPeriod| reaches_back_to.is_some_and(|from| from < closes.full.end);
        let mut usage = BTreeSet::new();
        let closed = reopens.iter().filter(|reopened| reopened.is_closed).map(|reopened| reopened.period);
        for period in closes.into_iter().chain(closed) {
            usage.extend(usage_needs(self.subscription, self.plans, period.served)?);
        }
        Ok(BillMoment {
            subscription_id: self.subscription.id.clone(),
            at,
            closes,
            opens,
            is_last,
            settles: closes.is_some_and(|closes| is_last || changed(closes)),
            commits: match closes {
                Some(closes) => !committed(self.subscription, self.plans, closes.served)?.is_empty(),
                None => false,
            },
            reopens,
            revision: 0,
            replaces: None,
            usage: usage.into_iter().collect(),
        })
    }

    /// The periods from the one that holds `from` to the last one that has begun to be billed.
    fn billed_since(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<Reopened>, TimelineError> {
        let mut reopens = Vec::new();
        let next = self.segments.iter().skip(1).map(|next| next.from).chain([DateTime::<Utc>::MAX_UTC]);
        for (segment, next) in self.segments.iter().zip(next) {
            let mut at = segment.from.max(from);
            // Past its end too, up to the next one: what was billed there is not served any more.
            while at < next {
                let period = self.served(segment, segment.anchor.period_containing(at)?);
                if period.served.start > until {
                    break;
                }
                let is_closed = period.full.end.min(segment.until).min(self.subscription.end()) <= until;
                reopens.push(Reopened { period, is_closed });
                at = period.full.end;
            }
        }
        Ok(reopens)
    }

    /// The period in which it ends.
    fn last_period(&self) -> Result<Option<ServedPeriod>, TimelineError> {
        let end = self.subscription.end();
        let Some(segment) = self.segments.iter().rev().find(|segment| segment.from < end) else {
            return Ok(None);
        };
        let inside = end.min(segment.until) - Duration::nanoseconds(1);
        Ok(Some(self.served(segment, segment.anchor.period_containing(inside)?)))
    }

    fn first(&self, segment: &Segment) -> Result<ServedPeriod, TimelineError> {
        Ok(self.served(segment, segment.anchor.period_containing(segment.from)?))
    }

    fn served(&self, segment: &Segment, full: Period) -> ServedPeriod {
        let start = full.start.max(segment.from);
        let end = full.end.min(segment.until).min(self.subscription.end());
        ServedPeriod { full, served: Period::new(start, end.max(start)) }
    }

    /// The period, where anything is paid in advance for it.
    fn paid_in_advance(&self, period: Option<ServedPeriod>) -> Result<Option<ServedPeriod>, TimelineError> {
        let Some(period) = period else { return Ok(None) };
        for stretch in self.subscription.stretches(Clock::Charged) {
            if stretch.terms.trial.is_some() || stretch.span.intersect(&period.served).is_none() {
                continue;
            }
            for (_, plan, version, _) in stretch.terms.plans() {
                let plan = find(self.plans, plan, version)?;
                if plan.prices.iter().any(|price| price.timing().is_in_advance()) {
                    return Ok(Some(period));
                }
            }
        }
        Ok(None)
    }

    /// The instant, or the first one after what is billed.
    fn after_billed(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.progress.until.map_or(at, |until| at.max(until + Duration::microseconds(1)))
    }
}

impl Subscription {
    /// The billing period that holds an instant, with the part of it in which the subscription ran; none while it does not.
    pub fn period_at(&self, instant: DateTime<Utc>) -> Result<Option<ServedPeriod>, PeriodError> {
        if !self.is_active(instant) {
            return Ok(None);
        }
        let segment = self.segment_at(instant)?;
        let full = segment.anchor.period_containing(instant)?;
        let end = full.end.min(segment.until).min(self.end());
        Ok(Some(ServedPeriod { full, served: Period::new(full.start.max(segment.from), end) }))
    }

    /// What fixes its billing periods at an instant.
    pub fn anchor_at(&self, instant: DateTime<Utc>) -> Result<BillingAnchor, PeriodError> {
        Ok(self.segment_at(instant)?.anchor)
    }

    /// The full billing periods that share an instant with `range`, in order.
    pub fn periods_between(&self, range: Period) -> Result<Vec<Period>, PeriodError> {
        let segments = self.segments()?;
        let mut periods = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let from = if index == 0 { range.start } else { segment.from };
            let until = segments.get(index + 1).map_or(range.end, |next| next.from);
            if let Some(inside) = range.intersect(&Period::new(from, until)) {
                let own = segment.anchor.periods_between(inside)?.into_iter();
                periods.extend(own.filter_map(|period| match index {
                    0 => Some(Period::new(period.start, period.end.min(until.max(period.start)))),
                    _ => period.intersect(&Period::new(segment.from, until)),
                }));
            }
        }
        Ok(periods)
    }

    /// The earliest instant at which its next bill moment can be, whatever its plans sell; none when everything is billed.
    pub fn due_from(&self, progress: Progress) -> Result<Option<DateTime<Utc>>, PeriodError> {
        let pending = self.changes.get(progress.changes..).unwrap_or_default();
        let mut next = None;
        for segment in self.segments()? {
            let until = segment.until.min(self.end());
            if until <= segment.from || progress.until.is_some_and(|billed| until <= billed) {
                continue;
            }
            let at = match progress.until.filter(|billed| *billed >= segment.from) {
                None => segment.from,
                Some(billed) => segment.anchor.period_containing(billed)?.end.min(until),
            };
            next = Some(at);
            break;
        }
        let waits = |change: &&Change| next.is_none() || change.invoice == InvoiceTiming::Now;
        Ok(pending.iter().filter(waits).map(|change| known_at(self, change)).chain(next).min())
    }

    /// When the period that holds an instant ends, whether the subscription still runs then or not.
    pub(super) fn period_end(&self, instant: DateTime<Utc>) -> Result<DateTime<Utc>, PeriodError> {
        let segment = self.segment_at(instant)?;
        Ok(segment.anchor.period_containing(instant)?.end.min(segment.until))
    }

    /// The last segment that has begun, or the first.
    fn segment_at(&self, instant: DateTime<Utc>) -> Result<Segment, PeriodError> {
        let segments = self.segments()?;
        let begun = segments.iter().rev().find(|segment| segment.from <= instant);
        begun.or(segments.first()).copied().ok_or(PeriodError::OutOfRange)
    }

    /// What of a period's time is its own: where another begins anew inside it, that one's is not.
    pub fn cover(&self, period: &ServedPeriod) -> Result<Period, PeriodError> {
        let next = self.segments()?.iter().map(|segment| segment.from).find(|from| *from > period.served.start);
        Ok(Period::new(period.served.start, next.map_or(period.full.end, |next| next.min(period.full.end))))
    }

    fn charging_begins_at(&self, instant: DateTime<Utc>) -> bool {
        instant == self.started_at
            || self
                .segments()
                .is_ok_and(|segments| segments.iter().any(|segment| segment.is_fresh && segment.from == instant))
    }
}
