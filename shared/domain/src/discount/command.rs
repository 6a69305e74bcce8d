//! Applying a coupon to a subscription and taking it away: what may be asked, and what is recorded of it.

use super::{AppliedCoupon, Coupon};
use crate::id::{CouponKey, SubscriptionId, TenantId};
use crate::money::Currency;
use crate::subscription::Subscription;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A coupon was put on a subscription. Its terms are those of the catalogue, which never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponApplied {
    pub tenant_id: TenantId,
    pub subscription_id: SubscriptionId,
    pub coupon: CouponKey,
    /// The first bill moment it is for, inclusive.
    pub from: DateTime<Utc>,
}

/// A coupon was taken from a subscription. What it discounted stays discounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponRemoved {
    pub tenant_id: TenantId,
    pub subscription_id: SubscriptionId,
    pub coupon: CouponKey,
    /// The first bill moment that it is no longer for.
    pub at: DateTime<Utc>,
}

/// Why a coupon cannot be applied or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CouponError {
    #[error("coupon {coupon} could be used until {redeem_by} only; offer another one")]
    TooLate { coupon: CouponKey, redeem_by: DateTime<Utc> },
    #[error("coupon {coupon} was used {most} times, which is all it is good for; offer another one")]
    UsedUp { coupon: CouponKey, most: u32 },
    #[error("coupon {coupon} is not for a subscription in {currency}; offer one that is")]
    WrongCurrency { coupon: CouponKey, currency: Currency },
    #[error("coupon {coupon} was applied to the subscription already; a subscription takes each coupon once")]
    AppliedAlready { coupon: CouponKey },
    #[error("the subscription ended at {at}; apply the coupon to one that runs")]
    Ended { at: DateTime<Utc> },
    #[error("everything up to {billed_until} is billed; apply the coupon from a later instant")]
    BilledAlready { billed_until: DateTime<Utc> },
    #[error("coupon {coupon} is not on the subscription; check its key")]
    NotApplied { coupon: CouponKey },
    #[error("coupon {coupon} was removed at {at} already; there is nothing to do")]
    RemovedAlready { coupon: CouponKey, at: DateTime<Utc> },
}

/// What happened before a coupon is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// To how many subscriptions it was ever applied.
    pub subscriptions: u64,
    /// The last bill moment of this subscription that is closed.
    pub billed_until: Option<DateTime<Utc>>,
}

/// Puts a coupon on a subscription from `from` on, or from `now` when absent. `applied` are the subscription's coupons, with
/// those that were removed.
pub fn apply(
    subscription: &Subscription,
    applied: &[AppliedCoupon],
    coupon: &Coupon,
    use_so_far: Use,
    from: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<CouponApplied, CouponError> {
    let (key, from, Use { subscriptions, billed_until }) = (|| coupon.key.clone(), from.unwrap_or(now), use_so_far);
    if applied.iter().any(|it| it.coupon.key == coupon.key) {
        return Err(CouponError::AppliedAlready { coupon: key() });
    }
    if let Some(redeem_by) = coupon.redeem_by.filter(|last| *last < now) {
        return Err(CouponError::TooLate { coupon: key(), redeem_by });
    }
    if let Some(most) = coupon.max_redemptions.filter(|most| u64::from(*most) <= subscriptions) {
        return Err(CouponError::UsedUp { coupon: key(), most });
    }
    if !coupon.is_for(subscription.currency) {
        return Err(CouponError::WrongCurrency { coupon: key(), currency: subscription.currency });
    }
    if let Some(at) = subscription.ended_at.filter(|end| *end < from) {
        return Err(CouponError::Ended { at });
    }
    if let Some(billed_until) = billed_until.filter(|billed| from <= *billed) {
        return Err(CouponError::BilledAlready { billed_until });
    }
    let (tenant_id, subscription_id) = (subscription.tenant.clone(), subscription.id.clone());
    Ok(CouponApplied { tenant_id, subscription_id, coupon: key(), from })
}

/// Takes a coupon from a subscription: it is for no bill moment from `now` on.
pub fn remove(
    subscription: &Subscription,
    applied: &[AppliedCoupon],
    coupon: &CouponKey,
    now: DateTime<Utc>,
) -> Result<CouponRemoved, CouponError> {
    let key = || coupon.clone();
    let found = applied.iter().find(|it| it.coupon.key == *coupon);
    let found = found.ok_or_else(|| CouponError::NotApplied { coupon: key() })?;
    if let Some(at) = found.until {
        return Err(CouponError::RemovedAlready { coupon: key(), at });
    }
    let (tenant_id, subscription_id) = (subscription.tenant.clone(), subscription.id.clone());
    Ok(CouponRemoved { tenant_id, subscription_id, coupon: key(), at: now })
}
