//! The rows of an amount as sentences for people.

use super::RatedRow;
use crate::money::{Currency, format_amount, group_thousands};
use rust_decimal::Decimal;

/// One sentence for each row, for example `0 to 1,000,000: 1,000,000 x 0.000003 USD = 3.00 USD`.
pub fn explain(currency: Currency, rows: &[RatedRow]) -> Vec<String> {
    rows.iter().map(|row| sentence(currency, row, rows.len() > 1)).collect()
}

/// A single row without an end needs no range: it is all there is.
fn sentence(currency: Currency, row: &RatedRow, one_of_many: bool) -> String {
    let quantity = group_thousands(row.quantity, 0);
    let range = match row.up_to {
        Some(up_to) => format!("{} to {}: ", group_thousands(row.from, 0), group_thousands(up_to, 0)),
        None if one_of_many => format!("from {}: ", group_thousands(row.from, 0)),
        None => String::new(),
    };
    if is_included(row) {
        return format!("{range}{quantity} included");
    }
    let mut sentence = format!("{range}{quantity} x {}", format_amount(row.unit_amount, currency));
    if let Some(share) = row.share {
        sentence.push_str(&format!(" x {}/{} of the period", share.numerator, share.denominator));
    }
    if let Some(flat) = row.flat_amount {
        sentence.push_str(&format!(" + {}", format_amount(flat, currency)));
    }
    sentence.push_str(&format!(" = {}", format_amount(row.amount, currency)));
    sentence
}

fn is_included(row: &RatedRow) -> bool {
    row.unit_amount == Decimal::ZERO && row.flat_amount.is_none() && row.up_to.is_some() && row.from == Decimal::ZERO
}
