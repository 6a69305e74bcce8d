//! A subscription on its way through its periods: which one is billed next, and which earlier ones a change concerns.

use super::moment::{BillMoment, Progress, Reopened, ServedPeriod};
use super::segments::Segment;
use super::sold::{committed, find};
use super::timeline::Clock;
use super::usage::usage_needs;
use super::{Change, Subscription, TimelineError};
use crate::period::Period;
use crate::plan::PlanBook;
use chrono::{DateTime, Duration, Utc};
use std::collections::BTreeSet;

/// When, and about what, a moment is.
pub(super) struct Bounds {
    pub at: DateTime<Utc>,
    pub closes: Option<ServedPeriod>,
    pub opens: Option<ServedPeriod>,
}

/// A subscription on its way through its periods.
pub(super) struct Course<'a> {
    pub subscription: &'a Subscription,
    pub plans: &'a dyn PlanBook,
    pub segments: Vec<Segment>,
    pub progress: Progress,
}

impl Course<'_> {
    /// The next moment that follows from the periods alone.
    pub(super) fn regular(&self) -> Result<Option<Bounds>, TimelineError> {
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

    pub(super) fn moment(&self, bounds: Bounds, pending: &[Change]) -> Result<BillMoment, TimelineError> {
        let Bounds { at, closes, opens } = bounds;
        let is_last = self.subscription.ended_at.is_some_and(|end| end <= at) && opens.is_none();
        let reaches_back_to = pending.iter().map(Change::reaches_back_to).min();
        let mut reopens = Vec::new();
        if let (Some(from), Some(until)) = (reaches_back_to, self.progress.until) {
            // What is recorded is billed, however far it reaches back.
            reopens = billed_since(self.subscription, &self.segments, from, until, usize::MAX)?;
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

    /// The period in which it ends.
    pub(super) fn last_period(&self) -> Result<Option<ServedPeriod>, TimelineError> {
        let end = self.subscription.end();
        let Some(segment) = self.segments.iter().rev().find(|it| it.from < end && it.from < it.until) else {
            return Ok(None);
        };
        let inside = end.min(segment.until) - Duration::nanoseconds(1);
        Ok(Some(self.served(segment, segment.anchor.period_containing(inside)?)))
    }

    fn first(&self, segment: &Segment) -> Result<ServedPeriod, TimelineError> {
        Ok(self.served(segment, segment.anchor.period_containing(segment.from)?))
    }

    fn served(&self, segment: &Segment, full: Period) -> ServedPeriod {
        served(self.subscription, segment, full)
    }

    /// The period, where anything is paid in advance for it.
    fn paid_in_advance(&self, period: Option<ServedPeriod>) -> Result<Option<ServedPeriod>, TimelineError> {
        let Some(period) = period else { return Ok(None) };
        let stretches = self.subscription.stretches_within(Clock::Charged, period.served);
        for stretch in stretches.iter().filter(|stretch| stretch.terms.trial.is_none()) {
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
    pub(super) fn after_billed(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.progress.until.map_or(at, |until| at.max(until + Duration::microseconds(1)))
    }
}

/// The periods from the one that holds `from` to the last one that has begun to be billed, up to `most`.
pub(super) fn billed_since(
    subscription: &Subscription,
    segments: &[Segment],
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    most: usize,
) -> Result<Vec<Reopened>, TimelineError> {
    let mut reopens = Vec::new();
    let next = segments.iter().skip(1).map(|next| next.from).chain([DateTime::<Utc>::MAX_UTC]);
    for (segment, next) in segments.iter().zip(next) {
        let mut at = segment.from.max(from);
        // Past its end too, up to the next one: what was billed there is not served any more.
        while at < next {
            let period = served(subscription, segment, segment.anchor.period_containing(at)?);
            if period.served.start > until {
                break;
            }
            if reopens.len() == most {
                return Err(TimelineError::TooManyPeriods { most });
            }
            let is_closed = period.full.end.min(segment.until).min(subscription.end()) <= until;
            reopens.push(Reopened { period, is_closed });
            at = period.full.end;
        }
    }
    Ok(reopens)
}

fn served(subscription: &Subscription, segment: &Segment, full: Period) -> ServedPeriod {
    let start = full.start.max(segment.from);
    let end = full.end.min(segment.until).min(subscription.end());
    ServedPeriod { full, served: Period::new(start, end.max(start)) }
}
