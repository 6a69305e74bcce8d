//! How one line was taxed: what a later correction of it goes by. A correction has the taxes of its charge, whatever is known
//! of the customer today, and each is what it is on everything billed for the line, less what was charged so far: so a
//! charge that is credited whole leaves no tax, in how many parts so ever.

use super::{BilledLine, Invoice, InvoiceLine, TaxRow};
use crate::id::TaxCategory;
use crate::money::{Money, MoneyError, proportion};
use crate::tax::{Jurisdiction, UntaxedReason};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One tax of a line, or why it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineTax {
    pub name: String,
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String, example = "19")]
    pub rate_percent: Decimal,
    /// What of the tax falls to the line.
    pub amount: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Jurisdiction>,
    /// The products that the rate is for; absent for the usual rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<TaxCategory>,
    /// Whether the line holds the tax already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub included: bool,
    /// Why there is no tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untaxed: Option<UntaxedReason>,
}

impl LineTax {
    fn of(row: &TaxRow, amount: Money) -> Self {
        Self {
            name: row.name.clone(),
            rate_percent: row.rate_percent.normalize(),
            amount,
            jurisdiction: row.jurisdiction.clone(),
            category: row.category.clone(),
            included: row.included,
            untaxed: row.untaxed.clone(),
        }
    }

    fn is_same_tax(&self, other: &Self) -> bool {
        let without_amount = |it: &Self| Self { amount: Money::zero(it.amount.currency), ..it.clone() };
        without_amount(self) == without_amount(other)
    }
}

/// The taxes of a line, as its document has them. Where no row names the line, it is the only row without lines: documents
/// did not always say which lines are not taxed.
pub(super) fn taxes_of(rows: &[TaxRow], line: &InvoiceLine) -> Vec<LineTax> {
    let named = rows.iter().filter_map(|row| {
        let share = row.lines.iter().find(|share| share.line == line.number)?;
        Some(LineTax::of(row, share.amount))
    });
    let named: Vec<LineTax> = named.collect();
    let mut without_lines = rows.iter().filter(|row| row.lines.is_empty() && row.amount.is_zero());
    match (named.is_empty() && !line.amount.is_zero(), without_lines.next(), without_lines.next()) {
        (true, Some(row), None) => vec![LineTax::of(row, row.amount)],
        _ => named,
    }
}

/// One entry for each tax, in the order in which they come.
pub(super) fn sum_by_tax<'a>(taxes: impl IntoIterator<Item = &'a LineTax>) -> Result<Vec<LineTax>, MoneyError> {
    let mut sums: Vec<LineTax> = Vec::new();
    for tax in taxes {
        match sums.iter_mut().find(|sum| sum.is_same_tax(tax)) {
            Some(sum) => sum.amount = sum.amount.checked_add(tax.amount)?,
            None => sums.push(tax.clone()),
        }
    }
    Ok(sums)
}

impl BilledLine {
    /// The lines of an issued invoice, each with its taxes.
    pub fn of(invoice: &Invoice) -> impl Iterator<Item = Self> + '_ {
        invoice.lines.iter().filter_map(|line| Self::taxed(line, &invoice.taxes))
    }

    /// A line of a document that has these tax rows; none of a one-off charge.
    pub fn taxed(line: &InvoiceLine, rows: &[TaxRow]) -> Option<Self> {
        Some(Self { taxes: taxes_of(rows, line), ..Self::untaxed(line)? })
    }
}

/// What a line was taxed on before this document; none where nothing was asked for it, so that it is taxed like a charge.
pub(super) fn net_before(line: &InvoiceLine) -> Result<Option<Money>, MoneyError> {
    let Some(billed) = line.already_billed else { return Ok(None) };
    let discounts = line.already_discounted.iter().map(|discount| discount.amount);
    let net = billed.checked_sub(Money::sum(billed.currency, discounts)?)?;
    Ok(Some(net).filter(|net| !net.is_zero() || !line.already_taxed.is_empty()))
}

/// What a tax changes by: what it is on all of a line, less `so_far`. `of` is the tax on an amount. A tax that never was its
/// rate of the line, as an engine outside may have it, keeps its proportion.
pub(super) fn change(
    so_far: Money,
    before: Money,
    now: Money,
    of: impl Fn(Money) -> Result<Money, MoneyError>,
) -> Result<Money, MoneyError> {
    let is_by_rate = of(before)?.minor.abs_diff(so_far.minor) <= 1;
    let owed = match before.is_zero() || is_by_rate {
        true => of(now)?,
        false => proportion(so_far, now.minor.into(), before.minor.into())?,
    };
    owed.checked_sub(so_far)
}
