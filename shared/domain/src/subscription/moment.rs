//! A bill moment: what is billed at one instant, about which periods, and over which usage.

use super::Subscription;
use super::usage::UsageNeed;
use crate::id::SubscriptionId;
use crate::invoice::InvoiceReference;
use crate::period::{Fraction, Period, PeriodError, zone::day_of};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

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
