//! Step 2 of an invoice: what coupons take off its lines.
//!
//! Charges of the moment share a coupon's amount, split over them by [`allocate`]. Corrections follow one rule: what the
//! coupon owes on the corrected amount, less what it gave so far. So a charge and its corrections together are discounted
//! as if the amount had been right from the start, and no credit exceeds what was really asked.

use super::{Invoice, InvoiceError, InvoiceLine, LineKind, LineShare};
use crate::discount::{AppliedCoupon, CouponKind, LineDiscount, Redemption, in_order};
use crate::id::CouponKey;
use crate::money::{Currency, Money, MoneyError, allocate, format_amount, proportion};
use crate::period::Period;
use crate::plan::Price;
use crate::rating::{RatedRow, RatingError, RowDetail, sum_exact};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one coupon takes off an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscountRow {
    pub coupon: CouponKey,
    pub description: String,
    /// What the subtotal is reduced by; below zero where more is taken back than given.
    pub amount: Money,
    /// How it falls to the lines: they sum to the amount.
    pub lines: Vec<LineShare>,
    /// How it came about, as sentences.
    pub explanation: Vec<String>,
}

/// The quantity that is left to price, and the rows that say what coupons made free.
pub(super) struct FreeUnits {
    pub priced: Decimal,
    pub rows: Vec<RatedRow>,
}

/// Takes the free units of a window off its usage; `is_now` where the window is billed for the first time. A price that looks
/// at parts of the usage (by dimension, by transaction, by time) is left as it is: nobody could say which parts were free.
pub(super) fn free_units(
    coupons: &[AppliedCoupon],
    price: &Price,
    currency: Currency,
    window: Period,
    is_now: bool,
    quantity: Decimal,
) -> Result<FreeUnits, RatingError> {
    let mut free = FreeUnits { priced: quantity, rows: Vec::new() };
    if coupons.is_empty() || !takes_free_units(price, currency) {
        return Ok(free);
    }
    for applied in in_order(coupons) {
        let CouponKind::Units { meter, units } = &applied.coupon.kind else {
            continue;
        };
        let is_meant = price.meter() == Some(meter) && applied.coupon.covers(&price.key);
        let taken = free.priced.min(*units);
        let stands_alone = !free.rows.is_empty() && !applied.coupon.stackable;
        let is_in_force = if is_now { applied.is_in_force(window.end) } else { applied.is_for_corrections(window.end) };
        if !is_meant || taken <= Decimal::ZERO || stands_alone || !is_in_force {
            continue;
        }
        let overflow = || RatingError::Overflow { price: price.key.clone() };
        free.priced = sum_exact([free.priced, -taken]).ok_or_else(overflow)?;
        free.rows.push(RatedRow::of_free_units(taken, applied.coupon.key.clone()));
        if !applied.coupon.stackable {
            break;
        }
    }
    Ok(free)
}

fn takes_free_units(price: &Price, currency: Currency) -> bool {
    let is_split = !price.model.rules().split(currency, Decimal::ONE).is_ok_and(|terms| terms.is_none());
    price.dimensions().is_empty() && price.time_weighted.is_none() && !is_split
}

/// One entry for each coupon, in the order of their keys.
pub(super) fn sum_by_coupon<'a>(
    discounts: impl IntoIterator<Item = &'a LineDiscount>,
) -> Result<Vec<LineDiscount>, MoneyError> {
    let mut sums: BTreeMap<&CouponKey, Money> = BTreeMap::new();
    for discount in discounts {
        let sum = sums.entry(&discount.coupon).or_insert(Money::zero(discount.amount.currency));
        *sum = sum.checked_add(discount.amount)?;
    }
    Ok(sums.into_iter().map(|(coupon, amount)| LineDiscount { coupon: coupon.clone(), amount }).collect())
}

/// Discounts the lines of a moment, and answers a row for each coupon that does something.
pub(super) fn discount(
    coupons: &[AppliedCoupon],
    moment: DateTime<Utc>,
    currency: Currency,
    lines: &mut [InvoiceLine],
) -> Result<Vec<DiscountRow>, InvoiceError> {
    let mut discounting = Discounting {
        moment,
        currency,
        states: lines.iter().map(|line| State::of(line, coupons)).collect::<Result<_, _>>()?,
        lines,
    };
    let mut rows = Vec::new();
    for applied in in_order(coupons) {
        rows.extend(discounting.by(applied)?);
    }
    rows.extend(discounting.by_unknown(coupons)?);
    Ok(rows)
}

/// A line while it is discounted.
struct State {
    /// What is left to be discounted: of a charge its amount, of a correction the whole corrected amount. Never below zero.
    rest: Money,
    /// Another coupon discounts it.
    is_discounted: bool,
    /// A coupon that stands alone discounts it.
    is_taken: bool,
}

impl State {
    fn of(line: &InvoiceLine, coupons: &[AppliedCoupon]) -> Result<Self, MoneyError> {
        let zero = Money::zero(line.amount.currency);
        let owed = line.amount.checked_add(line.already_billed.unwrap_or(zero))?;
        let free = line.rows.iter().filter_map(free_by);
        let alone = |key: &CouponKey| coupons.iter().any(|it| it.coupon.key == *key && !it.coupon.stackable);
        let (mut is_discounted, mut is_taken) = (false, false);
        for coupon in free {
            is_discounted = true;
            is_taken |= alone(coupon);
        }
        Ok(Self { rest: Money::new(owed.minor.max(0), owed.currency), is_discounted, is_taken })
    }

    fn takes(&self, applied: &AppliedCoupon) -> bool {
        !self.is_taken && (applied.coupon.stackable || !self.is_discounted)
    }
}

fn free_by(row: &RatedRow) -> Option<&CouponKey> {
    match &row.detail {
        Some(RowDetail::FreeUnits { coupon }) => Some(coupon),
        _ => None,
    }
}

struct Discounting<'l> {
    moment: DateTime<Utc>,
    currency: Currency,
    states: Vec<State>,
    lines: &'l mut [InvoiceLine],
}

impl Discounting<'_> {
    fn by(&mut self, applied: &AppliedCoupon) -> Result<Option<DiscountRow>, InvoiceError> {
        if matches!(applied.coupon.kind, CouponKind::Units { .. }) {
            return Ok(None);
        }
        let mut row = Row::of(&applied.coupon.key, applied.coupon.describe(self.currency), self.currency);
        let charged = self.charges(applied, &mut row)?;
        self.adjustments(applied, charged, &mut row)?;
        for index in 0..self.lines.len() {
            if is_credit(&self.lines[index]) {
                self.keep_share(index, &mut row)?;
            }
        }
        Ok(row.finish()?)
    }

    /// What is charged now: one amount over all of it, split by what each line still asks. Answers the amount.
    fn charges(&mut self, applied: &AppliedCoupon, row: &mut Row) -> Result<Money, InvoiceError> {
        let nothing = Money::zero(self.currency);
        if !applied.is_in_force(self.moment) {
            return Ok(nothing);
        }
        let is_eligible = |index: &usize| {
            let (line, state) = (&self.lines[*index], &self.states[*index]);
            // What was committed to is owed whatever coupons say.
            line.kind != LineKind::Commitment
                && line.already_billed.is_none()
                && state.rest.minor > 0
                && applied.coupon.covers(&line.price_key)
                && state.takes(applied)
        };
        let eligible: Vec<usize> = (0..self.lines.len()).filter(is_eligible).collect();
        let base = Money::sum(self.currency, eligible.iter().map(|index| self.states[*index].rest))?;
        let total = match applied.percent() {
            Some(percent) => part(base, percent)?,
            None => least(base, applied.available(self.moment, self.currency)?),
        };
        if total.minor <= 0 {
            return Ok(nothing);
        }
        let weights: Vec<i64> = eligible.iter().map(|index| self.states[*index].rest.minor).collect();
        for (index, amount) in eligible.into_iter().zip(allocate(total, &weights)) {
            self.give(index, applied, amount, amount, row)?;
        }
        row.explanation.push(match applied.percent() {
            Some(percent) => format!("{} % of {} = {}", percent.normalize(), print(base), print(total)),
            None => format!("{} off {}", print(total), print(base)),
        });
        Ok(total)
    }

    /// Usage that is measured again is discounted as a whole, by what was in force when its period was billed.
    /// `charged` is what it gives to the charges of this document.
    fn adjustments(&mut self, applied: &AppliedCoupon, charged: Money, row: &mut Row) -> Result<(), InvoiceError> {
        // Of a fixed amount, what this document changes, by the moment that it is for: of one that carries over, all of it
        // comes from the same rest.
        let mut changed = vec![(self.moment, charged)];
        for index in 0..self.lines.len() {
            let (line, state) = (&self.lines[index], &self.states[index]);
            let (given, rest, number) = (given(line, &applied.coupon.key), state.rest, line.number);
            let moment = line.period.end;
            let is_meant = applied.coupon.covers(&line.price_key) && applied.is_for_corrections(moment);
            let takes = is_meant && state.takes(applied);
            if !is_adjustment(line) || (!takes && given.is_zero()) {
                continue;
            }
            let owed = match applied.percent() {
                // Another coupon that stands alone has the line now.
                _ if !takes => Money::zero(self.currency),
                Some(percent) => part(rest, percent)?,
                None => {
                    let same = changed.iter().filter(|(of, _)| *of == moment || applied.carries_over());
                    let before = Money::sum(self.currency, same.map(|(_, amount)| *amount))?;
                    let left = applied.available(moment, self.currency)?.checked_sub(before)?;
                    let owed = least(rest, given.checked_add(least(left, rest))?);
                    Money::new(owed.minor.max(0), self.currency)
                }
            };
            let change = owed.checked_sub(given)?;
            changed.push((moment, change));
            self.give(index, applied, change, owed, row)?;
            if !change.is_zero() {
                let (rest, owed, given, change) = (print(rest), print(owed), print(given), print(change));
                let sentence = match applied.percent() {
                    Some(percent) => format!("{} % of {rest} = {owed}", percent.normalize()),
                    None => format!("{owed} off {rest}"),
                };
                row.explanation.push(format!("line {number}: {sentence}, less {given} given so far = {change}"));
            }
        }
        Ok(())
    }

    /// A credit takes back the same share of the discount as of the charge.
    fn keep_share(&mut self, index: usize, row: &mut Row) -> Result<(), InvoiceError> {
        let line = &self.lines[index];
        let (given, before) = (given(line, &row.coupon), line.already_billed.unwrap_or(Money::zero(self.currency)));
        if given.is_zero() || before.minor <= 0 {
            return Ok(());
        }
        let stays = Money::new(line.amount.checked_add(before)?.minor.clamp(0, before.minor), self.currency);
        let owed = proportion(given, stays.minor.into(), before.minor.into()).map_err(MoneyError::from)?;
        let change = owed.checked_sub(given)?;
        let (number, given) = (line.number, print(given));
        let sentence = format!(
            "line {number}: {given} on {} is {} on {}, less {given} given so far = {}",
            print(before),
            print(owed),
            print(stays),
            print(change)
        );
        self.put(index, change, row);
        if !change.is_zero() {
            row.explanation.push(sentence);
        }
        Ok(())
    }

    /// What is corrected although nobody knows the coupon's terms any more keeps its share.
    fn by_unknown(&mut self, coupons: &[AppliedCoupon]) -> Result<Vec<DiscountRow>, InvoiceError> {
        let is_known = |key: &CouponKey| coupons.iter().any(|applied| applied.coupon.key == *key);
        let given = self.lines.iter().flat_map(|line| &line.already_discounted);
        let unknown: Vec<LineDiscount> = sum_by_coupon(given.filter(|discount| !is_known(&discount.coupon)))?;
        let mut rows = Vec::new();
        for LineDiscount { coupon, .. } in unknown {
            let mut row = Row::of(&coupon, format!("Coupon {coupon}"), self.currency);
            for index in 0..self.lines.len() {
                self.keep_share(index, &mut row)?;
            }
            rows.extend(row.finish()?);
        }
        Ok(rows)
    }

    /// Discounts a line by `change`; `owed` is what the coupon takes off the whole of it.
    fn give(
        &mut self,
        index: usize,
        applied: &AppliedCoupon,
        change: Money,
        owed: Money,
        row: &mut Row,
    ) -> Result<(), InvoiceError> {
        self.put(index, change, row);
        let state = &mut self.states[index];
        state.rest = state.rest.checked_sub(owed)?;
        if owed.minor > 0 {
            state.is_discounted = true;
            state.is_taken |= !applied.coupon.stackable;
        }
        Ok(())
    }

    fn put(&mut self, index: usize, amount: Money, row: &mut Row) {
        if amount.is_zero() {
            return;
        }
        let line = &mut self.lines[index];
        line.discounts.push(LineDiscount { coupon: row.coupon.clone(), amount });
        row.shares.push(LineShare { line: line.number, amount });
    }
}

/// A row before its amount is known.
struct Row {
    coupon: CouponKey,
    description: String,
    currency: Currency,
    shares: Vec<LineShare>,
    explanation: Vec<String>,
}

impl Row {
    fn of(coupon: &CouponKey, description: String, currency: Currency) -> Self {
        Self { coupon: coupon.clone(), description, currency, shares: Vec::new(), explanation: Vec::new() }
    }

    fn finish(mut self) -> Result<Option<DiscountRow>, MoneyError> {
        if self.shares.is_empty() {
            return Ok(None);
        }
        self.shares.sort_by_key(|share| share.line);
        Ok(Some(DiscountRow {
            coupon: self.coupon,
            description: self.description,
            amount: Money::sum(self.currency, self.shares.iter().map(|share| share.amount))?,
            lines: self.shares,
            explanation: self.explanation,
        }))
    }
}

/// Usage that is measured again. Every other correction is a credit of something that was charged by time.
fn is_adjustment(line: &InvoiceLine) -> bool {
    line.kind == LineKind::Adjustment && line.already_billed.is_some()
}

fn is_credit(line: &InvoiceLine) -> bool {
    line.kind != LineKind::Adjustment && line.already_billed.is_some()
}

fn given(line: &InvoiceLine, coupon: &CouponKey) -> Money {
    let found = line.already_discounted.iter().find(|discount| discount.coupon == *coupon);
    found.map_or(Money::zero(line.amount.currency), |discount| discount.amount)
}

fn part(base: Money, percent: Decimal) -> Result<Money, MoneyError> {
    Ok(proportion(base, percent, Decimal::ONE_HUNDRED)?)
}

fn least(a: Money, b: Money) -> Money {
    if b.minor < a.minor { b } else { a }
}

fn print(money: Money) -> String {
    format_amount(money.to_decimal(), money.currency)
}

/// What the coupons of an issued invoice gave, by the bill moment that it counts for: that of the invoice for its charges, that
/// of the corrected usage for its adjustments. What a credit takes back stays used.
pub fn redemptions(invoice: &Invoice) -> Result<Vec<(CouponKey, Redemption)>, MoneyError> {
    let mut found: BTreeMap<(&CouponKey, DateTime<Utc>), Money> = BTreeMap::new();
    for line in invoice.lines.iter().filter(|line| !is_credit(line)) {
        let moment = if is_adjustment(line) { line.period.end } else { invoice.billed_at };
        let zero = Money::zero(line.amount.currency);
        let free = line.rows.iter().filter_map(free_by).map(|coupon| (coupon, zero));
        for (coupon, amount) in free.chain(line.discounts.iter().map(|it| (&it.coupon, it.amount))) {
            let sum = found.entry((coupon, moment)).or_insert(zero);
            *sum = sum.checked_add(amount)?;
        }
    }
    let redemption =
        |((coupon, billed_at), given): ((&CouponKey, _), _)| (coupon.clone(), Redemption { billed_at, given });
    Ok(found.into_iter().map(redemption).collect())
}
