//! What a plan can be asked for: quantities of its flat prices, in a currency in which it sells.

use super::Subscription;
use super::change::Quantities;
use super::command::SubscriptionError;
use crate::error::FieldError;
use crate::id::PriceKey;
use crate::plan::PlanVersion;
use rust_decimal::Decimal;

/// Decimals of a quantity that is bought.
const MAX_QUANTITY_DECIMALS: u32 = 2;
/// A quantity that is bought is below this.
const QUANTITY_BOUND: u64 = 1_000_000_000;

/// A plan sells in the subscription's currency, or has nothing to sell.
pub(super) fn check_currency(field: &str, plan: &PlanVersion, state: &Subscription) -> Result<(), SubscriptionError> {
    if plan.currencies().is_some_and(|sold| !sold.contains(&state.currency)) {
        let reason = format!("is not sold in {}", state.currency);
        return Err(FieldError::new(field, reason, "choose a plan with amounts in this currency").into());
    }
    Ok(())
}

/// Quantities are of flat prices, not negative, with few digits.
pub(super) fn check_quantities(
    field: &str,
    plan: &PlanVersion,
    quantities: &Quantities,
) -> Result<(), SubscriptionError> {
    for (key, quantity) in quantities.iter() {
        let below = format!("{field}/{key}");
        let price = plan.price(key).ok_or_else(|| unknown_price(&below, plan, key))?;
        if price.meter().is_some() {
            let reason = "is a price of usage, whose quantity is measured";
            return Err(FieldError::new(below, reason, "name a flat price").into());
        }
        let fits = quantity >= Decimal::ZERO
            && quantity < Decimal::from(QUANTITY_BOUND)
            && quantity.normalize().scale() <= MAX_QUANTITY_DECIMALS;
        if !fits {
            let way_out = format!("write 0 to {QUANTITY_BOUND}, with at most {MAX_QUANTITY_DECIMALS} decimals");
            return Err(FieldError::new(below, "is not a quantity", way_out).into());
        }
    }
    Ok(())
}

pub(super) fn unknown_price(field: &str, plan: &PlanVersion, price: &PriceKey) -> FieldError {
    let reason = format!("plan {} version {} has no price {price}", plan.key, plan.version);
    FieldError::new(field, reason, "name one of its prices")
}
