//! When something is billed. At the bill moment B: prices in advance for the period that starts at B; prices in arrears and
//! usage for the period that ended at B. The first moment is the start, when anything is billed in advance; the last is
//! the end. A change that asks for it is billed at once, by a moment of its own; what else changes about periods that are billed
//! already is billed with the next moment.

use super::course::{Bounds, Course, billed_since};
use super::moment::{BillMoment, Progress};
use super::usage::usage_needs;
use super::{Change, InvoiceTiming, Subscription, TimelineError};
use crate::period::MAX_PERIODS;
use crate::plan::PlanBook;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// The most billed periods that one decision may have compared with what they should be: three years of days, a century of months.
pub const MAX_RERATED: usize = MAX_PERIODS;

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
pub(super) fn known_at(subscription: &Subscription, change: &Change) -> DateTime<Utc> {
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
/// but differences, and none where nothing has changed. `revision` counts from 1 at one instant. At most
/// [`MAX_RERATED`] periods.
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
    let reopens = billed_since(subscription, &subscription.segments()?, from, until, MAX_RERATED)?;
    let mut usage = BTreeSet::new();
    for reopened in reopens.iter().filter(|reopened| reopened.is_closed) {
        usage.extend(usage_needs(subscription, plans, reopened.period.served)?);
    }
    let usage = usage.into_iter().collect();
    Ok(Some(BillMoment { reopens, usage, ..after_end(subscription, until, revision) }))
}
