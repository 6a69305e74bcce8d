//! The lines of an invoice: what a price charges for a period, less what was billed for it so far.

use super::discounts::{free_units, sum_by_coupon};
use super::forgiven::{self, Charged};
use super::input::{BillInput, UsageFigure};
use super::line_tax::{LineTax, sum_by_tax};
use super::{BilledLine, InvoiceError, InvoiceLine, LineKind, Lineage};
use crate::discount::LineDiscount;
use crate::money::{Money, MoneyError, format_amount, group_thousands};
use crate::period::{Fraction, Period, PeriodError, TimeZone, zone::day_of};
use crate::plan::Timing;
use crate::rating::{Basis, Rated, RatingError, Usage, explain, rate, sum_exact, sum_of_rows};
use crate::subscription::{Part, ServedPeriod, Sold};
use chrono::{DateTime, Duration, Utc};
use rust_decimal::Decimal;

/// What a flat price owes for a period: all its parts, each by its quantity and its share, rounded once; less what earlier lines
/// charged for it. `before` is none where nothing can have been billed. None when nothing is owed.
pub(super) fn recurring_line(
    input: &BillInput<'_>,
    sold: &Sold<'_>,
    period: ServedPeriod,
    before: Option<Vec<&BilledLine>>,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let rated = rate_parts(input, sold, period)?;
    let earlier = before.as_deref().unwrap_or_default();
    let billed = Billed::of(sold, earlier, rated.amount)?;
    if rated.amount == billed.amount {
        return Ok(None);
    }
    let is_credit = rated.amount.minor < billed.amount.minor;
    let kind = match before {
        None => LineKind::Recurring,
        Some(_) if is_credit => LineKind::ProrationCredit,
        Some(_) => LineKind::Proration,
    };
    let all = sold.hull().or_else(|| hull(earlier)).unwrap_or(period.served);
    let span = if is_credit { unused(input, sold, period, all)? } else { all };
    // Where a period ends early, nothing else begins at that very instant.
    let ends_here = is_credit && input.moment.is_last && span.start == period.served.end;
    let starts_elsewhere = span.start != period.served.start && !ends_here;
    let period_start = starts_elsewhere.then_some(period.served.start);
    let line = Draft {
        kind,
        quantity: sold.parts.last().map_or(Decimal::ZERO, |part| part.quantity),
        rated,
        before: (!earlier.is_empty()).then_some(billed),
        lineage: Lineage { period_start, ..lineage(sold, span) },
        is_change: true,
    };
    Ok(Some(line.finish(sold, input.subscription.zone)?))
}

/// The end of the period that a credit is about; all of it where that is not at its end.
fn unused(input: &BillInput<'_>, sold: &Sold<'_>, period: ServedPeriod, all: Period) -> Result<Period, InvoiceError> {
    let cover = input.subscription.cover(&period)?;
    let from = sold.parts.last().map(|part| part.span.end);
    Ok(from.filter(|from| cover.contains(*from)).map_or(all, |from| Period::new(from, period.full.end)))
}

/// What was used in a window, rated by itself; less what earlier lines charged for it.
pub(super) fn usage_line(
    input: &BillInput<'_>,
    sold: &Sold<'_>,
    period: ServedPeriod,
    window: Period,
    figure: &UsageFigure,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let rated = rate_usage(input, sold, period, window, figure)?;
    if figure.event_count == 0 && rated.amount.is_zero() {
        return Ok(None);
    }
    let quantity = rated.held_quantity().unwrap_or(figure.quantity);
    let lineage = measured_lineage(sold, window, figure, quantity);
    let line = Draft { kind: LineKind::Usage, quantity, rated, before: None, lineage, is_change: false };
    Ok(Some(line.finish(sold, input.subscription.zone)?))
}

/// What changed about a window since it was billed: its whole usage now, less everything billed for it so far. None when the
/// amount stays the same.
pub(super) fn adjustment_line(
    input: &BillInput<'_>,
    sold: &Sold<'_>,
    period: ServedPeriod,
    window: Period,
    figure: &UsageFigure,
    before: &[&BilledLine],
    is_change: bool,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let rated = rate_usage(input, sold, period, window, figure)?;
    let before = Billed::of(sold, before, rated.amount)?;
    if rated.amount == before.amount {
        return Ok(None);
    }
    let quantity = rated.held_quantity().unwrap_or(figure.quantity);
    let change = sum_exact([quantity, -before.quantity]).ok_or_else(|| overflow(sold))?;
    let lineage = Lineage {
        previous_quantity: Some(before.quantity),
        period_end: ends_elsewhere(period, window),
        ..measured_lineage(sold, window, figure, quantity)
    };
    let line = Draft { kind: LineKind::Adjustment, quantity: change, rated, before: Some(before), lineage, is_change };
    Ok(Some(line.finish(sold, input.subscription.zone)?))
}

/// Takes back what was billed for usage that this price is not owed for any more. None when that is nothing.
pub(super) fn withdrawn_line(
    input: &BillInput<'_>,
    sold: &Sold<'_>,
    period: ServedPeriod,
    before: &[&BilledLine],
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let Some(span) = hull(before) else { return Ok(None) };
    let rated = nothing(input);
    let before = Billed::of(sold, before, rated.amount)?;
    if before.amount.is_zero() {
        return Ok(None);
    }
    let line = Draft {
        kind: LineKind::Adjustment,
        quantity: -before.quantity,
        rated,
        before: Some(before),
        lineage: Lineage { period_end: ends_elsewhere(period, span), ..lineage(sold, span) },
        is_change: true,
    };
    Ok(Some(line.finish(sold, input.subscription.zone)?))
}

fn ends_elsewhere(period: ServedPeriod, window: Period) -> Option<DateTime<Utc>> {
    (window.end != period.served.end).then_some(period.served.end)
}

fn nothing(input: &BillInput<'_>) -> Rated {
    Rated { rows: Vec::new(), exact: Decimal::ZERO, amount: Money::zero(input.subscription.currency) }
}

fn rate_parts(input: &BillInput<'_>, sold: &Sold<'_>, period: ServedPeriod) -> Result<Rated, InvoiceError> {
    let currency = input.subscription.currency;
    let mut rows = Vec::new();
    for Part { span, quantity } in &sold.parts {
        let share = match sold.price.timing() {
            Timing::Once => Fraction::WHOLE,
            Timing::InAdvance | Timing::InArrears => period.share(*span, input.subscription)?,
        };
        rows.extend(rate(&sold.price, currency, Basis::Bought { quantity: *quantity, share })?.rows);
    }
    let exact = sum_of_rows(&rows).ok_or_else(|| overflow(sold))?;
    let amount = Money::rounded(exact, currency).map_err(MoneyError::from)?;
    Ok(Rated { rows, exact, amount })
}

/// The price of a window's usage: the same when the window ends and whenever it is measured again.
fn rate_usage(
    input: &BillInput<'_>,
    sold: &Sold<'_>,
    period: ServedPeriod,
    window: Period,
    figure: &UsageFigure,
) -> Result<Rated, InvoiceError> {
    // Only a commitment depends on how much of its period the window is.
    let share = match &sold.price.commitment {
        None => Fraction::WHOLE,
        Some(_) => period.share(window, input.subscription)?,
    };
    let currency = input.subscription.currency;
    let moment = input.moment;
    let is_billed_anew = moment.replaces.is_some() && period.served.end == moment.at;
    let is_now = is_billed_anew || moment.closes.is_some_and(|closes| closes.served.intersect(&window).is_some());
    let moment = if is_now { moment.at } else { period.served.end };
    let free = free_units(input.terms.coupons, &sold.price, currency, moment, is_now, figure.quantity)?;
    let usage = Usage { quantity: free.priced, ..figure.rated(share, period.full) };
    let rated = rate(&sold.price, currency, Basis::Measured(usage))?;
    Ok(Rated { rows: [free.rows, rated.rows].concat(), ..rated })
}

fn overflow(sold: &Sold<'_>) -> RatingError {
    RatingError::Overflow { price: sold.identity.price.clone() }
}

fn hull(lines: &[&BilledLine]) -> Option<Period> {
    let periods = lines.iter().map(|line| line.period);
    periods.reduce(|all, some| Period::new(all.start.min(some.start), all.end.max(some.end)))
}

/// What earlier lines charged for a price.
struct Billed {
    amount: Money,
    /// What of it was forgiven.
    forgiven: Money,
    quantity: Decimal,
    /// What coupons took off it, a sum for each.
    discounts: Vec<LineDiscount>,
    /// How it was taxed, a sum for each tax.
    taxes: Vec<LineTax>,
}

impl Billed {
    fn of(sold: &Sold<'_>, lines: &[&BilledLine], owed: Money) -> Result<Self, InvoiceError> {
        let charged = Charged::of(lines, owed)?;
        Ok(Self {
            amount: charged.total()?,
            forgiven: charged.forgiven,
            quantity: sum_exact(lines.iter().map(|line| line.quantity)).ok_or_else(|| overflow(sold))?,
            discounts: sum_by_coupon(&charged.discounts)?,
            taxes: sum_by_tax(&charged.taxes)?,
        })
    }
}

fn lineage(sold: &Sold<'_>, window: Period) -> Lineage {
    Lineage {
        plan: Some(sold.identity.plan.clone()),
        plan_version: Some(sold.identity.plan_version),
        price_key: sold.identity.price.clone(),
        charge: None,
        add_on: sold.identity.add_on.clone(),
        overridden_by: sold.identity.overridden_by,
        window,
        period_start: None,
        period_end: None,
        meter: sold.price.meter().cloned(),
        meter_version: None,
        measured_quantity: None,
        previous_quantity: None,
        cut: Vec::new(),
        event_count: None,
        digest: None,
    }
}

fn measured_lineage(sold: &Sold<'_>, window: Period, figure: &UsageFigure, quantity: Decimal) -> Lineage {
    Lineage {
        meter_version: Some(figure.meter_version),
        measured_quantity: Some(quantity),
        cut: figure.cut.clone(),
        event_count: Some(figure.event_count),
        digest: Some(figure.digest.clone()),
        ..lineage(sold, window)
    }
}

/// A line before its amount is fixed.
struct Draft {
    kind: LineKind,
    quantity: Decimal,
    rated: Rated,
    before: Option<Billed>,
    lineage: Lineage,
    /// Whether a change of the subscription, not late usage, is why it is billed again.
    is_change: bool,
}

impl Draft {
    fn finish(self, sold: &Sold<'_>, zone: TimeZone) -> Result<InvoiceLine, InvoiceError> {
        let rated = self.rated.amount;
        let already_billed = self.before.as_ref().map(|before| before.amount);
        let amount = match already_billed {
            Some(before) => rated.checked_sub(before)?,
            None => rated,
        };
        let (description, explanation) = (self.describe(sold, zone)?, self.explain(amount));
        let (already_discounted, already_taxed) =
            self.before.map(|before| (before.discounts, before.taxes)).unwrap_or_default();
        Ok(InvoiceLine {
            number: 0,
            kind: self.kind,
            price_key: sold.identity.price.clone(),
            description,
            period: self.lineage.window,
            quantity: self.quantity,
            amount,
            explanation,
            rows: self.rated.rows,
            already_billed,
            discounts: Vec::new(),
            already_discounted,
            already_taxed,
            tax_category: sold.price.tax_category.clone(),
            lineage: self.lineage,
        })
    }

    fn describe(&self, sold: &Sold<'_>, zone: TimeZone) -> Result<String, PeriodError> {
        let window = self.lineage.window;
        let days = days(window, zone)?;
        let what = match self.kind {
            LineKind::Recurring | LineKind::Usage | LineKind::Commitment | LineKind::OneOff => "",
            LineKind::Adjustment if self.is_change => "Rated anew: ",
            LineKind::Adjustment => "Late usage: ",
            LineKind::ProrationCredit => "Not served: ",
            LineKind::Proration => "Changed: ",
        };
        let of = sold.identity.add_on.as_ref().map(|_| format!("{}: ", sold.plan.name)).unwrap_or_default();
        Ok(format!("{what}{of}{}, {days}", sold.price.name))
    }

    /// The rows, then what became of their sum.
    fn explain(&self, amount: Money) -> Vec<String> {
        let rated = self.rated.amount;
        let mut sentences = explain(rated.currency, &self.rated.rows);
        if let (Some(before), Some(now)) = (self.lineage.previous_quantity, self.lineage.measured_quantity) {
            let (before, now) = (group_thousands(before, 0), group_thousands(now, 0));
            sentences.insert(0, format!("usage billed so far {before}, now {now}"));
        }
        sentences.extend(outcome(&self.rated, self.before.as_ref().map(|before| before.amount), amount));
        sentences.extend(self.before.as_ref().and_then(|before| forgiven::sentence(before.forgiven)));
        sentences
    }
}

/// The first and the last day of a time.
pub(super) fn days(span: Period, zone: TimeZone) -> Result<String, PeriodError> {
    let first = day_of(span.start, zone)?;
    let last = day_of(span.start.max(span.end - Duration::nanoseconds(1)), zone)?;
    Ok(format!("{first} to {last}"))
}

/// What became of the sum of some rows.
pub(super) fn outcome(rated: &Rated, before: Option<Money>, amount: Money) -> Vec<String> {
    let mut sentences = Vec::new();
    if rated.exact != rated.amount.to_decimal() {
        let exact = format_amount(rated.exact, rated.amount.currency);
        sentences.push(format!("{exact} rounded once to {}", print(rated.amount)));
    }
    if let Some(before) = before {
        sentences.push(format!("{} less {} billed so far = {}", print(rated.amount), print(before), print(amount)));
    }
    sentences
}

fn print(money: Money) -> String {
    format_amount(money.to_decimal(), money.currency)
}
