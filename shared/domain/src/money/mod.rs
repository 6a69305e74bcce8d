//! Money: whole minor units of one currency, and the only function that rounds. An amount that is not yet an amount of a
//! line stays an exact decimal; it becomes [`Money`] once, in [`round_to_minor`].

mod allocate;
mod currency;
mod proportion;
mod text;

pub use allocate::allocate;
pub use currency::Currency;
pub use proportion::proportion;
pub use text::{exact_decimal, format_amount, group_thousands, optional_decimal, parse_decimal};

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The amount does not fit 64 bits of minor units. Nothing was rounded or wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount does not fit 64 bits of minor units of {currency}; split the invoice or check the price")]
pub struct AmountOverflow {
    pub currency: Currency,
}

/// Why two amounts cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error(transparent)]
    Overflow(#[from] AmountOverflow),
    #[error("{left} and {right} cannot be added; convert one of them first")]
    CurrencyMismatch { left: Currency, right: Currency },
}

/// Rounds an exact amount in major units (57.865 USD) to whole minor units (5787), half away from zero, so that a credit
/// is the mirror image of its charge. The one rounding function: called where a line's amount is fixed, and nowhere else.
pub fn round_to_minor(amount: Decimal, currency: Currency) -> Result<i64, AmountOverflow> {
    let overflow = AmountOverflow { currency };
    let rounded = amount.round_dp_with_strategy(currency.exponent(), RoundingStrategy::MidpointAwayFromZero);
    let missing_digits = currency.exponent() - rounded.scale().min(currency.exponent());
    let minor = rounded.mantissa().checked_mul(10_i128.pow(missing_digits)).ok_or(overflow)?;
    i64::try_from(minor).map_err(|_| overflow)
}

/// An amount in whole minor units. In JSON:
/// `{"amount_minor": "5787", "amount": "57.87", "currency": "USD"}`. The minor units are text, because many JSON readers
/// keep only 53 bits of a number. When read, either amount may be missing; when both are there they must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "text::MoneyDocument", into = "text::MoneyDocument")]
pub struct Money {
    pub minor: i64,
    pub currency: Currency,
}

impl Money {
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    pub fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Rounds an exact amount in major units; see [`round_to_minor`].
    pub fn rounded(amount: Decimal, currency: Currency) -> Result<Self, AmountOverflow> {
        Ok(Self::new(round_to_minor(amount, currency)?, currency))
    }

    pub fn is_zero(&self) -> bool {
        self.minor == 0
    }

    /// The amount in major units, with as many decimals as the currency has.
    pub fn to_decimal(&self) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(self.minor), self.currency.exponent())
    }

    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        Self::zero(self.currency).checked_sub(self)
    }

    /// The sum of any number of amounts of `currency`; zero when there is none.
    pub fn sum(currency: Currency, amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::checked_add)
    }

    fn combine(self, other: Self, operation: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency });
        }
        let minor = operation(self.minor, other.minor).ok_or(AmountOverflow { currency: self.currency })?;
        Ok(Self::new(minor, self.currency))
    }
}

impl utoipa::PartialSchema for Money {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        text::MoneyDocument::schema()
    }
}

impl utoipa::ToSchema for Money {}

/// `57.87 USD`, `-0.01 USD`, `1200 JPY`: for logs and machines, without thousands separators.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to_decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(amount: &str, currency: &str, expect: Result<i64, ()>) {
        let currency = Currency::parse(currency).unwrap();
        let amount: Decimal = amount.parse().unwrap();
        assert_eq!(round_to_minor(amount, currency).map_err(|_| ()), expect, "{amount} {currency}");
    }

    #[test]
    fn an_amount_rounds_half_away_from_zero_to_its_currencys_exponent() {
        check("54.179922", "USD", Ok(5418));
        check("0.005", "USD", Ok(1));
        check("-0.005", "USD", Ok(-1));
        check("0.004999999999999999", "USD", Ok(0));
        check("2.5", "JPY", Ok(3));
        check("-2.5", "JPY", Ok(-3));
        check("1.2345", "KWD", Ok(1235));
        check("1.23455", "CLF", Ok(12346));
        check("7", "KWD", Ok(7000));
        check("0", "USD", Ok(0));
        check("92233720368547758.07", "USD", Ok(i64::MAX));
        check("92233720368547758.08", "USD", Err(()));
        check("79228162514264337593543950335", "CLF", Err(()));
    }

    #[test]
    fn amounts_of_two_currencies_do_not_add() {
        let (usd, eur) = (Currency::parse("USD").unwrap(), Currency::parse("EUR").unwrap());
        let mismatch = MoneyError::CurrencyMismatch { left: usd, right: eur };
        assert_eq!(Money::new(1, usd).checked_add(Money::new(1, eur)), Err(mismatch));
        let overflow = MoneyError::Overflow(AmountOverflow { currency: usd });
        assert_eq!(Money::new(i64::MAX, usd).checked_add(Money::new(1, usd)), Err(overflow));
        assert_eq!(Money::new(i64::MIN, usd).checked_neg(), Err(overflow));
        assert_eq!(Money::sum(usd, [Money::new(5418, usd), Money::new(369, usd)]), Ok(Money::new(5787, usd)));
    }

    #[test]
    fn money_prints_with_its_currencys_decimals() {
        let print = |minor, code| Money::new(minor, Currency::parse(code).unwrap()).to_string();
        assert_eq!(print(5787, "USD"), "57.87 USD");
        assert_eq!(print(-1, "USD"), "-0.01 USD");
        assert_eq!(print(1200, "JPY"), "1200 JPY");
        assert_eq!(print(1, "CLF"), "0.0001 CLF");
    }
}
