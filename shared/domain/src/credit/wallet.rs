//! A wallet: what its credits are counted in, what they are worth, and which prices they pay for.

use super::{CreditError, Units, units::UNIT_DECIMALS};
use crate::error::FieldError;
use crate::id::{PriceKey, TenantId, WalletId};
use crate::money::{Currency, Money};
use crate::period::TimeZone;
use crate::plan::Amounts;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The longest name of a wallet, in characters.
const MAX_NAME_CHARS: usize = 200;
/// The longest name of a custom unit, in characters.
const MAX_UNIT_CHARS: usize = 32;
/// The most prices of a scope.
const MAX_PRICES: usize = 100;
/// Bounds of a conversion rate, within which every product below fits 128 bits.
const MAX_RATE_DECIMALS: u32 = 12;
const MAX_RATE: i64 = 1_000_000;

/// One wallet of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wallet {
    pub id: WalletId,
    pub tenant: TenantId,
    /// As the invoice prints it.
    pub name: String,
    pub unit: WalletUnit,
    /// The prices that it pays for; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<PriceKey>,
    /// In which the months of its top-up cap are counted: the tenant's.
    #[schema(value_type = String, example = "Europe/Berlin")]
    pub zone: TimeZone,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_top_up: Option<AutoTopUp>,
    pub created_at: DateTime<Utc>,
}

/// What credits are counted in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WalletUnit {
    /// Money: it pays invoices of this currency, one for one.
    Currency(Currency),
    /// Something of the company's own, with a price in money.
    Custom(CustomUnit),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomUnit {
    /// For example `credits`. Not three capital letters, which name a currency.
    pub name: String,
    /// What one unit pays, in major units of each currency: `{"USD": "0.01"}`. At most 12 decimals.
    pub rates: Amounts,
}

/// When the balance falls below the threshold, an order goes out for as much as fills it up to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoTopUp {
    pub threshold: Units,
    pub target: Units,
    /// The most that is ordered in a month of the wallet's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_cap: Option<Units>,
}

impl Wallet {
    /// Every fault that can be told from the wallet alone; fields are pointers into it.
    pub fn check(&self) -> Result<(), FieldError> {
        let is_printable = |text: &str, most: usize| {
            !text.trim().is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
        };
        if !is_printable(&self.name, MAX_NAME_CHARS) {
            let way_out = format!("write 1 to {MAX_NAME_CHARS} printable characters");
            return Err(FieldError::new("/name", "is not a name", way_out));
        }
        if self.prices.len() > MAX_PRICES {
            return Err(FieldError::new(
                "/prices",
                "are too many",
                format!("name at most {MAX_PRICES}, or none for all"),
            ));
        }
        if let WalletUnit::Custom(unit) = &self.unit {
            let is_currency = unit.name.len() == 3 && unit.name.bytes().all(|b| b.is_ascii_uppercase());
            if is_currency || !is_printable(&unit.name, MAX_UNIT_CHARS) {
                let way_out =
                    format!("write 1 to {MAX_UNIT_CHARS} printable characters that are not a currency's code");
                return Err(FieldError::new("/unit/custom/name", "is not a name of a unit", way_out));
            }
            unit.check_rates()?;
        }
        self.auto_top_up.map_or(Ok(()), AutoTopUp::check)
    }

    pub fn pays_for(&self, price: &PriceKey) -> bool {
        self.prices.is_empty() || self.prices.contains(price)
    }
}

impl CustomUnit {
    fn check_rates(&self) -> Result<(), FieldError> {
        if self.rates.currencies().is_empty() {
            let way_out = "write what one unit pays in at least one currency, like {\"USD\": \"0.01\"}";
            return Err(FieldError::new("/unit/custom/rates", "has no currency", way_out));
        }
        for (currency, rate) in self.rates.iter() {
            let fits = rate > Decimal::ZERO && rate <= Decimal::from(MAX_RATE);
            if !fits || rate.normalize().scale() > MAX_RATE_DECIMALS {
                let way_out =
                    format!("write more than 0, at most {MAX_RATE}, with at most {MAX_RATE_DECIMALS} decimals");
                let field = format!("/unit/custom/rates/{currency}");
                return Err(FieldError::new(field, "is not a rate", way_out));
            }
        }
        Ok(())
    }
}

impl AutoTopUp {
    pub(super) fn check(self) -> Result<(), FieldError> {
        let fault = |member: &str, reason: &str, way_out: &str| {
            Err(FieldError::new(format!("/auto_top_up/{member}"), reason, way_out))
        };
        if !self.threshold.is_positive() {
            return fault("threshold", "is not above zero", "an order goes out when the balance falls below it");
        }
        if self.target <= self.threshold {
            return fault("target", "is not above the threshold", "fill up to more than what orders again at once");
        }
        match self.monthly_cap {
            Some(cap) if !cap.is_positive() => fault("monthly_cap", "is not above zero", "leave it out for no cap"),
            _ => Ok(()),
        }
    }
}

/// Money per unit as a fraction of whole numbers: minor units a millionth = `numerator / denominator`.
struct Rate {
    numerator: i128,
    denominator: i128,
}

impl WalletUnit {
    /// As the ledger names it: a currency's code, or the custom unit's name.
    pub fn name(&self) -> String {
        match self {
            Self::Currency(currency) => currency.to_string(),
            Self::Custom(unit) => unit.name.clone(),
        }
    }

    /// The money it is itself; none for a custom unit.
    pub fn currency(&self) -> Option<Currency> {
        match self {
            Self::Currency(currency) => Some(*currency),
            Self::Custom(_) => None,
        }
    }

    pub fn pays(&self, currency: Currency) -> bool {
        self.rate(currency).is_some()
    }

    fn rate(&self, currency: Currency) -> Option<Rate> {
        let rate = match self {
            Self::Currency(own) => (*own == currency).then_some(Decimal::ONE)?,
            Self::Custom(unit) => unit.rates.get(currency)?.normalize(),
        };
        // A currency's exponent is at most 4.
        let decimals = UNIT_DECIMALS + rate.scale() - currency.exponent();
        Some(Rate { numerator: rate.mantissa(), denominator: 10_i128.pow(decimals) })
    }

    /// The money that an amount pays in full: cut to whole minor units, because a part of one pays nothing. None where it
    /// has no rate.
    pub fn worth(&self, units: Units, currency: Currency) -> Option<Money> {
        let Rate { numerator, denominator } = self.rate(currency)?;
        let minor = i128::from(units.millionths()) * numerator / denominator;
        Some(Money::new(i64::try_from(minor).unwrap_or(i64::MAX), currency))
    }

    /// The least amount whose worth is `money`: rounded up at the sixth decimal, so that never more is paid than was taken.
    pub fn units_for(&self, money: Money) -> Option<Units> {
        let Rate { numerator, denominator } = self.rate(money.currency)?;
        let product = i128::from(money.minor).checked_mul(denominator)?;
        let millionths = product / numerator + i128::from(product % numerator > 0);
        i64::try_from(millionths).ok().and_then(Units::from_millionths)
    }

    /// Amounts of money have no more decimals than their currency.
    pub fn check_amount(&self, field: &str, amount: Units) -> Result<(), CreditError> {
        let decimals = self.currency().map_or(UNIT_DECIMALS, |currency| currency.exponent());
        if amount.to_decimal().scale() <= decimals {
            return Ok(());
        }
        let way_out = format!("write at most {decimals} decimals of {}", self.name());
        Err(FieldError::new(field, "has more decimals than its unit", way_out).into())
    }
}
