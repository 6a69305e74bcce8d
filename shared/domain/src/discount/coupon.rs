//! What a coupon promises.

use crate::error::FieldError;
use crate::id::{CouponKey, MeterKey, PriceKey};
use crate::money::{Currency, Money, format_amount, group_thousands};
use crate::plan::Amounts;
use crate::plan::validate::Faults;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The most invoices of a repeating coupon.
const MAX_REPEATS: u32 = 1200;
/// Decimals of a percentage.
const MAX_PERCENT_DECIMALS: u32 = 6;
/// The most prices or currencies that a coupon names.
const MAX_NAMED: usize = 100;

/// A coupon, complete. It never changes: other terms are another coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Coupon {
    pub key: CouponKey,
    /// As the invoice prints it.
    pub name: String,
    #[serde(deserialize_with = "crate::objects::tagged")]
    pub kind: CouponKind,
    #[serde(deserialize_with = "crate::objects::tagged")]
    pub duration: CouponDuration,
    /// The prices it is for; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<PriceKey>,
    /// The currencies of the subscriptions it is for; all of them when empty. A fixed amount is for those it is given in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub currencies: Vec<Currency>,
    /// Of several coupons the one with the lower number comes first; of equal ones a fixed amount, then who was applied first.
    #[serde(default = "default_priority", skip_serializing_if = "is_default_priority")]
    pub priority: u32,
    /// Whether a line may be discounted by it and by others. One that is not stackable stands alone on its lines; the first
    /// in order wins.
    #[serde(default = "stackable", skip_serializing_if = "is_stackable")]
    pub stackable: bool,
    /// The last instant at which it can be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeem_by: Option<DateTime<Utc>>,
    /// To how many subscriptions it can be applied in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_redemptions: Option<u32>,
}

/// What a coupon takes off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CouponKind {
    /// A part of the charges.
    Percentage {
        #[serde(with = "crate::money::exact_decimal")]
        #[schema(value_type = String, example = "10")]
        percent: Decimal,
    },
    /// An amount off the charges of an invoice, by currency; never more than they are.
    Fixed {
        amount: Amounts,
        /// Whether what the charges of an invoice are too small for is kept for later ones; otherwise it is lost.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        carries_over: bool,
    },
    /// Free units of a meter in every billing period, before anything is priced.
    Units {
        meter: MeterKey,
        #[serde(with = "crate::money::exact_decimal")]
        #[schema(value_type = String, example = "1000")]
        units: Decimal,
    },
}

/// For how many invoices it is good. Only issued invoices on which it gave something count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CouponDuration {
    Once,
    Repeating { periods: u32 },
    Forever,
}

fn default_priority() -> u32 {
    100
}

fn is_default_priority(priority: &u32) -> bool {
    *priority == default_priority()
}

fn stackable() -> bool {
    true
}

fn is_stackable(stackable: &bool) -> bool {
    *stackable
}

impl Coupon {
    /// The most invoices it discounts; none for ever.
    pub fn most_redemptions(&self) -> Option<u32> {
        match self.duration {
            CouponDuration::Once => Some(1),
            CouponDuration::Repeating { periods } => Some(periods),
            CouponDuration::Forever => None,
        }
    }

    pub fn covers(&self, price: &PriceKey) -> bool {
        self.prices.is_empty() || self.prices.contains(price)
    }

    /// Whether it is for subscriptions in this currency.
    pub fn is_for(&self, currency: Currency) -> bool {
        let amount = match &self.kind {
            CouponKind::Fixed { amount, .. } => amount.get(currency).is_some(),
            CouponKind::Percentage { .. } | CouponKind::Units { .. } => true,
        };
        amount && (self.currencies.is_empty() || self.currencies.contains(&currency))
    }

    /// For people: `Welcome: 10 % off`.
    pub fn describe(&self, currency: Currency) -> String {
        let name = &self.name;
        match &self.kind {
            CouponKind::Percentage { percent } => format!("{name}: {} % off", percent.normalize()),
            CouponKind::Fixed { amount, .. } => {
                format!("{name}: {} off", format_amount(amount.get(currency).unwrap_or_default(), currency))
            }
            CouponKind::Units { meter, units } => format!("{name}: {} of {meter} free", group_thousands(*units, 0)),
        }
    }

    /// Every fault of the coupon, each with its pointer; empty when it may be offered.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut faults = Faults::new(&mut found);
        faults.below("name").line_of_text(&self.name);
        self.validate_kind(&mut faults.below("kind"));
        if let CouponDuration::Repeating { periods } = self.duration {
            faults.below("duration").below("periods").require(
                (1..=MAX_REPEATS).contains(&periods),
                "is not a number of invoices",
                &format!("write 1 to {MAX_REPEATS}, or say that it is good forever"),
            );
        }
        for (member, count) in [("prices", self.prices.len()), ("currencies", self.currencies.len())] {
            faults.below(member).require(count <= MAX_NAMED, "is too long", &format!("name at most {MAX_NAMED}"));
        }
        faults.below("max_redemptions").require(
            self.max_redemptions != Some(0),
            "is 0, so that nobody could use it",
            "write 1 or more, or leave it out",
        );
        found
    }

    fn validate_kind(&self, faults: &mut Faults<'_>) {
        match &self.kind {
            CouponKind::Percentage { percent } => faults.below("percent").require(
                *percent > Decimal::ZERO
                    && *percent <= Decimal::ONE_HUNDRED
                    && percent.normalize().scale() <= MAX_PERCENT_DECIMALS,
                "is not a part of a hundred",
                &format!("write above 0, up to 100, with at most {MAX_PERCENT_DECIMALS} decimals"),
            ),
            CouponKind::Fixed { amount, .. } => {
                let mut faults = faults.below("amount");
                faults.flat_amounts(amount);
                for (currency, amount) in amount.iter() {
                    let whole = Money::rounded(amount, currency).is_ok_and(|money| money.to_decimal() == amount);
                    faults.below(currency).require(
                        whole && amount > Decimal::ZERO,
                        "is not an amount that can be paid",
                        "write more than 0, in whole minor units of the currency",
                    );
                }
            }
            CouponKind::Units { units, .. } => {
                let mut faults = faults.below("units");
                faults.require(*units > Decimal::ZERO, "is not above zero", "write how much is free in a period");
                faults.unit_digits(*units);
            }
        }
    }
}
