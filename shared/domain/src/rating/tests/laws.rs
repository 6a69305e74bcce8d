//! What holds for every model there is: rows sum to the amount, and usage that was measured in parts, in any order, is rated
//! like the whole.

use super::properties::{any_price, any_unit_amount, meter, price_of};
use super::*;
use crate::event::Identity;
use crate::meter::{Aggregation, Partial, Reading};
use crate::period::Period;
use crate::plan::PriceModel;
use crate::quantity::Quantity;
use chrono::{DateTime, Duration, Utc};
use std::collections::BTreeMap;

const DAYS: i64 = 30;

/// One event: thousandths of the meter's unit, a second of the period, and two dimensions.
type Drawn = (i64, i64, usize, usize);

fn any_events() -> impl Strategy<Value = Vec<Drawn>> {
    prop::collection::vec((-1_000_000..10_000_000_i64, 0..DAYS * 86_400, 0..3_usize, 0..3_usize), 0..25)
}

fn any_flat() -> impl Strategy<Value = PriceModel> {
    (0..10_000_000_000_i64).prop_map(|millionths| {
        let amount = [(usd(), Decimal::new(millionths, 6))].into_iter().collect();
        PriceModel::Flat(Flat { timing: Timing::InAdvance, amount })
    })
}

fn any_bounded() -> impl Strategy<Value = PriceModel> {
    let cents = || 0..2_000_i64;
    (any_unit_amount(), cents(), cents(), cents()).prop_map(|(rate_percent, fee, least, beyond)| {
        let amounts = |cents| Some([(usd(), Decimal::new(cents, 2))].into_iter().collect());
        PriceModel::Percentage(Percentage {
            meter: meter(),
            rate_percent,
            transaction_amount: amounts(fee),
            free_amount: None,
            free_transactions: 0,
            transaction_minimum: amounts(least),
            transaction_maximum: amounts(least + beyond),
        })
    })
}

fn any_matrix() -> impl Strategy<Value = PriceModel> {
    let included = || prop_oneof![Just(Decimal::ZERO), (0..20_000_000_i64).prop_map(|n| Decimal::new(n, 3))];
    let priced = || (any_unit_amount(), included());
    (priced(), priced(), priced()).prop_map(|(both, one, rest)| {
        let cell = |values: &[(&str, &str)], (unit_amount, included)| Cell {
            values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            unit_amount,
            included,
        };
        let cells = vec![cell(&[("model", "1"), ("region", "2")], both), cell(&[("region", "2")], one)];
        let dimensions = vec!["model".to_owned(), "region".to_owned()];
        let (unit_amount, included) = rest;
        PriceModel::Matrix(Matrix { meter: meter(), dimensions, cells, unit_amount, included })
    })
}

/// Any price of usage: every model, with and without transform, commitment and weighting by time.
fn any_price_of_usage() -> impl Strategy<Value = Price> {
    let by_parts = prop_oneof![any_bounded(), any_matrix()].prop_map(|model| price_of(model, (None, None)));
    let weighted = (any_price(), any::<bool>())
        .prop_map(|(price, carry_over)| Price { time_weighted: Some(TimeWeighting { carry_over }), ..price });
    prop_oneof![any_price(), by_parts, weighted]
}

/// What a meter measures of some events: everything that any price asks for.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    partial: Partial,
    groups: BTreeMap<(usize, usize), Decimal>,
    splits: Vec<TransactionSplit>,
    held: Held,
}

impl Measured {
    fn nothing(price: &Price) -> Self {
        let splits = price.split(usd()).unwrap().map(TransactionSplit::new).into_iter().collect();
        let carry_over = price.time_weighted.is_some_and(|weighting| weighting.carry_over);
        Self { partial: Partial::default(), groups: BTreeMap::new(), splits, held: Held::new(carry_over) }
    }

    fn of<'a>(price: &Price, events: impl IntoIterator<Item = &'a (usize, Drawn)>) -> Self {
        let mut measured = Self::nothing(price);
        for (serial, (thousandths, second, model, region)) in events {
            let amount: Quantity = Decimal::new(*thousandths, 3);
            let time = period().start + Duration::seconds(*second);
            let reading = Reading::Value { value: Some(amount), text: None, dimensions: Vec::new() };
            measured.partial.add(&reading, time, Identity(*serial as u128));
            *measured.groups.entry((*model, *region)).or_default() += amount;
            measured.splits.iter_mut().for_each(|split| split.add(amount).unwrap());
            measured.held.add(amount, seconds_held(period(), time)).unwrap();
        }
        measured
    }

    fn merged(mut self, other: &Self) -> Self {
        self.partial.merge(&other.partial);
        for (values, quantity) in &other.groups {
            *self.groups.entry(*values).or_default() += quantity;
        }
        for (split, other) in self.splits.iter_mut().zip(&other.splits) {
            let parts = [(&mut split.low, other.low), (&mut split.middle, other.middle), (&mut split.high, other.high)];
            for (part, other) in parts {
                *part = Transactions { count: part.count + other.count, amount: part.amount + other.amount };
            }
        }
        self.held.unit_seconds += other.held.unit_seconds;
        self
    }

    fn rated(&self, price: &Price, share: Fraction) -> Rated {
        let groups: Vec<UsageGroup> = self
            .groups
            .iter()
            .map(|((model, region), quantity)| UsageGroup {
                values: [("model", model), ("region", region)]
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.to_string()))
                    .collect(),
                quantity: *quantity,
            })
            .collect();
        let usage = Usage {
            groups: &groups,
            splits: &self.splits,
            held: &[self.held],
            period_seconds: (DAYS * 86_400) as u64,
            share,
            ..Usage::of(self.partial.value(Aggregation::Sum).unwrap().unwrap(), self.partial.count)
        };
        rate(price, usd(), Basis::Measured(usage)).unwrap()
    }
}

fn period() -> Period {
    let start: DateTime<Utc> = "2024-04-01T00:00:00Z".parse().unwrap();
    Period::new(start, start + Duration::days(DAYS))
}

proptest! {
    #[test]
    fn usage_measured_in_parts_is_rated_like_the_whole(
        price in any_price_of_usage(), events in any_events(), parts in prop::collection::vec(any::<bool>(), 25),
        days in 1..=31_u64,
    ) {
        let events: Vec<(usize, Drawn)> = events.into_iter().enumerate().collect();
        let share = Fraction { numerator: days, denominator: 31 };
        let whole = Measured::of(&price, &events);
        let first = Measured::of(&price, events.iter().filter(|(serial, _)| parts[*serial]));
        // The other part comes last event first.
        let second = Measured::of(&price, events.iter().rev().filter(|(serial, _)| !parts[*serial]));
        prop_assert_eq!(first.clone().merged(&second).rated(&price, share), whole.rated(&price, share));
        prop_assert_eq!(second.merged(&first).rated(&price, share), whole.rated(&price, share));
    }

    #[test]
    fn the_rows_of_every_model_sum_to_its_amount(price in any_price_of_usage(), events in any_events(), days in 0..=31_u64) {
        let events: Vec<(usize, Drawn)> = events.into_iter().enumerate().collect();
        let rated = Measured::of(&price, &events).rated(&price, Fraction { numerator: days, denominator: 31 });
        prop_assert_eq!(sum_of_rows(&rated.rows), Some(rated.exact));
        prop_assert_eq!(Money::rounded(rated.exact, usd()), Ok(rated.amount));
        prop_assert_eq!(explain(usd(), &rated.rows).len(), rated.rows.len());
    }

    #[test]
    fn the_rows_of_a_flat_price_sum_to_its_amount(model in any_flat(), days in 0..=31_u64) {
        let price = price_of(model, (None, None));
        let rated = rate(&price, usd(), Basis::Share(Fraction { numerator: days, denominator: 31 })).unwrap();
        prop_assert_eq!(sum_of_rows(&rated.rows), Some(rated.exact));
        prop_assert_eq!(Money::rounded(rated.exact, usd()), Ok(rated.amount));
    }

    /// One transaction by itself costs what its fee is, bounded; many cost the sum.
    #[test]
    fn bounded_fees_are_the_sum_of_each_transactions_own(model in any_bounded(), events in any_events()) {
        let price = price_of(model, (None, None));
        let events: Vec<(usize, Drawn)> = events.into_iter().enumerate().collect();
        let PriceModel::Percentage(terms) = &price.model else { unreachable!("a percentage") };
        let of = |amounts: &Option<crate::plan::Amounts>| amounts.as_ref().unwrap().get(usd()).unwrap();
        let (least, most) = (of(&terms.transaction_minimum), of(&terms.transaction_maximum));
        let fee = |(_, (thousandths, ..)): &(usize, Drawn)| {
            let amount = Decimal::new(*thousandths, 3);
            let rate = terms.rate_percent.get(usd()).unwrap() / Decimal::ONE_HUNDRED;
            let fee = amount * rate + of(&terms.transaction_amount);
            if amount < Decimal::ZERO { fee } else { fee.clamp(least, most) }
        };
        let expect: Decimal = events.iter().map(fee).sum();
        prop_assert_eq!(Measured::of(&price, &events).rated(&price, Fraction::WHOLE).exact, expect);
    }
}
