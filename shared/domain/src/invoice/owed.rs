//! Which lines an invoice has, by one principle: what a period owes by everything that is known now, less what was billed for it
//! so far. What begins or ends now has nothing billed before; what was changed, ended or used late has.

use super::charge::{adjustment_line, recurring_line, usage_line, withdrawn_line};
use super::input::{BillInput, UsageFigure};
use super::{BilledLine, InvoiceError, InvoiceLine, LineKind, commitment};
use crate::id::{AddOnKey, MeterKey, PlanKey};
use crate::period::Period;
use crate::plan::Timing;
use crate::subscription::{PriceIdentity, Reopened, ServedPeriod, Sold, UsageNeed, metered, priced, recurring};
use std::collections::BTreeMap;

/// All lines of a bill moment, in the order in which they are printed.
pub(super) fn lines(input: &BillInput<'_>) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let moment = input.moment;
    let mut lines = current(input)?;
    if let Some(closes) = moment.closes.filter(|_| moment.settles) {
        lines.extend(settled(input, closes, Timing::is_in_advance)?);
    }
    if moment.replaces.is_some() {
        lines.extend(replaced(input)?);
    }
    for reopened in moment.reopens.iter().filter(|_| moment.replaces.is_none()) {
        let (period, is_closed) = (reopened.period, reopened.is_closed);
        lines.extend(settled(input, period, |timing| is_closed || timing.is_in_advance())?);
        if is_closed {
            lines.extend(rated_anew(input, period)?);
        }
    }
    lines.extend(late(input)?);
    lines.extend(commitment::lines(input, &lines)?);
    Ok(lines)
}

/// What begins and what ends: plan by plan, in the order of its prices.
fn current(input: &BillInput<'_>) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let (subscription, moment) = (input.subscription, input.moment);
    let mut ranked = Ranked::default();
    if let Some(closes) = moment.closes {
        let flat = recurring(subscription, input.plans, closes.served)?;
        let usage = metered(subscription, input.plans, closes.served)?;
        flat.iter().chain(&usage).for_each(|sold| ranked.see(sold));
        for sold in flat.iter().filter(|sold| sold.price.timing() == Timing::InArrears) {
            let before = billed(input, &closes, &LineKind::RECURRING, &sold.identity)?;
            let before = Some(before).filter(|before| moment.settles && !before.is_empty());
            ranked.add(sold, recurring_line(input, sold, closes, before)?);
        }
        for sold in &usage {
            let before = billed(input, &closes, &LineKind::USAGE, &sold.identity)?;
            if moment.settles && !before.is_empty() {
                compared(input, sold, closes, &before, input.usage, true)?
                    .into_iter()
                    .for_each(|line| ranked.add(sold, Some(line)));
                continue;
            }
            for part in &sold.parts {
                let figure = figure(input.usage, sold, part.span)?;
                ranked.add(sold, usage_line(input, sold, closes, part.span, figure)?);
            }
        }
        if moment.settles {
            for sold in withdrawn(input, &closes, &LineKind::USAGE, &usage)? {
                let before = billed(input, &closes, &LineKind::USAGE, &sold.identity)?;
                ranked.see(&sold);
                ranked.add(&sold, withdrawn_line(input, &sold, closes, &before)?);
            }
        }
    }
    if let Some(opens) = moment.opens {
        for sold in recurring(subscription, input.plans, opens.served)? {
            ranked.see(&sold);
            if sold.price.timing().is_in_advance() {
                ranked.add(&sold, recurring_line(input, &sold, opens, None)?);
            }
        }
    }
    Ok(ranked.lines())
}

/// The periods of a voided invoice, each with everything that it owes less what documents that stand have billed: what only the
/// voided one billed is there again as it was, in its order.
fn replaced(input: &BillInput<'_>) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let mut ranked = Ranked::default();
    for Reopened { period, is_closed } in &input.moment.reopens {
        let flat = recurring(input.subscription, input.plans, period.served)?;
        let usage = if *is_closed { metered(input.subscription, input.plans, period.served)? } else { Vec::new() };
        flat.iter().chain(&usage).for_each(|sold| ranked.see(sold));
        let withdrawn_flat = withdrawn(input, period, &LineKind::RECURRING, &flat)?;
        let due = flat.iter().filter(|sold| *is_closed || sold.price.timing().is_in_advance());
        for sold in due.chain(&withdrawn_flat) {
            let before =
                Some(billed(input, period, &LineKind::RECURRING, &sold.identity)?).filter(|before| !before.is_empty());
            ranked.add(sold, recurring_line(input, sold, *period, before)?);
        }
        for sold in &usage {
            let before = billed(input, period, &LineKind::USAGE, &sold.identity)?;
            if !before.is_empty() {
                for line in compared(input, sold, *period, &before, input.usage, true)? {
                    ranked.add(sold, Some(line));
                }
                continue;
            }
            for part in &sold.parts {
                ranked.add(sold, usage_line(input, sold, *period, part.span, figure(input.usage, sold, part.span)?)?);
            }
        }
        for sold in withdrawn(input, period, &LineKind::USAGE, &usage)?.iter().filter(|_| *is_closed) {
            let before = billed(input, period, &LineKind::USAGE, &sold.identity)?;
            ranked.add(sold, withdrawn_line(input, sold, *period, &before)?);
        }
    }
    Ok(ranked.lines())
}

/// The flat prices of a period that was billed before, those among them that are not sold any more.
fn settled(
    input: &BillInput<'_>,
    period: ServedPeriod,
    is_due: impl Fn(Timing) -> bool,
) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let sold = recurring(input.subscription, input.plans, period.served)?;
    let withdrawn = withdrawn(input, &period, &LineKind::RECURRING, &sold)?;
    let mut lines = Vec::new();
    let due = sold.iter().filter(|sold| is_due(sold.price.timing()));
    for sold in due.chain(&withdrawn) {
        let before = billed(input, &period, &LineKind::RECURRING, &sold.identity)?;
        lines.extend(recurring_line(input, sold, period, Some(before))?);
    }
    Ok(lines)
}

/// The usage of a closed period that a change concerns, by the prices that hold now.
fn rated_anew(input: &BillInput<'_>, period: ServedPeriod) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let sold = metered(input.subscription, input.plans, period.served)?;
    let mut lines = Vec::new();
    for sold in &sold {
        let before = billed(input, &period, &LineKind::USAGE, &sold.identity)?;
        lines.extend(compared(input, sold, period, &before, input.usage, true)?);
    }
    for sold in withdrawn(input, &period, &LineKind::USAGE, &sold)? {
        lines.extend(withdrawn_line(input, &sold, period, &billed(input, &period, &LineKind::USAGE, &sold.identity)?)?);
    }
    Ok(lines)
}

/// What late usage changes about closed periods.
fn late(input: &BillInput<'_>) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let mut periods: BTreeMap<Period, ServedPeriod> = BTreeMap::new();
    for need in input.late.keys() {
        if let Some(period) = input.subscription.period_at(need.window.start)? {
            periods.insert(period.served, period);
        }
    }
    let mut lines = Vec::new();
    for period in periods.into_values().filter(|period| !input.moment.compared().any(|it| it == *period)) {
        for sold in metered(input.subscription, input.plans, period.served)? {
            let before = billed(input, &period, &LineKind::USAGE, &sold.identity)?;
            lines.extend(compared(input, &sold, period, &before, input.late, false)?);
        }
    }
    Ok(lines)
}

/// The windows of a price against what was billed for them. Each earlier line belongs to one window: its own, or else the first
/// that shares time with it; what belongs to none is taken back. Windows that are not measured stay as they are.
fn compared(
    input: &BillInput<'_>,
    sold: &Sold<'_>,
    period: ServedPeriod,
    before: &[&BilledLine],
    figures: &BTreeMap<UsageNeed, UsageFigure>,
    is_change: bool,
) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let windows: Vec<Period> = sold.parts.iter().map(|part| part.span).collect();
    let window_of = |line: &BilledLine| {
        let own = windows.iter().position(|window| *window == line.period);
        own.or_else(|| windows.iter().position(|window| window.intersect(&line.period).is_some()))
    };
    let mut lines = Vec::new();
    for (index, window) in windows.iter().enumerate() {
        let need = need(sold, *window);
        let Some(figure) = need.as_ref().and_then(|need| figures.get(need)) else {
            if is_change {
                return Err(missing(sold));
            }
            continue;
        };
        let own: Vec<&BilledLine> = before.iter().copied().filter(|line| window_of(line) == Some(index)).collect();
        lines.extend(adjustment_line(input, sold, period, *window, figure, &own, is_change)?);
    }
    if is_change {
        let none: Vec<&BilledLine> = before.iter().copied().filter(|line| window_of(line).is_none()).collect();
        lines.extend(withdrawn_line(input, sold, period, &none)?);
    }
    Ok(lines)
}

fn need(sold: &Sold<'_>, window: Period) -> Option<UsageNeed> {
    sold.price.meter().map(|meter| UsageNeed { meter: meter.clone(), window })
}

fn figure<'a>(
    figures: &'a BTreeMap<UsageNeed, UsageFigure>,
    sold: &Sold<'_>,
    window: Period,
) -> Result<&'a UsageFigure, InvoiceError> {
    need(sold, window).and_then(|need| figures.get(&need)).ok_or_else(|| missing(sold))
}

fn missing(sold: &Sold<'_>) -> InvoiceError {
    let meter = sold.price.meter().cloned();
    // Only prices with a meter ask for a figure.
    meter.map_or(InvoiceError::Period(crate::period::PeriodError::OutOfRange), |meter: MeterKey| {
        InvoiceError::UsageMissing { meter }
    })
}

/// The earlier lines about a price in a period.
fn billed<'a>(
    input: &BillInput<'a>,
    period: &ServedPeriod,
    kinds: &[LineKind],
    identity: &PriceIdentity,
) -> Result<Vec<&'a BilledLine>, InvoiceError> {
    if input.billed.is_empty() {
        return Ok(Vec::new());
    }
    let all = about(input, period, kinds)?;
    Ok(all.into_iter().filter(|line| line.identity == *identity).collect())
}

/// The earlier lines about a period: each begins in its own time, and ends with it at the latest.
fn about<'a>(
    input: &BillInput<'a>,
    period: &ServedPeriod,
    kinds: &[LineKind],
) -> Result<Vec<&'a BilledLine>, InvoiceError> {
    let cover = input.subscription.cover(period)?;
    let is_about = |line: &&BilledLine| {
        kinds.contains(&line.kind) && cover.contains(line.belongs_to) && line.period.end <= period.full.end
    };
    Ok(input.billed.iter().filter(is_about).collect())
}

/// Prices that were billed for a period and are not sold in it any more.
fn withdrawn<'a>(
    input: &BillInput<'a>,
    period: &ServedPeriod,
    kinds: &[LineKind],
    sold: &[Sold<'_>],
) -> Result<Vec<Sold<'a>>, InvoiceError> {
    let mut identities: Vec<&PriceIdentity> = Vec::new();
    for line in about(input, period, kinds)? {
        if !identities.contains(&&line.identity) && !sold.iter().any(|sold| sold.identity == line.identity) {
            identities.push(&line.identity);
        }
    }
    let mut withdrawn = Vec::new();
    for identity in identities {
        withdrawn.extend(priced(input.subscription, input.plans, identity)?);
    }
    Ok(withdrawn)
}

/// Lines in the order of their plans, and in each of its prices.
#[derive(Default)]
struct Ranked {
    plans: Vec<(Option<AddOnKey>, PlanKey, u32)>,
    lines: Vec<((usize, usize), InvoiceLine)>,
}

impl Ranked {
    fn see(&mut self, sold: &Sold<'_>) {
        let key = Self::key(sold);
        if !self.plans.contains(&key) {
            self.plans.push(key);
        }
    }

    fn add(&mut self, sold: &Sold<'_>, line: Option<InvoiceLine>) {
        let Some(line) = line else { return };
        let key = Self::key(sold);
        let plan = self.plans.iter().position(|plan| *plan == key).unwrap_or(self.plans.len());
        let price = sold.plan.prices.iter().position(|price| price.key == sold.identity.price);
        self.lines.push(((plan, price.unwrap_or(usize::MAX)), line));
    }

    fn key(sold: &Sold<'_>) -> (Option<AddOnKey>, PlanKey, u32) {
        (sold.identity.add_on.clone(), sold.identity.plan.clone(), sold.identity.plan_version)
    }

    fn lines(mut self) -> Vec<InvoiceLine> {
        self.lines.sort_by_key(|(rank, _)| *rank);
        self.lines.into_iter().map(|(_, line)| line).collect()
    }
}
