//! When something is billed. At the bill moment B: prices in advance for the period that starts at B; prices in arrears and
//! usage for the period that ended at B. The first moment is the start, when anything is billed in advance; the last is
//! the end.

use super::Subscription;
use crate::id::{MeterKey, SubscriptionId};
use crate::period::{Fraction, MAX_PERIODS, Period, PeriodError, TimeZone, zone::day_of};
use crate::plan::{PlanVersion, Timing};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A billing period, and the part of it in which the subscription ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServedPeriod {
    pub full: Period,
    pub served: Period,
}

impl ServedPeriod {
    /// The share of the period that is charged, by [`Fraction::of_period`]. A subscription that starts on the period's
    /// first day, at whatever hour, is charged for that day from its beginning.
    pub fn share(&self, zone: TimeZone) -> Result<Fraction, PeriodError> {
        let same_day = day_of(self.served.start, zone)? == day_of(self.full.start, zone)?;
        let start = if same_day { self.full.start } else { self.served.start };
        Fraction::of_period(&Period::new(start, self.served.end), &self.full, zone)
    }
}

/// The usage that a bill moment needs: everything of `meter` in `window`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UsageNeed {
    pub meter: MeterKey,
    pub window: Period,
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
    /// Whether the subscription ends here; what was paid in advance and not served is credited.
    pub is_last: bool,
    /// 0; counts up for further documents about the same moment.
    pub revision: u32,
    /// What has to be fetched, in the order of the meters' keys.
    pub usage: Vec<UsageNeed>,
}

impl BillMoment {
    /// The period that its invoice is about: the one it closes, or else the one it opens; none for late usage alone.
    pub fn period(&self) -> Option<Period> {
        self.closes.or(self.opens).map(|period| period.served)
    }
}

/// Every bill moment after `after` (all of them when absent) that is due at `as_of`, in order; at most [`MAX_PERIODS`], so
/// that a caller that reaches this number asks again after the last one.
pub fn bill_moments(
    subscription: &Subscription,
    plan: &PlanVersion,
    after: Option<DateTime<Utc>>,
    as_of: DateTime<Utc>,
) -> Result<Vec<BillMoment>, PeriodError> {
    let mut moments = Vec::new();
    let mut last = after;
    while moments.len() < MAX_PERIODS {
        let Some(moment) = next_moment(subscription, plan, last)? else {
            break;
        };
        if moment.at > as_of {
            break;
        }
        last = Some(moment.at);
        moments.push(moment);
    }
    Ok(moments)
}

/// The first bill moment after `after`, or the first of all; none after the end.
pub fn next_moment(
    subscription: &Subscription,
    plan: &PlanVersion,
    after: Option<DateTime<Utc>>,
) -> Result<Option<BillMoment>, PeriodError> {
    let in_advance = plan.prices.iter().any(|price| price.timing() == Timing::InAdvance);
    let start = subscription.started_at;
    let anchor = subscription.anchor()?;
    if after.is_none_or(|after| after < start) && in_advance {
        let opens = served(subscription, anchor.period_containing(start)?);
        return Ok(Some(moment(subscription, plan, start, None, Some(opens))));
    }
    let from = after.map_or(start, |after| after.max(start));
    if subscription.ended_at.is_some_and(|end| end <= from) {
        return Ok(None);
    }
    let closes = served(subscription, anchor.period_containing(from)?);
    let at = closes.served.end;
    let goes_on = subscription.ended_at.is_none_or(|end| at < end);
    let opens = if goes_on && in_advance { Some(served(subscription, anchor.period_containing(at)?)) } else { None };
    Ok(Some(moment(subscription, plan, at, Some(closes), opens)))
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
        revision,
        usage: Vec::new(),
    }
}

fn served(subscription: &Subscription, full: Period) -> ServedPeriod {
    let start = full.start.max(subscription.started_at);
    let end = subscription.ended_at.map_or(full.end, |end| full.end.min(end));
    ServedPeriod { full, served: Period::new(start, end) }
}

fn moment(
    subscription: &Subscription,
    plan: &PlanVersion,
    at: DateTime<Utc>,
    closes: Option<ServedPeriod>,
    opens: Option<ServedPeriod>,
) -> BillMoment {
    let windows = closes.iter().flat_map(|closed| {
        plan.billed_meters().into_iter().map(|meter| UsageNeed { meter: meter.clone(), window: closed.served })
    });
    BillMoment {
        subscription_id: subscription.id.clone(),
        at,
        closes,
        opens,
        is_last: subscription.ended_at == Some(at),
        revision: 0,
        usage: windows.collect(),
    }
}
