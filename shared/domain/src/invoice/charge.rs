//! The lines of an invoice: what a price charges at a bill moment, what an end credits, what late usage changes.

use super::assemble::{BillInput, Remeasured, UsageFigure};
use super::discounts::{free_units, sum_by_coupon};
use super::{BilledLine, InvoiceError, InvoiceLine, LineKind, Lineage};
use crate::discount::LineDiscount;
use crate::money::{Money, format_amount, group_thousands};
use crate::period::{Fraction, Period, PeriodError, TimeZone, zone::day_of};
use crate::plan::{PlanVersion, Price, Timing};
use crate::rating::{Basis, Rated, RatingError, Usage, explain, rate, sum_exact};
use crate::subscription::ServedPeriod;
use chrono::Duration;
use rust_decimal::Decimal;

/// The line of a price at this moment: for the period that begins, or for the one that ended. None when nothing was used
/// and nothing is owed.
pub(super) fn current_line(input: &BillInput<'_>, price: &Price) -> Result<Option<InvoiceLine>, InvoiceError> {
    let period = match price.timing() {
        Timing::InAdvance => input.moment.opens,
        Timing::InArrears => input.moment.closes,
    };
    let Some(period) = period else {
        return Ok(None);
    };
    match price.meter() {
        None => recurring_line(input, price, period),
        Some(meter) => {
            let figure = input.usage.get(meter).ok_or_else(|| InvoiceError::UsageMissing { meter: meter.clone() })?;
            usage_line(input, price, period.served, figure)
        }
    }
}

fn recurring_line(
    input: &BillInput<'_>,
    price: &Price,
    period: ServedPeriod,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let rated = rate_share(input, price, period)?;
    let lineage = lineage(input.plan, price, period.served);
    let line = Draft { kind: LineKind::Recurring, quantity: Decimal::ONE, rated, before: None, lineage };
    Ok(Some(line.finish(price, input.subscription.zone)?).filter(|line| !line.amount.is_zero()))
}

fn usage_line(
    input: &BillInput<'_>,
    price: &Price,
    window: Period,
    figure: &UsageFigure,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let rated = rate_usage(input, price, window, figure)?;
    if figure.event_count == 0 && rated.amount.is_zero() {
        return Ok(None);
    }
    let quantity = rated.held_quantity().unwrap_or(figure.quantity);
    let lineage = measured_lineage(input.plan, price, window, figure, quantity);
    let line = Draft { kind: LineKind::Usage, quantity, rated, before: None, lineage };
    Ok(Some(line.finish(price, input.subscription.zone)?))
}

/// The credit for what was paid in advance beyond the end: what the served share costs, less what was billed for the
/// period. Charge and credit together are therefore exactly the price of what was served. Never a charge.
pub(super) fn credit_line(
    input: &BillInput<'_>,
    price: &Price,
    ended: ServedPeriod,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let kinds = [LineKind::Recurring, LineKind::ProrationCredit];
    let same_period = |period: &Period| ended.full.start <= period.start && period.end <= ended.full.end;
    let before = Billed::of(input, price, &kinds, same_period)?;
    let rated = rate_share(input, price, ended)?;
    if before.amount.minor <= rated.amount.minor {
        return Ok(None);
    }
    let unused = Period::new(ended.served.end, ended.full.end);
    let lineage = lineage(input.plan, price, unused);
    let quantity = Decimal::ONE;
    let line = Draft { kind: LineKind::ProrationCredit, quantity, rated, before: Some(before), lineage };
    Ok(Some(line.finish(price, input.subscription.zone)?))
}

/// What late usage changes: the whole window's usage now, at that window's prices, less everything billed for it so far.
/// None when the amount stays the same.
pub(super) fn adjustment_line(
    input: &BillInput<'_>,
    remeasured: &Remeasured<'_>,
    price: &Price,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let Some(figure) = price.meter().and_then(|meter| remeasured.usage.get(meter)) else {
        return Ok(None);
    };
    let kinds = [LineKind::Usage, LineKind::Adjustment];
    let before = Billed::of(input, price, &kinds, |period| *period == remeasured.window)?;
    let rated = rate_usage(input, price, remeasured.window, figure)?;
    if rated.amount == before.amount {
        return Ok(None);
    }
    let quantity = rated.held_quantity().unwrap_or(figure.quantity);
    let change = sum_exact([quantity, -before.quantity]).ok_or_else(|| overflow(price))?;
    let lineage = Lineage {
        previous_quantity: Some(before.quantity),
        ..measured_lineage(remeasured.plan, price, remeasured.window, figure, quantity)
    };
    let line = Draft { kind: LineKind::Adjustment, quantity: change, rated, before: Some(before), lineage };
    Ok(Some(line.finish(price, input.subscription.zone)?))
}

fn rate_share(input: &BillInput<'_>, price: &Price, period: ServedPeriod) -> Result<Rated, InvoiceError> {
    let share = period.share(input.subscription.zone)?;
    Ok(rate(price, input.subscription.currency, Basis::Share(share))?)
}

/// The price of a window's usage: the same when the window ends and whenever it is measured again.
fn rate_usage(
    input: &BillInput<'_>,
    price: &Price,
    window: Period,
    figure: &UsageFigure,
) -> Result<Rated, InvoiceError> {
    let full = input.subscription.anchor()?.period_containing(window.start)?;
    // Only a commitment depends on how much of its period the window is.
    let share = match &price.commitment {
        None => Fraction::WHOLE,
        Some(_) => ServedPeriod { full, served: window }.share(input.subscription.zone)?,
    };
    let is_now = input.moment.closes.is_some_and(|period| period.served == window);
    let free = free_units(input.terms.coupons, price, input.subscription.currency, window, is_now, figure.quantity)?;
    let usage = Usage { quantity: free.priced, ..figure.rated(share, full) };
    let rated = rate(price, input.subscription.currency, Basis::Measured(usage))?;
    Ok(Rated { rows: [free.rows, rated.rows].concat(), ..rated })
}

fn overflow(price: &Price) -> RatingError {
    RatingError::Overflow { price: price.key.clone() }
}

/// What earlier lines of some kinds charged for a price.
struct Billed {
    amount: Money,
    quantity: Decimal,
    /// What coupons took off it, a sum for each.
    discounts: Vec<LineDiscount>,
}

impl Billed {
    fn of(
        input: &BillInput<'_>,
        price: &Price,
        kinds: &[LineKind],
        covers: impl Fn(&Period) -> bool,
    ) -> Result<Self, InvoiceError> {
        let lines: Vec<&BilledLine> = input
            .billed
            .iter()
            .filter(|line| line.price_key == price.key && kinds.contains(&line.kind) && covers(&line.period))
            .collect();
        Ok(Self {
            amount: Money::sum(input.subscription.currency, lines.iter().map(|line| line.amount))?,
            quantity: sum_exact(lines.iter().map(|line| line.quantity)).ok_or_else(|| overflow(price))?,
            discounts: sum_by_coupon(lines.iter().flat_map(|line| &line.discounts))?,
        })
    }
}

fn lineage(plan: &PlanVersion, price: &Price, window: Period) -> Lineage {
    Lineage {
        plan: plan.key.clone(),
        plan_version: plan.version,
        price_key: price.key.clone(),
        window,
        meter: price.meter().cloned(),
        meter_version: None,
        measured_quantity: None,
        previous_quantity: None,
        cut: Vec::new(),
        event_count: None,
        digest: None,
    }
}

fn measured_lineage(
    plan: &PlanVersion,
    price: &Price,
    window: Period,
    figure: &UsageFigure,
    quantity: Decimal,
) -> Lineage {
    Lineage {
        meter_version: Some(figure.meter_version),
        measured_quantity: Some(quantity),
        cut: figure.cut.clone(),
        event_count: Some(figure.event_count),
        digest: Some(figure.digest.clone()),
        ..lineage(plan, price, window)
    }
}

/// A line before its amount is fixed.
struct Draft {
    kind: LineKind,
    quantity: Decimal,
    rated: Rated,
    before: Option<Billed>,
    lineage: Lineage,
}

impl Draft {
    fn finish(self, price: &Price, zone: TimeZone) -> Result<InvoiceLine, InvoiceError> {
        let rated = self.rated.amount;
        let already_billed = self.before.as_ref().map(|before| before.amount);
        let amount = match already_billed {
            Some(before) => rated.checked_sub(before)?,
            None => rated,
        };
        Ok(InvoiceLine {
            number: 0,
            kind: self.kind,
            price_key: price.key.clone(),
            description: self.describe(price, zone)?,
            period: self.lineage.window,
            quantity: self.quantity,
            amount,
            explanation: self.explain(amount),
            rows: self.rated.rows,
            already_billed,
            discounts: Vec::new(),
            already_discounted: self.before.map(|before| before.discounts).unwrap_or_default(),
            tax_category: price.tax_category.clone(),
            lineage: self.lineage,
        })
    }

    fn describe(&self, price: &Price, zone: TimeZone) -> Result<String, PeriodError> {
        let window = self.lineage.window;
        let first = day_of(window.start, zone)?;
        let last = day_of(window.start.max(window.end - Duration::nanoseconds(1)), zone)?;
        let what = match self.kind {
            LineKind::Recurring | LineKind::Usage => "",
            LineKind::Adjustment => "Late usage: ",
            LineKind::ProrationCredit => "Not served: ",
        };
        Ok(format!("{what}{}, {first} to {last}", price.name))
    }

    /// The rows, then what became of their sum.
    fn explain(&self, amount: Money) -> Vec<String> {
        let rated = self.rated.amount;
        let mut sentences = explain(rated.currency, &self.rated.rows);
        if let (Some(before), Some(now)) = (self.lineage.previous_quantity, self.lineage.measured_quantity) {
            let (before, now) = (group_thousands(before, 0), group_thousands(now, 0));
            sentences.insert(0, format!("usage billed so far {before}, now {now}"));
        }
        if self.rated.exact != rated.to_decimal() {
            let exact = format_amount(self.rated.exact, rated.currency);
            sentences.push(format!("{exact} rounded once to {}", print(rated)));
        }
        if let Some(before) = self.before.as_ref().map(|before| before.amount) {
            sentences.push(format!("{} less {} billed so far = {}", print(rated), print(before), print(amount)));
        }
        sentences
    }
}

fn print(money: Money) -> String {
    format_amount(money.to_decimal(), money.currency)
}
