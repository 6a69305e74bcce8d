//! A coupon on a subscription: when it is in force, and what is left of it.

use super::{Coupon, CouponKind};
use crate::money::{Currency, Money, MoneyError};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A coupon on a subscription, with everything that issued invoices say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedCoupon {
    pub coupon: Coupon,
    /// The first bill moment it is for, inclusive.
    pub from: DateTime<Utc>,
    /// The first bill moment that it is no longer for.
    pub until: Option<DateTime<Utc>>,
    /// One for each bill moment whose issued documents it discounted, in any order.
    pub redeemed: Vec<Redemption>,
}

/// What a coupon gave at one bill moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    pub billed_at: DateTime<Utc>,
    /// With what corrections of the moment's usage added or took back; zero where it gave units.
    pub given: Money,
}

impl AppliedCoupon {
    /// Whether it discounts what is charged at a bill moment.
    pub fn is_in_force(&self, moment: DateTime<Utc>) -> bool {
        self.is_redeemed(moment) || (self.is_open(moment) && (self.has_redemptions_left() || self.has_rest()))
    }

    /// Whether it discounts what is corrected of an earlier bill moment: where it discounted the moment, whatever became of
    /// the coupon since, and where it is good for ever and was there. A correction never uses up one of counted invoices.
    pub fn is_for_corrections(&self, moment: DateTime<Utc>) -> bool {
        self.is_redeemed(moment) || (self.is_open(moment) && self.coupon.most_redemptions().is_none())
    }

    fn is_redeemed(&self, moment: DateTime<Utc>) -> bool {
        self.redeemed.iter().any(|redemption| redemption.billed_at == moment)
    }

    fn is_open(&self, moment: DateTime<Utc>) -> bool {
        self.from <= moment && self.until.is_none_or(|until| moment < until)
    }

    fn has_redemptions_left(&self) -> bool {
        let count = u32::try_from(self.redeemed.len()).unwrap_or(u32::MAX);
        self.coupon.most_redemptions().is_none_or(|most| count < most)
    }

    /// Of an amount that carries over, whether something was not used yet.
    fn has_rest(&self) -> bool {
        let rest = |redemption: &Redemption| self.available(redemption.billed_at, redemption.given.currency);
        self.carries_over() && self.redeemed.first().map(rest).is_some_and(|rest| rest.is_ok_and(|rest| rest.minor > 0))
    }

    /// Whether it is an amount whose rest is kept for later invoices.
    pub fn carries_over(&self) -> bool {
        matches!(self.coupon.kind, CouponKind::Fixed { carries_over: true, .. })
    }

    /// Of a fixed amount, what may still be given to the charges of a bill moment. It is the same for a moment that is billed
    /// and for one whose usage is corrected: what it has been given already is gone.
    pub fn available(&self, moment: DateTime<Utc>, currency: Currency) -> Result<Money, MoneyError> {
        let CouponKind::Fixed { amount, carries_over } = &self.coupon.kind else {
            return Ok(Money::zero(currency));
        };
        let each = Money::rounded(amount.get(currency).unwrap_or_default(), currency)?;
        let given = |of: &dyn Fn(&Redemption) -> bool| {
            Money::sum(currency, self.redeemed.iter().filter(|redemption| of(redemption)).map(|it| it.given))
        };
        if !carries_over {
            return each.checked_sub(given(&|redemption| redemption.billed_at == moment)?);
        }
        let is_new = !self.is_redeemed(moment);
        let begun = u32::try_from(self.redeemed.len()).unwrap_or(u32::MAX).saturating_add(u32::from(is_new));
        let begun = begun.min(self.coupon.most_redemptions().unwrap_or(u32::MAX));
        let granted = each.minor.checked_mul(begun.into()).ok_or(crate::money::AmountOverflow { currency })?;
        Money::new(granted, currency).checked_sub(given(&|_| true)?)
    }

    /// The part of a hundred that it takes, if that is its kind.
    pub fn percent(&self) -> Option<Decimal> {
        match self.coupon.kind {
            CouponKind::Percentage { percent } => Some(percent),
            CouponKind::Fixed { .. } | CouponKind::Units { .. } => None,
        }
    }

    /// Notes what an issued invoice gave.
    pub fn redeem(&mut self, redemption: Redemption) -> Result<(), MoneyError> {
        match self.redeemed.iter_mut().find(|before| before.billed_at == redemption.billed_at) {
            Some(before) => before.given = before.given.checked_add(redemption.given)?,
            None => self.redeemed.push(redemption),
        }
        Ok(())
    }
}

/// The order in which coupons discount: by priority, fixed amounts before percentages, then as they were applied.
pub fn in_order(coupons: &[AppliedCoupon]) -> Vec<&AppliedCoupon> {
    let mut ordered: Vec<&AppliedCoupon> = coupons.iter().collect();
    ordered.sort_by_key(|it| {
        let is_percentage = matches!(it.coupon.kind, CouponKind::Percentage { .. });
        (it.coupon.priority, is_percentage, it.from, &it.coupon.key)
    });
    ordered
}
