//! The commitment of a plan: the least and the most that all its prices charge in a period together. What it adds or takes is
//! owed like everything else: by what is known now, less what was billed for it so far. Late usage therefore uses up a
//! minimum before it costs anything.

use super::charge::{days, outcome};
use super::forgiven::{self, Charged};
use super::input::BillInput;
use super::line_tax::sum_by_tax;
use super::{BilledLine, InvoiceError, InvoiceLine, LineKind, Lineage};
use crate::id::{PlanKey, PriceKey};
use crate::money::{Money, MoneyError};
use crate::period::{Fraction, Period, PeriodError};
use crate::plan::{PlanVersion, validate::COMMITMENT_KEY};
use crate::rating::{Rated, RatedRow, RatingError, explain, sum_of_rows};
use crate::subscription::{ServedPeriod, committed};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// A line for each plan and period whose commitment changes, beside the other lines of the document.
pub(super) fn lines(input: &BillInput<'_>, others: &[InvoiceLine]) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let (moment, mut lines) = (input.moment, Vec::new());
    let was_billed = || input.billed.iter().any(|line| line.kind == LineKind::Commitment);
    if !moment.commits && moment.reopens.is_empty() && input.late.is_empty() && !was_billed() {
        return Ok(lines);
    }
    for period in periods(input)?.into_values() {
        let now = committed(input.subscription, input.plans, period.served)?;
        let charges = Charges::of(input, others, period)?;
        let before = charges.committed();
        for (plan, spans) in &now {
            let spans = spans.as_slice();
            let rated = rated(input, plan, spans, period, charges.charged(plan)?)?;
            lines.extend(charges.line(input, plan, spans, rated)?);
        }
        // Billed for a plan that a change took out of the period.
        for (key, version) in before {
            if now.iter().any(|(plan, _)| (&plan.key, plan.version) == (&key, version)) {
                continue;
            }
            if let Some(plan) = input.plans.version(&key, version) {
                lines.extend(charges.line(input, plan, &[period.served], nothing(input))?);
            }
        }
    }
    Ok(lines)
}

/// The closed periods that the document is about.
fn periods(input: &BillInput<'_>) -> Result<BTreeMap<DateTime<Utc>, ServedPeriod>, InvoiceError> {
    let moment = input.moment;
    let reopened = moment.reopens.iter().filter(|reopened| reopened.is_closed).map(|reopened| reopened.period);
    // A period that was left and entered again is two of them.
    let mut periods: BTreeMap<DateTime<Utc>, ServedPeriod> =
        moment.closes.into_iter().chain(reopened).map(|period| (period.served.start, period)).collect();
    for need in input.late.keys() {
        if let Some(period) = input.subscription.period_at(need.window.start)? {
            periods.entry(period.served.start).or_insert(period);
        }
    }
    Ok(periods)
}

/// What brings the charges between minimum and maximum, each by the share of the period in which the plan is charged.
fn rated(
    input: &BillInput<'_>,
    plan: &PlanVersion,
    spans: &[Period],
    period: ServedPeriod,
    charged: Money,
) -> Result<Rated, InvoiceError> {
    let mut share = Fraction::NONE;
    for span in spans {
        let part = period.share(*span, input.subscription)?;
        share = share.checked_add(part).ok_or(PeriodError::OutOfRange)?;
    }
    let Some(commitment) = &plan.commitment else { return Ok(nothing(input)) };
    let overflow = || RatingError::Overflow { price: key() };
    let row = commitment.row(input.subscription.currency, charged.to_decimal(), share).map_err(|_| overflow())?;
    let rows: Vec<RatedRow> = row.into_iter().collect();
    let exact = sum_of_rows(&rows).ok_or_else(overflow)?;
    let amount = Money::rounded(exact, input.subscription.currency).map_err(MoneyError::from)?;
    Ok(Rated { rows, exact, amount })
}

fn nothing(input: &BillInput<'_>) -> Rated {
    Rated { rows: Vec::new(), exact: Decimal::ZERO, amount: Money::zero(input.subscription.currency) }
}

fn key() -> PriceKey {
    PriceKey::parse(COMMITMENT_KEY).expect("a word of small letters is a key")
}

/// Everything that was charged for a period so far, this document's own lines among it.
struct Charges {
    period: ServedPeriod,
    lines: Vec<BilledLine>,
    currency: crate::money::Currency,
}

impl Charges {
    fn of(input: &BillInput<'_>, others: &[InvoiceLine], period: ServedPeriod) -> Result<Self, InvoiceError> {
        let cover = input.subscription.cover(&period)?;
        let is_about = |line: &BilledLine| cover.contains(line.belongs_to) && line.period.end <= period.full.end;
        let all = input.billed.iter().cloned().chain(others.iter().filter_map(BilledLine::untaxed));
        Ok(Self { period, lines: all.filter(is_about).collect(), currency: input.subscription.currency })
    }

    /// The plans for whose commitment something was billed.
    fn committed(&self) -> BTreeSet<(PlanKey, u32)> {
        let lines = self.lines.iter().filter(|line| line.kind == LineKind::Commitment);
        lines.map(|line| (line.identity.plan.clone(), line.identity.plan_version)).collect()
    }

    fn charged(&self, plan: &PlanVersion) -> Result<Money, MoneyError> {
        let charges = self.of_plan(plan, |kind| LineKind::RECURRING.contains(&kind) || LineKind::USAGE.contains(&kind));
        Money::sum(self.currency, charges.map(|line| line.amount))
    }

    fn of_plan<'a>(
        &'a self,
        plan: &'a PlanVersion,
        counts: impl Fn(LineKind) -> bool + Clone + 'a,
    ) -> impl Iterator<Item = &'a BilledLine> + Clone {
        self.lines.iter().filter(move |line| {
            let identity = &line.identity;
            let is_own =
                identity.add_on.is_none() && identity.plan == plan.key && identity.plan_version == plan.version;
            is_own && counts(line.kind)
        })
    }

    /// The line that makes the sum of all commitment lines what is owed; none where it is that already.
    fn line(
        &self,
        input: &BillInput<'_>,
        plan: &PlanVersion,
        spans: &[Period],
        rated: Rated,
    ) -> Result<Option<InvoiceLine>, InvoiceError> {
        let billed: Vec<&BilledLine> = self.of_plan(plan, |kind| kind == LineKind::Commitment).collect();
        let charged = Charged::of(&billed, rated.amount)?;
        let before = charged.total()?;
        let amount = rated.amount.checked_sub(before)?;
        if amount.is_zero() {
            return Ok(None);
        }
        let hull = spans.iter().copied().reduce(|all, some| Period::new(all.start, some.end));
        let window = hull.unwrap_or(self.period.served);
        let already_billed = self.committed().contains(&(plan.key.clone(), plan.version)).then_some(before);
        let mut explanation = explain(rated.amount.currency, &rated.rows);
        explanation.extend(outcome(&rated, already_billed, amount));
        explanation.extend(forgiven::sentence(charged.forgiven));
        let starts_elsewhere = window.start != self.period.served.start;
        Ok(Some(InvoiceLine {
            number: 0,
            kind: LineKind::Commitment,
            price_key: key(),
            description: format!("Commitment of {}, {}", plan.name, days(window, input.subscription.zone)?),
            period: window,
            quantity: Decimal::ONE,
            amount,
            rows: rated.rows,
            already_billed,
            discounts: Vec::new(),
            already_discounted: Vec::new(),
            already_taxed: sum_by_tax(&charged.taxes)?,
            tax_category: None,
            explanation,
            lineage: Lineage {
                plan: Some(plan.key.clone()),
                plan_version: Some(plan.version),
                price_key: key(),
                charge: None,
                add_on: None,
                overridden_by: None,
                window,
                period_start: starts_elsewhere.then_some(self.period.served.start),
                period_end: None,
                meter: None,
                meter_version: None,
                measured_quantity: None,
                previous_quantity: None,
                cut: Vec::new(),
                event_count: None,
                digest: None,
            },
        }))
    }
}
