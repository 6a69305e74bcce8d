//! Decimals and amounts as text: exact in JSON, readable in explanations.

use super::{Currency, Money, round_to_minor};
use crate::error::FieldError;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The JSON form of [`Money`].
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoneyDocument {
    /// Whole minor units, as text: `"5787"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "5787")]
    amount_minor: Option<String>,
    /// The same in major units: `"57.87"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "57.87")]
    amount: Option<String>,
    currency: Currency,
}

impl From<Money> for MoneyDocument {
    fn from(money: Money) -> Self {
        Self {
            amount_minor: Some(money.minor.to_string()),
            amount: Some(money.to_decimal().to_string()),
            currency: money.currency,
        }
    }
}

impl TryFrom<MoneyDocument> for Money {
    type Error = FieldError;

    fn try_from(document: MoneyDocument) -> Result<Self, FieldError> {
        let currency = document.currency;
        let minor = document.amount_minor.map(|text| {
            let way_out = "write a whole number of minor units, for example \"5787\"";
            text.parse::<i64>()
                .map_err(|_| FieldError::new("amount_minor", "is not a whole number of 64 bits", way_out))
        });
        let major = document.amount.map(|text| whole_minor(&text, currency));
        let minor = match (minor.transpose()?, major.transpose()?) {
            (Some(minor), Some(major)) if minor != major => {
                let way_out = "send one of them, or make them agree";
                return Err(FieldError::new("amount", "differs from amount_minor", way_out));
            }
            (Some(minor), _) | (None, Some(minor)) => minor,
            (None, None) => {
                return Err(FieldError::new("amount", "is missing", "send amount or amount_minor"));
            }
        };
        Ok(Self::new(minor, currency))
    }
}

/// An amount that claims to be money already must not need rounding.
fn whole_minor(text: &str, currency: Currency) -> Result<i64, FieldError> {
    let wrong = |reason: &str| {
        let way_out = format!("write a decimal with at most {} decimals as text", currency.exponent());
        FieldError::new("amount", reason, way_out)
    };
    let amount = parse_decimal(text).ok_or_else(|| wrong("is not a decimal"))?;
    if amount.normalize().scale() > currency.exponent() {
        return Err(wrong("has more decimals than its currency"));
    }
    round_to_minor(amount, currency).map_err(|_| wrong("is too large"))
}

/// Reads a plain decimal (`-12.50`) exactly; `None` when it is not one, or has more digits than can be kept.
pub fn parse_decimal(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let starts_well = digits.bytes().next().is_some_and(|b| b.is_ascii_digit());
    (plain && starts_well && !digits.ends_with('.')).then(|| Decimal::from_str_exact(text).ok()).flatten()
}

/// Groups the digits before the point by thousands and keeps at least `decimals` decimals: `18,059,974`, `3.00`.
pub fn group_thousands(value: Decimal, decimals: u32) -> String {
    let text = value.abs().normalize().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::with_capacity(text.len() + 12);
    if value.is_sign_negative() && !value.is_zero() {
        grouped.push('-');
    }
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let width = usize::try_from(decimals).unwrap_or(0);
    if !fraction.is_empty() || width > 0 {
        grouped.push('.');
        grouped.push_str(fraction);
        grouped.extend(std::iter::repeat_n('0', width.saturating_sub(fraction.len())));
    }
    grouped
}

/// An exact amount for people: all its digits, at least as many decimals as the currency has: `54.179922 USD`.
pub fn format_amount(amount: Decimal, currency: Currency) -> String {
    format!("{} {currency}", group_thousands(amount, currency.exponent()))
}

/// Serde for a decimal: written as text without trailing zeros, read from text only, and exactly.
pub mod exact_decimal {
    use super::parse_decimal;
    use rust_decimal::Decimal;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&value.normalize())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_decimal(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not an exact decimal; write at most 28 digits as text, like \"0.000003\""
            ))
        })
    }
}

/// The same for a decimal that may be missing.
pub mod optional_decimal {
    use rust_decimal::Decimal;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::exact_decimal::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
        #[derive(Deserialize)]
        struct Exact(#[serde(with = "super::exact_decimal")] Decimal);
        Ok(Option::<Exact>::deserialize(deserializer)?.map(|exact| exact.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_read(json: &str, expect: Result<i64, &str>) {
        let read = serde_json::from_str::<Money>(json).map(|money| money.minor);
        match expect {
            Ok(minor) => assert_eq!(read.unwrap(), minor, "{json}"),
            Err(part) => assert!(read.unwrap_err().to_string().contains(part), "{json}"),
        }
    }

    #[test]
    fn money_is_read_from_either_amount_and_both_must_agree() {
        check_read(r#"{"amount_minor":"5787","amount":"57.87","currency":"USD"}"#, Ok(5787));
        check_read(r#"{"amount":"57.870","currency":"USD"}"#, Ok(5787));
        check_read(r#"{"amount_minor":"-3","currency":"JPY"}"#, Ok(-3));
        check_read(r#"{"amount_minor":"1","amount":"57.87","currency":"USD"}"#, Err("differs"));
        check_read(r#"{"amount":"0.001","currency":"USD"}"#, Err("more decimals"));
        check_read(r#"{"amount":"1e2","currency":"USD"}"#, Err("not a decimal"));
        check_read(r#"{"currency":"USD"}"#, Err("missing"));
        check_read(r#"{"amount":"1","currency":"usd"}"#, Err("ISO 4217"));
    }

    #[test]
    fn money_is_written_with_both_amounts_as_text() {
        let money = Money::new(5787, Currency::parse("USD").unwrap());
        let json = serde_json::to_string(&money).unwrap();
        assert_eq!(json, r#"{"amount_minor":"5787","amount":"57.87","currency":"USD"}"#);
    }

    #[test]
    fn numbers_are_grouped_for_people() {
        let check = |value: &str, decimals, expect| {
            assert_eq!(group_thousands(value.parse().unwrap(), decimals), expect);
        };
        check("18059974", 0, "18,059,974");
        check("-1234.5", 2, "-1,234.50");
        check("0.000003", 2, "0.000003");
        check("999", 0, "999");
        check("3.00", 0, "3");
        check("-0", 2, "0.00");
    }

    #[test]
    fn a_decimal_that_cannot_be_kept_exactly_is_refused() {
        for text in ["", "-", ".5", "5.", "1e3", "+1", "1_000", "0.00000000000000000000000000001", "NaN", " 1"] {
            assert_eq!(parse_decimal(text), None, "{text:?}");
        }
        assert_eq!(parse_decimal("-0.123456789012345678"), Some("-0.123456789012345678".parse().unwrap()));
    }
}
