//! From one bill moment to the draft of its invoice. Pure: the same inputs give the same bytes, whether for the bill run,
//! for the upcoming invoice or for a check years later.

use super::{BilledLine, Invoice, InvoiceError, InvoiceLine, InvoiceStatus, LineKind, Lineage, invoice_id};
use crate::id::MeterKey;
use crate::journal::InvoiceSettings;
use crate::money::{Money, format_amount, group_thousands};
use crate::party::Party;
use crate::period::{Period, PeriodError, TimeZone, zone::day_of};
use crate::plan::{PlanVersion, Price, Timing};
use crate::rating::{Basis, Rated, RatingError, explain, rate, sum_exact};
use crate::subscription::{BillMoment, ServedPeriod, Subscription};
use chrono::Duration;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The usage of one meter in one window, as metering measured it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFigure {
    /// In the meter's unit; 0 where the meter has no value.
    #[serde(with = "crate::money::exact_decimal")]
    pub quantity: Decimal,
    pub event_count: u64,
    /// 64 hex digits.
    pub digest: String,
    /// Per partition of the usage log, the first offset that was not counted.
    pub cut: Vec<u64>,
    pub meter_version: u32,
}

/// An earlier window whose usage was measured again, with the plan version it was billed by. Meters that did not change
/// may be left out.
#[derive(Debug, Clone)]
pub struct Remeasured<'a> {
    pub window: Period,
    pub plan: &'a PlanVersion,
    pub usage: BTreeMap<MeterKey, UsageFigure>,
}

/// Everything an invoice depends on.
#[derive(Debug, Clone)]
pub struct BillInput<'a> {
    pub subscription: &'a Subscription,
    /// The subscription's version of its plan.
    pub plan: &'a PlanVersion,
    pub moment: &'a BillMoment,
    /// A figure for each of `moment.usage`.
    pub usage: &'a BTreeMap<MeterKey, UsageFigure>,
    /// The lines of every earlier document of the subscription that is about a remeasured window, and, when the
    /// subscription ends, about the period that ends with it.
    pub billed: &'a [BilledLine],
    pub remeasured: &'a [Remeasured<'a>],
    pub settings: &'a InvoiceSettings,
    pub bill_to: &'a Party,
}

/// The draft of the invoice of a bill moment.
pub fn assemble(input: &BillInput<'_>) -> Result<Invoice, InvoiceError> {
    check_plan(input)?;
    let mut lines = Vec::new();
    for price in &input.plan.prices {
        lines.extend(current_line(input, price)?);
    }
    if let Some(ended) = input.moment.closes.filter(|_| input.moment.is_last) {
        for price in input.plan.prices.iter().filter(|price| price.timing() == Timing::InAdvance) {
            lines.extend(credit_line(input, price, ended)?);
        }
    }
    for remeasured in input.remeasured {
        for price in &remeasured.plan.prices {
            lines.extend(adjustment_line(input, remeasured, price)?);
        }
    }
    for (number, line) in (1..).zip(&mut lines) {
        line.number = number;
    }
    document(input, lines)
}

fn check_plan(input: &BillInput<'_>) -> Result<(), InvoiceError> {
    let (subscription, plan) = (input.subscription, input.plan);
    if subscription.plan == plan.key && subscription.plan_version == plan.version {
        return Ok(());
    }
    Err(InvoiceError::WrongPlan {
        expected: subscription.plan.clone(),
        expected_version: subscription.plan_version,
        given: plan.key.clone(),
        given_version: plan.version,
    })
}

fn document(input: &BillInput<'_>, lines: Vec<InvoiceLine>) -> Result<Invoice, InvoiceError> {
    let (subscription, moment, settings) = (input.subscription, input.moment, input.settings);
    let currency = subscription.currency;
    let subtotal = Money::sum(currency, lines.iter().map(|line| line.amount))?;
    let tax = Money::zero(currency);
    Ok(Invoice {
        id: invoice_id(&subscription.id, moment.at, moment.revision),
        tenant: subscription.tenant.clone(),
        subscription: subscription.id.clone(),
        status: InvoiceStatus::Draft,
        number: None,
        series: settings.series.clone(),
        billed_at: moment.at,
        revision: moment.revision,
        period: moment.period(),
        currency,
        zone: subscription.zone,
        issuer: settings.issuer.clone(),
        bill_to: input.bill_to.clone(),
        due_days: settings.due_days,
        issue_date: None,
        due_date: None,
        lines,
        subtotal,
        taxes: Vec::new(),
        tax,
        total: subtotal.checked_add(tax)?,
        finalized_at: None,
    })
}

/// The line of a price at this moment: for the period that begins, or for the one that ended. None when nothing was used
/// and nothing is owed.
fn current_line(input: &BillInput<'_>, price: &Price) -> Result<Option<InvoiceLine>, InvoiceError> {
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
    let line = Draft { kind: LineKind::Recurring, quantity: Decimal::ONE, rated, already_billed: None, lineage };
    Ok(Some(line.finish(price, input.subscription.zone)?).filter(|line| !line.amount.is_zero()))
}

fn usage_line(
    input: &BillInput<'_>,
    price: &Price,
    window: Period,
    figure: &UsageFigure,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let rated = rate(price, input.subscription.currency, Basis::Usage(figure.quantity))?;
    if figure.event_count == 0 && rated.amount.is_zero() {
        return Ok(None);
    }
    let lineage = measured_lineage(input.plan, price, window, figure);
    let line = Draft { kind: LineKind::Usage, quantity: figure.quantity, rated, already_billed: None, lineage };
    Ok(Some(line.finish(price, input.subscription.zone)?))
}

/// The credit for what was paid in advance beyond the end: what the served share costs, less what was billed for the
/// period. Charge and credit together are therefore exactly the price of what was served. Never a charge.
fn credit_line(input: &BillInput<'_>, price: &Price, ended: ServedPeriod) -> Result<Option<InvoiceLine>, InvoiceError> {
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
    let line = Draft { kind: LineKind::ProrationCredit, quantity, rated, already_billed: Some(before.amount), lineage };
    Ok(Some(line.finish(price, input.subscription.zone)?))
}

/// What late usage changes: the whole window's usage now, at that window's prices, less everything billed for it so far.
/// None when the amount stays the same.
fn adjustment_line(
    input: &BillInput<'_>,
    remeasured: &Remeasured<'_>,
    price: &Price,
) -> Result<Option<InvoiceLine>, InvoiceError> {
    let Some(figure) = price.meter().and_then(|meter| remeasured.usage.get(meter)) else {
        return Ok(None);
    };
    let kinds = [LineKind::Usage, LineKind::Adjustment];
    let before = Billed::of(input, price, &kinds, |period| *period == remeasured.window)?;
    let rated = rate(price, input.subscription.currency, Basis::Usage(figure.quantity))?;
    if rated.amount == before.amount {
        return Ok(None);
    }
    let change = sum_exact([figure.quantity, -before.quantity]).ok_or_else(|| overflow(price))?;
    let lineage = Lineage {
        previous_quantity: Some(before.quantity),
        ..measured_lineage(remeasured.plan, price, remeasured.window, figure)
    };
    let already_billed = Some(before.amount);
    let line = Draft { kind: LineKind::Adjustment, quantity: change, rated, already_billed, lineage };
    Ok(Some(line.finish(price, input.subscription.zone)?))
}

fn rate_share(input: &BillInput<'_>, price: &Price, period: ServedPeriod) -> Result<Rated, InvoiceError> {
    let share = period.share(input.subscription.zone)?;
    Ok(rate(price, input.subscription.currency, Basis::Share(share))?)
}

fn overflow(price: &Price) -> RatingError {
    RatingError::Overflow { price: price.key.clone() }
}

/// What earlier lines of some kinds charged for a price.
struct Billed {
    amount: Money,
    quantity: Decimal,
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

fn measured_lineage(plan: &PlanVersion, price: &Price, window: Period, figure: &UsageFigure) -> Lineage {
    Lineage {
        meter_version: Some(figure.meter_version),
        measured_quantity: Some(figure.quantity),
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
    already_billed: Option<Money>,
    lineage: Lineage,
}

impl Draft {
    fn finish(self, price: &Price, zone: TimeZone) -> Result<InvoiceLine, InvoiceError> {
        let rated = self.rated.amount;
        let amount = match self.already_billed {
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
            already_billed: self.already_billed,
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
        if let Some(before) = self.already_billed {
            sentences.push(format!("{} less {} billed so far = {}", print(rated), print(before), print(amount)));
        }
        sentences
    }
}

fn print(money: Money) -> String {
    format_amount(money.to_decimal(), money.currency)
}
