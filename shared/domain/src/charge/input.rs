//! A charge as it is asked for, and what must hold for it.

use super::Charge;
use crate::error::FieldError;
use crate::id::{ChargeId, PriceKey, SubscriptionId, TaxCategory, TenantId};
use crate::invoice::{charge_amount, check_text};
use crate::money::{Currency, Money};
use crate::period::{Period, PeriodError, TimeZone, zone::day_of, zone::start_of_day};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The price key of a charge that names none.
pub const DEFAULT_KEY: &str = "one_off";
/// The most charges of one request.
pub const MAX_AT_ONCE: usize = 100;

/// `{"description": "Training, 2 days", "quantity": "2", "unit_amount": "900"}`, or `"amount"` instead of the last two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCharge {
    pub description: String,
    /// Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub quantity: Option<Decimal>,
    /// For one, in major units of the currency.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub unit_amount: Option<Decimal>,
    /// For all of it, instead of `quantity` and `unit_amount`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub amount: Option<Decimal>,
    /// By which coupons and wallets for some prices know it; default `one_off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_key: Option<PriceKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_category: Option<TaxCategory>,
    /// The day of the supply, as the tenant counts days; today when neither it nor `period` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// The time of the supply, half-open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
}

/// Whose a charge is, and when it is added.
#[derive(Debug, Clone)]
pub struct ChargedTo {
    pub tenant: TenantId,
    pub subscription: Option<SubscriptionId>,
    pub currency: Currency,
    pub zone: TimeZone,
    pub at: DateTime<Utc>,
}

impl NewCharge {
    /// The charge; the error's field is a pointer below the request.
    pub fn charge(&self, id: ChargeId, to: &ChargedTo) -> Result<Charge, FieldError> {
        check_text("/description", &self.description)?;
        let (quantity, unit_amount) = self.price(to.currency)?;
        let charge = Charge {
            id,
            tenant: to.tenant.clone(),
            subscription: to.subscription.clone(),
            price_key: self.price_key.clone().unwrap_or_else(default_key),
            description: self.description.clone(),
            quantity,
            unit_amount,
            currency: to.currency,
            period: self.supplied(to)?,
            tax_category: self.tax_category.clone(),
            added_at: to.at,
        };
        let too_large = || FieldError::new("/quantity", "makes an amount that is too large", "charge less at once");
        if charge_amount(&charge).map_err(|_| too_large())?.minor <= 0 {
            let way_out = "charge at least the smallest unit of the currency";
            return Err(FieldError::new("/unit_amount", "makes an amount that rounds to nothing", way_out));
        }
        Ok(charge)
    }

    fn price(&self, currency: Currency) -> Result<(Decimal, Decimal), FieldError> {
        let positive = |field: &str, value: Decimal| match value > Decimal::ZERO {
            true => Ok(value),
            false => {
                let way_out =
                    "send what is charged as a positive number; what was charged is given back by a credit note";
                Err(FieldError::new(field, "is not above zero", way_out))
            }
        };
        match (self.amount, self.unit_amount) {
            (Some(amount), None) if self.quantity.is_none() => {
                let amount = positive("/amount", amount)?;
                match Money::rounded(amount, currency) {
                    Ok(money) if money.to_decimal() == amount => Ok((Decimal::ONE, amount)),
                    Ok(_) => {
                        let reason = format!("has more decimals than {currency}");
                        Err(FieldError::new("/amount", reason, "send whole minor units, or a unit_amount"))
                    }
                    Err(_) => Err(FieldError::new("/amount", "is too large", "charge less at once")),
                }
            }
            (None, Some(unit_amount)) => {
                let quantity = positive("/quantity", self.quantity.unwrap_or(Decimal::ONE))?;
                Ok((quantity, positive("/unit_amount", unit_amount)?))
            }
            _ => {
                let way_out = "send amount, or unit_amount with a quantity if it is not 1";
                Err(FieldError::new("/amount", "does not say what is charged", way_out))
            }
        }
    }

    fn supplied(&self, to: &ChargedTo) -> Result<Period, FieldError> {
        let day = |day: NaiveDate| {
            let next = day.succ_opt().ok_or(PeriodError::OutOfRange)?;
            Ok(Period::new(start_of_day(day, to.zone)?, start_of_day(next, to.zone)?))
        };
        let outside = |error: PeriodError| {
            FieldError::new("/date", error.to_string(), "use a date between the years 1900 and 9000")
        };
        match (self.period, self.date) {
            (Some(period), None) if !period.is_empty() => Ok(period),
            (Some(_), None) => {
                Err(FieldError::new("/period/end", "is not after its start", "let the period end later"))
            }
            (Some(_), Some(_)) => Err(FieldError::new("/date", "stands beside a period", "send one of them")),
            (None, Some(date)) => day(date).map_err(outside),
            (None, None) => day_of(to.at, to.zone).and_then(day).map_err(outside),
        }
    }
}

fn default_key() -> PriceKey {
    PriceKey::parse(DEFAULT_KEY).expect("a word of small letters is a key")
}
