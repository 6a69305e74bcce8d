//! What was billed beside what it would have been.

use super::history::{HistoryPage, Past, PastPeriod};
use serde::Serialize;
use std::collections::BTreeMap;
use talea_domain::id::{SubscriptionId, TenantId};
use talea_domain::invoice::{Invoice, InvoiceLine};
use talea_domain::money::{Currency, Money, MoneyError};
use talea_domain::period::Period;
use talea_platform::http::{Cursor, Problem};

/// A page of a comparison. Amounts are sums of lines: before discounts, credits and taxes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WhatIf {
    pub data: Vec<ComparedSubscription>,
    /// Of this page, by currency.
    pub totals: Vec<Sums>,
    pub progress: Progress,
    /// Give it as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// How far the pages are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// Subscriptions up to the end of this page.
    pub done: i64,
    pub total: i64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ComparedSubscription {
    pub tenant_id: TenantId,
    pub subscription_id: SubscriptionId,
    pub periods: Vec<ComparedPeriod>,
}

/// One past period.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ComparedPeriod {
    /// In which the subscription ran.
    pub period: Period,
    /// Every issued line about it, corrections among them.
    pub billed: Side,
    /// Absent where the alternative cannot be rated for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternative: Option<Side>,
    /// The alternative less what was billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Money>,
    /// Why there is no alternative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Side {
    pub lines: Vec<InvoiceLine>,
    pub subtotal: Money,
}

/// Sums over the periods that could be compared.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Sums {
    pub currency: Currency,
    pub periods: u64,
    pub billed: Money,
    pub alternative: Money,
    pub difference: Money,
}

/// `rated` has one answer for each period, in order.
pub(super) fn compared(page: HistoryPage, rated: Vec<Result<Invoice, String>>) -> Result<WhatIf, Problem> {
    let next_cursor = match page.subscriptions.last() {
        Some(last) if page.has_more => Some(Cursor::encode(&(&last.subscription.tenant, &last.subscription.id))?),
        _ => None,
    };
    let mut rated = rated.into_iter();
    let data: Vec<ComparedSubscription> = page
        .subscriptions
        .into_iter()
        .map(|past| subscription(past, &mut rated))
        .collect::<Result<_, _>>()
        .map_err(Problem::internal)?;
    let totals = totals(&data).map_err(|error| Problem::unprocessable(error.to_string()))?;
    Ok(WhatIf { data, totals, progress: Progress { done: page.done, total: page.total }, next_cursor })
}

fn subscription(
    past: Past,
    rated: &mut impl Iterator<Item = Result<Invoice, String>>,
) -> Result<ComparedSubscription, MoneyError> {
    let Past { subscription, periods } = past;
    let compare = |it: PastPeriod| period(it, subscription.currency, rated.next());
    Ok(ComparedSubscription {
        tenant_id: subscription.tenant,
        subscription_id: subscription.id,
        periods: periods.into_iter().map(compare).collect::<Result<_, _>>()?,
    })
}

fn period(
    past: PastPeriod,
    currency: Currency,
    rated: Option<Result<Invoice, String>>,
) -> Result<ComparedPeriod, MoneyError> {
    let subtotal = Money::sum(currency, past.lines.iter().map(|line| line.amount))?;
    let billed = Side { lines: past.lines, subtotal };
    let (alternative, refused) = match rated {
        Some(Ok(invoice)) => (Some(Side { lines: invoice.lines, subtotal: invoice.subtotal }), None),
        Some(Err(reason)) => (None, Some(reason)),
        None => (None, Some("it was not measured".to_owned())),
    };
    let difference = match &alternative {
        Some(other) => Some(other.subtotal.checked_sub(subtotal)?),
        None => None,
    };
    Ok(ComparedPeriod { period: past.period.served, billed, alternative, difference, refused })
}

fn totals(data: &[ComparedSubscription]) -> Result<Vec<Sums>, MoneyError> {
    let mut totals: BTreeMap<Currency, Sums> = BTreeMap::new();
    for period in data.iter().flat_map(|subscription| &subscription.periods) {
        let (Some(alternative), Some(difference)) = (&period.alternative, period.difference) else { continue };
        let currency = difference.currency;
        let zero = Money::zero(currency);
        let empty = || Sums { currency, periods: 0, billed: zero, alternative: zero, difference: zero };
        let sums = totals.entry(currency).or_insert_with(empty);
        sums.periods += 1;
        sums.billed = sums.billed.checked_add(period.billed.subtotal)?;
        sums.alternative = sums.alternative.checked_add(alternative.subtotal)?;
        sums.difference = sums.difference.checked_add(difference)?;
    }
    Ok(totals.into_values().collect())
}
