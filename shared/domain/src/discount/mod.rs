//! Discounts: coupons, to which subscription they are applied, and how much of them is left.
//!
//! A [`Coupon`] is part of the catalogue and never changes. Applied to a subscription it is an [`AppliedCoupon`]: what it may
//! still give follows from what the issued invoices say it gave, never from memory. How a discount meets the lines of an
//! invoice is the matter of [`mod@crate::invoice`].

mod applied;
mod command;
mod coupon;

pub use applied::{AppliedCoupon, Redemption, in_order};
pub use command::{CouponApplied, CouponError, CouponRemoved, Use, apply, remove};
pub use coupon::{Coupon, CouponDuration, CouponKind};

use crate::id::CouponKey;
use crate::money::Money;
use serde::{Deserialize, Serialize};

/// What one coupon takes off one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineDiscount {
    pub coupon: CouponKey,
    /// Below zero where a discount that was given is taken back.
    pub amount: Money,
}

#[cfg(test)]
mod tests;
