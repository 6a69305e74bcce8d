//! One JSON number as it was spelled, taken apart by hand: exact for any length and any exponent, and without expanding.

use super::{MAX_DECIMALS, MAX_DIGITS, MAX_INTEGER_DIGITS};
use rust_decimal::Decimal;
use std::borrow::Cow;

/// Exponents up to this many digits are added up; a longer one is only compared as text.
const EXPONENT_DIGITS: usize = 18;
/// A canonical text is written without exponent when that takes at most this many zeros.
const PLAIN_ZEROS: i64 = 40;

/// The value `± digits × 10^exponent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spelling<'a> {
    negative: bool,
    /// Without leading and trailing zeros; empty for zero.
    digits: Cow<'a, str>,
    exponent: i64,
    /// An exponent that is too long to add up, with its sign, to which `exponent` is to be added; else empty.
    far_exponent: &'a str,
    far_negative: bool,
}

impl<'a> Spelling<'a> {
    /// Takes a number in JSON syntax (RFC 8259, section 6) apart. `None` when the text is anything else.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, rest) = split_digits(rest);
        if integer.is_empty() || (integer.len() > 1 && integer.starts_with('0')) {
            return None;
        }
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        if fraction.is_empty() && text.as_bytes().get(text.len() - rest.len() - 1) == Some(&b'.') {
            return None;
        }
        let mut number =
            Self { negative, digits: Cow::Borrowed(""), exponent: 0, far_exponent: "", far_negative: false };
        if !rest.is_empty() {
            number.read_exponent(rest)?;
        }
        number.read_digits(integer, fraction);
        Some(number)
    }

    fn read_exponent(&mut self, rest: &'a str) -> Option<()> {
        let rest = rest.strip_prefix(['e', 'E'])?;
        let (negative, rest) = match rest.as_bytes().first()? {
            b'-' => (true, &rest[1..]),
            b'+' => (false, &rest[1..]),
            _ => (false, rest),
        };
        let (digits, end) = split_digits(rest);
        if digits.is_empty() || !end.is_empty() {
            return None;
        }
        let digits = digits.trim_start_matches('0');
        if digits.len() > EXPONENT_DIGITS {
            (self.far_exponent, self.far_negative) = (digits, negative);
        } else if !digits.is_empty() {
            let exponent: i64 = digits.parse().ok()?;
            self.exponent = if negative { -exponent } else { exponent };
        }
        Some(())
    }

    fn read_digits(&mut self, integer: &'a str, fraction: &'a str) {
        let fraction = fraction.trim_end_matches('0');
        self.exponent -= fraction.len() as i64;
        let all = match (integer, fraction) {
            ("0", fraction) => Cow::Borrowed(fraction.trim_start_matches('0')),
            (integer, "") => Cow::Borrowed(integer),
            (integer, fraction) => Cow::Owned([integer, fraction].concat()),
        };
        let significant = all.trim_end_matches('0').len();
        self.exponent += (all.len() - significant) as i64;
        self.digits = match all {
            Cow::Borrowed(all) => Cow::Borrowed(&all[..significant]),
            Cow::Owned(mut all) => {
                all.truncate(significant);
                Cow::Owned(all)
            }
        };
        if significant == 0 {
            (self.negative, self.exponent, self.far_exponent) = (false, 0, "");
        }
    }

    /// The value as a quantity, when it is within the bounds of one.
    pub(crate) fn quantity(&self) -> Option<Decimal> {
        let integer_digits = self.digits.len() as i64 + self.exponent;
        if self.exponent < -i64::from(MAX_DECIMALS)
            || integer_digits > MAX_INTEGER_DIGITS as i64
            || self.digits.len() > MAX_DIGITS
        {
            return None;
        }
        self.exact_decimal()
    }

    /// The value when 96 bits and 28 decimals hold it exactly.
    pub(crate) fn exact_decimal(&self) -> Option<Decimal> {
        if self.digits.is_empty() {
            return Some(Decimal::ZERO);
        }
        // 29 digits are the most that 96 bits hold; the bounds keep every power and product below within 128 bits.
        if !self.far_exponent.is_empty() || self.digits.len() > MAX_DIGITS + 1 || self.exponent < -(MAX_DIGITS as i64) {
            return None;
        }
        let raised = u32::try_from(self.exponent).unwrap_or(0);
        let digits: i128 = self.digits.parse().ok()?;
        let mantissa = digits.checked_mul(10i128.checked_pow(raised)?)?;
        let scale = u32::try_from(-self.exponent).unwrap_or(0);
        Decimal::try_from_i128_with_scale(if self.negative { -mantissa } else { mantissa }, scale).ok()
    }

    /// Appends the one text that all spellings of this value share: plain where that is short, else `digits e exponent`.
    /// An exponent of more than 18 digits is not added up: two such spellings of one value may differ, which makes a
    /// conflict of a duplicate; two values never share a text.
    pub(crate) fn write_canonical(&self, out: &mut String) {
        use std::fmt::Write;
        if self.digits.is_empty() {
            return out.push('0');
        }
        if self.negative {
            out.push('-');
        }
        let point = self.digits.len() as i64 + self.exponent;
        let zeros = self.exponent.max(-point).max(0);
        // Writing to a String cannot fail.
        if !self.far_exponent.is_empty() {
            let sign = if self.far_negative { "-" } else { "" };
            let _ = write!(out, "{}e{sign}{}{:+}", self.digits, self.far_exponent, self.exponent);
        } else if zeros > PLAIN_ZEROS {
            let _ = write!(out, "{}e{}", self.digits, self.exponent);
        } else if self.exponent >= 0 {
            out.push_str(&self.digits);
            push_zeros(out, zeros);
        } else if point > 0 {
            let (integer, fraction) = self.digits.split_at(point as usize);
            out.push_str(integer);
            out.push('.');
            out.push_str(fraction);
        } else {
            out.push_str("0.");
            push_zeros(out, zeros);
            out.push_str(&self.digits);
        }
    }
}

fn push_zeros(out: &mut String, count: i64) {
    (0..count).for_each(|_| out.push('0'));
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spellings: &[&str], expect: &str) {
        for text in spellings {
            let number = Spelling::parse(text).unwrap_or_else(|| panic!("{text} is a number"));
            let mut out = String::new();
            number.write_canonical(&mut out);
            assert_eq!(out, expect, "{text}");
        }
    }

    #[test]
    fn all_spellings_of_a_value_share_one_text() {
        check(&["0", "-0", "0.00", "0e99", "-0.0E-99", "0e99999999999999999999999"], "0");
        check(&["1", "1.0", "1e0", "10e-1", "0.1e1", "1E+0", "1.000e000", "0.0001e4"], "1");
        check(&["-120.5", "-1205e-1", "-0.1205e+3", "-120.500"], "-120.5");
        check(&["0.001", "1e-3", "0.1E-2", "1000e-6"], "0.001");
        check(&["1e308", "10e307", "0.1e309", "1000000e302"], "1e308");
        check(&["1e40", "10e39"], "10000000000000000000000000000000000000000");
        check(&["1e41", "100000000000000000000000000000000000000000"], "1e41");
        check(&["1e-41"], "0.00000000000000000000000000000000000000001");
        check(&["1e-42", "0.1e-41"], "1e-42");
        check(&["1e-400", "0.1e-399"], "1e-400");
        check(&["1e999999999999999999"], "1e999999999999999999");
        check(&["1e99999999999999999999", "1.0e099999999999999999999"], "1e99999999999999999999+0");
        check(&["12.5e-99999999999999999999"], "125e-99999999999999999999-1");
    }

    #[test]
    fn only_json_numbers_are_numbers() {
        for text in [
            "", "-", "01", "1.", ".5", "1.e2", "1e", "1e+", "+1", "1 ", "0x1", "NaN", "1e1.5", "--1", "1_0", "٣",
            "1.2.3",
        ] {
            assert_eq!(Spelling::parse(text), None, "{text}");
        }
    }
}
