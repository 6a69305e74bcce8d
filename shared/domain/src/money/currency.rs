//! Currencies of ISO 4217 (list one, amendment 177) with the number of decimals of their minor unit. Funds without a
//! minor unit, precious metals and test codes are left out: nobody is invoiced in them.

use crate::error::FieldError;
use serde::{Deserialize, Serialize};
use std::fmt;

const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const TWO_DECIMALS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP \
    BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT \
    MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR \
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST \
    XCD XCG YER ZAR ZMW ZWG";
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";
const FOUR_DECIMALS: &str = "CLF UYW";

/// A currency of ISO 4217: its three capital letters, and with them its exponent. In JSON the letters alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency {
    letters: [u8; 3],
    exponent: u8,
}

impl Currency {
    /// Parses three capital letters. The error names the field `currency`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let unknown = || {
            FieldError::new(
                "currency",
                "is not an active currency of ISO 4217",
                "use its three capital letters, for example USD, EUR or JPY",
            )
        };
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| unknown())?;
        if !letters.iter().all(u8::is_ascii_uppercase) {
            return Err(unknown());
        }
        let lists = [(0, NO_DECIMALS), (2, TWO_DECIMALS), (3, THREE_DECIMALS), (4, FOUR_DECIMALS)];
        let (exponent, _) = lists
            .into_iter()
            .find(|(_, codes)| codes.split_ascii_whitespace().any(|code| code == text))
            .ok_or_else(unknown)?;
        Ok(Self { letters, exponent })
    }

    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.letters).expect("parse takes ASCII capitals only")
    }

    /// Decimals of the minor unit: 0 (JPY) to 4 (CLF).
    pub fn exponent(&self) -> u32 {
        u32::from(self.exponent)
    }
}

impl utoipa::PartialSchema for Currency {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for Currency {}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::str::FromStr for Currency {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Currency {
    type Error = FieldError;
    fn try_from(text: String) -> Result<Self, FieldError> {
        Self::parse(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_knows_its_exponent() {
        for (code, exponent) in [("JPY", 0), ("USD", 2), ("EUR", 2), ("KWD", 3), ("CLF", 4), ("HUF", 2), ("ISK", 0)] {
            assert_eq!(Currency::parse(code).map(|c| c.exponent()), Ok(exponent), "{code}");
        }
    }

    #[test]
    fn what_is_no_currency_is_refused_with_the_fields_name() {
        for text in ["", "usd", "US", "USDX", "XXX", "XAU", "U D", "ÄÖ", " USD", "JPY "] {
            assert_eq!(Currency::parse(text).map_err(|e| e.field), Err("currency".to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_code_stands_in_one_list_only() {
        let lists = [NO_DECIMALS, TWO_DECIMALS, THREE_DECIMALS, FOUR_DECIMALS].join(" ");
        let mut codes: Vec<&str> = lists.split_ascii_whitespace().collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
