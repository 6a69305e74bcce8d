//! Coupons of a simulation: what a timeline asks of them.

use super::course::at_command;
use super::document::{ApplyCouponInput, RemoveCouponInput};
use super::run::Simulation;
use crate::discount::{AppliedCoupon, Use, apply, remove};
use crate::error::FieldError;
use crate::id::CouponKey;
use crate::subscription::SubscriptionError;
use chrono::{DateTime, Utc};

impl Simulation<'_> {
    pub(super) fn apply_coupon(
        &mut self,
        place: usize,
        now: DateTime<Utc>,
        index: Option<usize>,
        input: &ApplyCouponInput,
    ) -> Result<(), FieldError> {
        const NAME: &str = "/apply_coupon";
        let coupon = self.prepared.coupons.get(&input.coupon).ok_or_else(|| {
            let reason = format!("{} is not a coupon of the document", input.coupon);
            FieldError::new(format!("/timeline/{place}{NAME}/coupon"), reason, "add it to coupons, or check its key")
        })?;
        let index = index.ok_or_else(|| at_command(place, NAME, SubscriptionError::Unknown))?;
        let so_far = Use { subscriptions: self.uses_of(&coupon.key), billed_until: self.courses[index].progress.until };
        let course = &mut self.courses[index];
        let applied = apply(&course.state, &course.coupons, coupon, so_far, input.from, now);
        let applied = applied.map_err(|error| at_command(place, NAME, error))?;
        let (coupon, from) = (coupon.clone(), applied.from);
        course.coupons.push(AppliedCoupon { coupon, from, until: None, redeemed: Vec::new() });
        Ok(())
    }

    pub(super) fn remove_coupon(
        &mut self,
        place: usize,
        now: DateTime<Utc>,
        index: Option<usize>,
        input: &RemoveCouponInput,
    ) -> Result<(), FieldError> {
        const NAME: &str = "/remove_coupon";
        let index = index.ok_or_else(|| at_command(place, NAME, SubscriptionError::Unknown))?;
        let course = &mut self.courses[index];
        let removed = remove(&course.state, &course.coupons, &input.coupon, now);
        let removed = removed.map_err(|error| at_command(place, NAME, error))?;
        for applied in course.coupons.iter_mut().filter(|applied| applied.coupon.key == removed.coupon) {
            applied.until = Some(removed.at);
        }
        Ok(())
    }

    fn uses_of(&self, coupon: &CouponKey) -> u64 {
        let has = |applied: &AppliedCoupon| applied.coupon.key == *coupon;
        self.courses.iter().filter(|course| course.coupons.iter().any(has)).count() as u64
    }
}
