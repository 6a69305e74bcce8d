//! The rows of an amount as sentences for people.

use super::{RatedRow, Rounding, RowDetail, exact};
use crate::money::{Currency, format_amount, group_thousands};
use crate::period::Fraction;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::mem::discriminant;

/// One sentence for each row, for example `0 to 1,000,000: 1,000,000 x 0.000003 USD = 3.00 USD`.
pub fn explain(currency: Currency, rows: &[RatedRow]) -> Vec<String> {
    rows.iter()
        .map(|row| sentence(currency, row, rows.iter().any(|other| is_alike(row, other) && other.from != row.from)))
        .collect()
}

/// Rows tile among those that count the same.
fn is_alike(a: &RatedRow, b: &RatedRow) -> bool {
    a.detail.as_ref().map(discriminant) == b.detail.as_ref().map(discriminant)
}

/// A single row without an end needs no range: it is all there is.
fn sentence(currency: Currency, row: &RatedRow, one_of_many: bool) -> String {
    match &row.detail {
        Some(RowDetail::Transformed { divide_by, round, result }) => {
            return transformed(row, *divide_by, *round, *result);
        }
        Some(RowDetail::FreeUnits { coupon }) => {
            return format!("{} free by coupon {coupon}", group_thousands(row.quantity, 0));
        }
        Some(RowDetail::Held { period_seconds, result }) => {
            let (held, period) = (group_thousands(row.quantity, 0), group_thousands((*period_seconds).into(), 0));
            return format!("held {held} unit seconds / {period} of the period = {}", group_thousands(*result, 0));
        }
        Some(RowDetail::Carried) => return format!("{} as the events carry it", format_amount(row.amount, currency)),
        Some(RowDetail::Minimum) => return true_up(currency, row, "minimum"),
        Some(RowDetail::Maximum) => return true_up(currency, row, "maximum"),
        _ => {}
    }
    let quantity = counted(currency, row);
    let label = label(row, one_of_many);
    if is_included(row) {
        return format!("{label}{quantity} included");
    }
    let percent =
        exact::multiply(row.unit_amount, Decimal::ONE_HUNDRED).filter(|_| row.detail == Some(RowDetail::Percent));
    let unit = match (percent, &row.detail) {
        (Some(percent), _) => format!("{} %", group_thousands(percent, 0)),
        (None, Some(RowDetail::Duration { per, .. })) => {
            format!("{} per {}", format_amount(row.unit_amount, currency), per.as_str())
        }
        (None, _) => format!("{}{}", format_amount(row.unit_amount, currency), share(row)),
    };
    let mut sentence = format!("{label}{quantity} x {unit}");
    if let Some(flat) = row.flat_amount {
        sentence.push_str(&format!(" + {}", format_amount(flat, currency)));
    }
    sentence.push_str(&format!(" = {}", format_amount(row.amount, currency)));
    sentence
}

/// What the row is about: its range, its tier, or the dimension values it is for.
fn label(row: &RatedRow, one_of_many: bool) -> String {
    match &row.detail {
        Some(RowDetail::Tier { from, up_to }) => match range(*from, *up_to, !from.is_zero()) {
            only if only.is_empty() => only,
            tier => format!("tier {tier}"),
        },
        Some(RowDetail::Cell { values }) => cell(values),
        Some(RowDetail::LeastFee) => "least fee: ".to_owned(),
        Some(RowDetail::HighestFee) => "highest fee: ".to_owned(),
        _ => range(row.from, row.up_to, one_of_many),
    }
}

fn range(from: Decimal, up_to: Option<Decimal>, one_of_many: bool) -> String {
    match up_to {
        Some(up_to) => format!("{} to {}: ", group_thousands(from, 0), group_thousands(up_to, 0)),
        None if one_of_many => format!("from {}: ", group_thousands(from, 0)),
        None => String::new(),
    }
}

fn cell(values: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = values.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
    if pairs.is_empty() { "all other: ".to_owned() } else { format!("{}: ", pairs.join(", ")) }
}

/// The quantity with what it counts.
fn counted(currency: Currency, row: &RatedRow) -> String {
    let quantity = group_thousands(row.quantity, 0);
    let plural = if row.quantity.abs() == Decimal::ONE { "" } else { "s" };
    match &row.detail {
        Some(RowDetail::Packages { size }) => format!("{quantity} package{plural} of {}", group_thousands(*size, 0)),
        Some(RowDetail::Transactions | RowDetail::LeastFee | RowDetail::HighestFee) => {
            format!("{quantity} transaction{plural}")
        }
        Some(RowDetail::Percent) => format_amount(row.quantity, currency),
        Some(RowDetail::Duration { measured_in, .. }) => format!("{quantity} {}{plural}", measured_in.as_str()),
        _ => quantity,
    }
}

fn transformed(row: &RatedRow, divide_by: Option<Decimal>, round: Option<Rounding>, result: Decimal) -> String {
    let mut sentence = group_thousands(row.quantity, 0);
    if let Some(divisor) = divide_by {
        sentence.push_str(&format!(" / {}", group_thousands(divisor, 0)));
    }
    sentence.push_str(match round {
        None => "",
        Some(Rounding::Up) => " rounded up",
        Some(Rounding::Down) => " rounded down",
        Some(Rounding::Half) => " rounded to the nearest",
    });
    sentence.push_str(&format!(" = {}", group_thousands(result, 0)));
    sentence
}

/// `minimum 100.00 USD less 37.50 USD = 62.50 USD`.
fn true_up(currency: Currency, row: &RatedRow, what: &str) -> String {
    let whole = format_amount(row.unit_amount, currency);
    let used = format_amount(-row.flat_amount.unwrap_or_default(), currency);
    format!("{what} {whole}{} less {used} = {}", share(row), format_amount(row.amount, currency))
}

fn share(row: &RatedRow) -> String {
    let text = |share: Fraction| format!(" x {}/{} of the period", share.numerator, share.denominator);
    row.share.map(text).unwrap_or_default()
}

fn is_included(row: &RatedRow) -> bool {
    row.unit_amount == Decimal::ZERO && row.flat_amount.is_none() && row.up_to.is_some() && row.from == Decimal::ZERO
}
