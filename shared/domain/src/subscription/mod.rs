//! Subscriptions: which tenant buys which version of a plan, from when until when, and in which currency and zone.
//!
//! [`decide`] says what a command leads to, [`evolve`] what an event makes of the state; both are pure. When something is
//! to be billed is the matter of [`bill_moments`].

mod closing;
mod command;
mod moments;

pub use closing::{COLLECT_HOURS, closes_at};
pub use command::{StartTerms, SubscriptionCommand, SubscriptionError, decide, evolve};
pub use moments::{BillMoment, ServedPeriod, UsageNeed, after_end, bill_moments, next_moment};

use crate::id::{PlanKey, SubscriptionId, TenantId};
use crate::money::Currency;
use crate::period::{Alignment, BillingAnchor, Interval, PeriodError, TimeZone, zone::day_of};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One subscription, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub tenant: TenantId,
    pub plan: PlanKey,
    pub plan_version: u32,
    pub currency: Currency,
    /// The zone in which its periods and days are counted.
    #[schema(value_type = String, example = "Europe/Berlin")]
    pub zone: TimeZone,
    pub calendar: Alignment,
    pub interval: Interval,
    /// On which its periods begin: the day of the month, 1 to 31, clamped to each month; of weeks the day of the week, 1 for
    /// Monday; 1 for days and for a calendar subscription.
    pub anchor_day: u8,
    pub started_at: DateTime<Utc>,
    /// When it stops, exclusive; may lie in the future. Absent while it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
}

impl Subscription {
    /// What fixes its billing periods; period 0 is the one in which it started.
    pub fn anchor(&self) -> Result<BillingAnchor, PeriodError> {
        Ok(BillingAnchor {
            interval: self.interval,
            calendar: self.calendar,
            day: self.anchor_day,
            origin: day_of(self.started_at, self.zone)?,
            zone: self.zone,
        })
    }

    /// Whether it is running at `instant`.
    pub fn is_active(&self, instant: DateTime<Utc>) -> bool {
        self.started_at <= instant && self.ended_at.is_none_or(|end| instant < end)
    }
}

#[cfg(test)]
mod tests;
