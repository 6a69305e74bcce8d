//! From draft to issued document, and what must hold for both.

use super::document::Amounts;
use super::{Invoice, InvoiceLine, InvoiceStatus, LineShare};
use crate::id::{CouponKey, InvoiceId, MeterKey};
use crate::money::{Currency, Money, MoneyError};
use crate::period::{PeriodError, zone::day_of};
use crate::rating::{RatingError, sum_of_rows};
use crate::subscription::TimelineError;
use crate::tax::NoTaxRate;
use chrono::{DateTime, Days, Utc};

/// Why an invoice cannot be made or issued. It stops this one invoice, never the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    #[error(transparent)]
    Rating(#[from] RatingError),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Period(#[from] PeriodError),
    #[error(transparent)]
    Tax(#[from] NoTaxRate),
    #[error("the usage of meter {meter} is missing; fetch it for every window that the bill moment names")]
    UsageMissing { meter: MeterKey },
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    #[error("invoice {id} is {status}; only a draft can be finalised, what is issued never changes", status = .status.as_str())]
    NotADraft { id: InvoiceId, status: InvoiceStatus },
    #[error("invoice {id} does not add up: {what}; do not issue it, this is a fault of the program")]
    DoesNotAddUp { id: InvoiceId, what: &'static str },
}

/// Issues a draft: gives it its number and dates. The issue date is the day of `at` in the invoice's zone.
pub fn finalize(draft: Invoice, number: String, at: DateTime<Utc>) -> Result<Invoice, InvoiceError> {
    if draft.status != InvoiceStatus::Draft {
        return Err(InvoiceError::NotADraft { id: draft.id, status: draft.status });
    }
    verify(&draft)?;
    let issue_date = day_of(at, draft.zone)?;
    let due_date = issue_date.checked_add_days(Days::new(draft.due_days.into())).ok_or(PeriodError::OutOfRange)?;
    Ok(Invoice {
        status: InvoiceStatus::Finalized,
        number: Some(number),
        issue_date: Some(issue_date),
        due_date: Some(due_date),
        finalized_at: Some(at),
        ..draft
    })
}

/// Whether an invoice adds up, to the minor unit: rows to lines, lines to the subtotal, discounts and taxes to their sums and
/// by line, all of it to the total. Checked before a draft is issued, and by whoever reads one.
pub fn verify(invoice: &Invoice) -> Result<(), InvoiceError> {
    let fault = |what| InvoiceError::DoesNotAddUp { id: invoice.id.clone(), what };
    let currency = invoice.currency;
    for line in &invoice.lines {
        let exact = sum_of_rows(&line.rows).ok_or_else(|| fault("the rows of a line have no exact sum"))?;
        let rated = Money::rounded(exact, currency).map_err(MoneyError::from)?;
        let due = rated.checked_sub(line.already_billed.unwrap_or(Money::zero(currency)))?;
        if due != line.amount {
            return Err(fault("a line is not the sum of its rows less what was billed before"));
        }
    }
    if Money::sum(currency, invoice.lines.iter().map(|line| line.amount))? != invoice.subtotal {
        return Err(fault("the subtotal is not the sum of the lines"));
    }
    verify_discounts(invoice)?;
    for row in &invoice.taxes {
        if !row.lines.is_empty() && sum_of_shares(currency, &row.lines)? != row.amount {
            return Err(fault("a tax is not the sum of its lines"));
        }
    }
    let amounts = Amounts::of(currency, invoice.subtotal, &invoice.discounts, &invoice.taxes)?;
    if amounts.discount != invoice.discount.unwrap_or(Money::zero(currency)) {
        return Err(fault("the discount is not the sum of its rows"));
    }
    if amounts.tax != invoice.tax {
        return Err(fault("the tax is not the sum of its rows"));
    }
    if amounts.total != invoice.total {
        return Err(fault("the total is not subtotal less discount plus tax"));
    }
    let paid = Money::sum(currency, invoice.credits.iter().map(|credit| credit.amount))?;
    if invoice.total.checked_sub(paid)? != invoice.amount_due() || invoice.credits.iter().any(|it| it.amount.minor <= 0)
    {
        return Err(fault("the amount due is not the total less the credits"));
    }
    if !invoice.credits.is_empty() && invoice.amount_due().minor < 0 {
        return Err(fault("credits pay more than the total"));
    }
    Ok(())
}

/// Whether each discount is that of its lines, and no line is discounted by more than it asks, with its corrections.
fn verify_discounts(invoice: &Invoice) -> Result<(), InvoiceError> {
    let fault = |what| InvoiceError::DoesNotAddUp { id: invoice.id.clone(), what };
    let (currency, zero) = (invoice.currency, Money::zero(invoice.currency));
    let of_coupon = |line: &InvoiceLine, coupon: &CouponKey| {
        let amounts = line.discounts.iter().filter(|discount| discount.coupon == *coupon);
        Money::sum(currency, amounts.map(|discount| discount.amount))
    };
    for row in &invoice.discounts {
        if sum_of_shares(currency, &row.lines)? != row.amount {
            return Err(fault("a discount is not the sum of its lines"));
        }
        for line in &invoice.lines {
            let shares = row.lines.iter().filter(|share| share.line == line.number);
            if Money::sum(currency, shares.map(|share| share.amount))? != of_coupon(line, &row.coupon)? {
                return Err(fault("a line's discount is not that of the coupon's row"));
            }
        }
    }
    for line in &invoice.lines {
        if line.discounts.iter().any(|discount| invoice.discounts.iter().all(|row| row.coupon != discount.coupon)) {
            return Err(fault("a line is discounted by a coupon without a row"));
        }
        if line.discounts.is_empty() && line.already_discounted.is_empty() {
            continue;
        }
        let all = line.discounts.iter().chain(&line.already_discounted).map(|discount| discount.amount);
        let discounted = Money::sum(currency, all)?;
        let owed = line.amount.checked_add(line.already_billed.unwrap_or(zero))?;
        if discounted.minor < 0 || discounted.minor > owed.minor.max(0) {
            return Err(fault("a line is discounted by more than it asks"));
        }
    }
    Ok(())
}

fn sum_of_shares(currency: Currency, shares: &[LineShare]) -> Result<Money, MoneyError> {
    Money::sum(currency, shares.iter().map(|share| share.amount))
}
