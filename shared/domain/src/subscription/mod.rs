//! Subscriptions: which tenant buys which version of a plan, from when until when, and in which currency and zone. A
//! subscription is the terms of its start and the list of its changes; [`Subscription::stretches`] is the one fold over both.
//!
//! [`decide`] says what a command leads to, [`evolve`] what an event makes of the state; both are pure. When something is
//! to be billed is the matter of [`bill_moments`].

mod alter;
mod change;
mod closing;
mod command;
mod course;
mod fold;
mod migration;
mod moment;
mod moments;
mod periods;
mod reissue;
mod request;
mod segments;
mod shown;
mod sold;
mod start;
mod terms_checked;
mod timeline;
mod usage;

pub use alter::MAX_CHANGES;
pub use change::{Alteration, Change, InvoiceTiming, Proration, Quantities, SubscriptionChanged, Trial, TrialUsage};
pub use closing::{COLLECT_HOURS, closes_at};
pub use command::{
    ChangeTerms, Effective, Phase, StartOptions, StartTerms, SubscriptionCommand, SubscriptionError, TrialTerms,
    decide, evolve,
};
pub use migration::{
    BlockedSubscription, MigrateWhen, MigrationPlace, MigrationTerms, Moved, NotMigrated, PlanMigration,
    PlanMigrationAdvanced, PlanMigrationStarted,
};
pub use moment::{BillMoment, Progress, Reopened, ServedPeriod};
pub use moments::{MAX_RERATED, after_end, bill_moments, next_moment, rerated};
pub use reissue::reissued;
pub use request::{
    AddAddOn, ChangePlan, ChangeQuantity, ChangeRequest, EffectiveAt, End, OverridePrice, Pause, Reactivate,
    RemoveAddOn,
};
pub use shown::{ShownAddOn, ShownOverride, ShownStretch};
pub use sold::{Part, PriceIdentity, Sold, committed, metered, priced, recurring};
pub use timeline::{AddOn, Clock, Stretch, Terms};
pub use usage::{UsageNeed, demand, usage_needs};

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
    /// How many of each flat price are bought from the start on.
    #[serde(default, skip_serializing_if = "Quantities::is_empty")]
    pub quantities: Quantities,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// In the order in which they were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// Why what a subscription owes cannot be told. It stops this one subscription, never the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimelineError {
    #[error(transparent)]
    Period(#[from] PeriodError),
    #[error(
        "plan {plan} version {version} is not in the catalogue; publish it, or pass the version that the subscription is on"
    )]
    PlanUnknown { plan: PlanKey, version: u32 },
    #[error(
        "more than {most} billed periods would be compared; choose a later instant, and correct what is older by a credit note"
    )]
    TooManyPeriods { most: usize },
}

impl Subscription {
    /// The state after one more change.
    fn with(mut self, change: Change) -> Self {
        match change.what {
            Alteration::Ended => self.ended_at = Some(change.at),
            Alteration::Reactivated { .. } => self.ended_at = None,
            _ => {}
        }
        self.changes.push(change);
        self
    }

    /// What fixes its first billing periods; period 0 is the one in which it started.
    pub fn anchor(&self) -> Result<BillingAnchor, PeriodError> {
        Ok(BillingAnchor {
            interval: self.interval,
            calendar: self.calendar,
            day: self.anchor_day,
            origin: day_of(self.started_at, self.zone)?,
            zone: self.zone,
        })
    }
}

#[cfg(test)]
mod tests;
