//! The running total of one limit period, kept up to date as single totals are replaced, so that a record costs the same
//! whether the period holds an hour or a month.

use rust_decimal::Decimal;
use talea_domain::meter::{Aggregation, Partial};
use talea_domain::quantity;

/// All totals of one meter in one period, merged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fold(Partial);

impl Fold {
    pub fn of<'a>(totals: impl Iterator<Item = &'a Partial>) -> Self {
        let mut merged = Partial::default();
        totals.for_each(|total| merged.merge(total));
        Self(merged)
    }

    /// Puts `new` in the place of `old`. Answers false when that cannot be told from the fold alone (an extreme went away,
    /// a sum left the range): then it must be made anew. A unique value is never taken out.
    #[must_use]
    pub fn replace(&mut self, old: Option<&Partial>, new: &Partial) -> bool {
        let nothing = Partial::default();
        let old = old.unwrap_or(&nothing);
        let Some(sum) = replaced_sum(self.0.sum, old.sum, new.sum) else { return false };
        let Some(max) = replaced_extreme(self.0.max, old.max, new.max, Decimal::max) else { return false };
        let Some(min) = replaced_extreme(self.0.min, old.min, new.min, Decimal::min) else { return false };
        if self.0.latest.is_some() && self.0.latest == old.latest && rank(new) < rank(old) {
            return false;
        }
        self.0.count = (self.0.count + new.count).saturating_sub(old.count);
        self.0.sum = Some(sum);
        self.0.max = max;
        self.0.min = min;
        if rank(new) > rank(&self.0) {
            self.0.latest = new.latest;
        }
        self.0.uniques.extend(&new.uniques);
        true
    }

    /// The use of the period. None when a sum does not fit exactly: then nothing is known.
    pub fn used(&self, aggregation: Aggregation) -> Option<Decimal> {
        self.0.value(aggregation).ok().map(Option::unwrap_or_default)
    }
}

fn replaced_sum(sum: Option<Decimal>, old: Option<Decimal>, new: Option<Decimal>) -> Option<Decimal> {
    let without = quantity::add(sum?, -old?).ok()?;
    quantity::add(without, new?).ok()
}

fn replaced_extreme(
    held: Option<Decimal>,
    old: Option<Decimal>,
    new: Option<Decimal>,
    extreme: fn(Decimal, Decimal) -> Decimal,
) -> Option<Option<Decimal>> {
    let went_away = match (old, new) {
        (Some(old), Some(new)) => held == Some(old) && extreme(old, new) != new,
        (Some(old), None) => held == Some(old),
        (None, _) => false,
    };
    let merged = held.into_iter().chain(new).reduce(extreme);
    (!went_away).then_some(merged)
}

fn rank(partial: &Partial) -> Option<(chrono::DateTime<chrono::Utc>, talea_domain::event::Identity)> {
    partial.latest.as_ref().map(|latest| (latest.time, latest.identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use talea_domain::event::Identity;
    use talea_domain::meter::{Latest, ValueHash};

    fn partial(values: &[i64]) -> Partial {
        let mut partial = Partial::default();
        for value in values {
            let value = Decimal::from(*value);
            let time: DateTime<Utc> = DateTime::from_timestamp(value.mantissa() as i64 + 1000, 0).expect("in range");
            partial.merge(&Partial {
                count: 1,
                sum: Some(value),
                max: Some(value),
                min: Some(value),
                latest: Some(Latest { time, identity: Identity(7), value }),
                uniques: [ValueHash::of(&value.to_string())].into(),
            });
        }
        partial
    }

    /// Replaces `old` by `new` beside `rest`; the fold must be what folding anew gives, or say that it cannot know.
    fn check(rest: &[i64], old: Option<&[i64]>, new: &[i64], knows: bool) {
        let before = [Some(partial(rest)), old.map(partial)];
        let mut fold = Fold::of(before.iter().flatten());
        let replaced = fold.replace(old.map(partial).as_ref(), &partial(new));
        assert_eq!(replaced, knows, "{rest:?} {old:?} -> {new:?}");
        if replaced {
            let mut expect = Fold::of([partial(rest), partial(new)].iter());
            // A unique value that was said once stays.
            expect.0.uniques.extend(old.map(partial).unwrap_or_default().uniques);
            assert_eq!(fold, expect, "{rest:?} {old:?} -> {new:?}");
        }
    }

    #[test]
    fn a_replaced_total_gives_what_folding_anew_gives() {
        check(&[], None, &[5], true);
        check(&[1, 9], None, &[5], true);
        check(&[1, 9], Some(&[5]), &[5, 6], true);
        check(&[1, 9], Some(&[5]), &[5, 12], true);
        check(&[1, 9], Some(&[5]), &[], true);
        check(&[3, 4], Some(&[5]), &[4], false);
        check(&[3, 4], Some(&[1]), &[2], false);
        check(&[3, 4], Some(&[5]), &[], false);
        check(&[-3], Some(&[-5]), &[-5, -9], true);
    }

    #[test]
    fn a_sum_that_leaves_the_range_is_unknown_and_not_rounded() {
        let huge = |text: &str| Partial { count: 1, sum: Some(text.parse().expect("decimal")), ..Partial::default() };
        let mut fold = Fold::of([huge("10000000000000000000000000000")].iter());
        assert!(!fold.replace(None, &huge("0.000000000000000001")));
        let anew = Fold::of([huge("10000000000000000000000000000"), huge("0.000000000000000001")].iter());
        assert_eq!(anew.used(Aggregation::Sum), None);
        assert_eq!(anew.used(Aggregation::Count), Some(Decimal::TWO));
    }
}
