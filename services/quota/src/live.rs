//! The live totals of one tenant's meter: one per bucket and partition of the usage log, and their folds over the
//! periods of its limits.

use crate::fold::Fold;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use talea_domain::entitlement::TotalRecord;
use talea_domain::meter::{Aggregation, MeterDefinition, Partial};
use talea_domain::period::Period;

/// Where a total belongs: start of the bucket, partition of the usage log.
pub type Place = (DateTime<Utc>, u32);

/// What one partition has counted in one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// Of two totals of a place the one with the higher (epoch, offset) holds.
    pub epoch: u64,
    pub offset: u64,
    pub partial: Partial,
    /// Whether its unique values are all there are; else they are new ones beside those that were told before.
    pub is_whole: bool,
}

impl Total {
    pub fn position(&self) -> (u64, u64) {
        (self.epoch, self.offset)
    }

    pub fn of_record(record: &TotalRecord) -> (Place, Self) {
        let total =
            Self { epoch: record.epoch, offset: record.offset, partial: record.partial(), is_whole: record.is_whole };
        ((record.bucket, record.partition), total)
    }
}

/// One tenant's meter.
#[derive(Debug)]
pub struct LiveMeter {
    pub definition: MeterDefinition,
    /// Whether what is stored was merged in: before that the totals are a part of the truth.
    pub loaded: bool,
    totals: BTreeMap<Place, Total>,
    folds: Vec<(Period, Fold)>,
}

impl LiveMeter {
    pub fn new(definition: MeterDefinition) -> Self {
        Self { definition, loaded: false, totals: BTreeMap::new(), folds: Vec::new() }
    }

    /// Takes a total in, unless a later one is held. Answers whether anything changed. Unique values are taken in either
    /// way: records carry only new ones, and a union does not care for their order.
    pub fn apply(&mut self, place: Place, mut total: Total) -> bool {
        total.partial = relevant(self.definition.aggregation, total.partial);
        if self.kept_from().is_some_and(|from| place.0 < from) {
            return false;
        }
        let held = self.totals.get(&place);
        if let Some(held) = held {
            if held.position() >= total.position() {
                if total.partial.uniques.is_subset(&held.partial.uniques) {
                    return false;
                }
                let uniques = std::mem::take(&mut total.partial.uniques);
                total = held.clone();
                total.partial.uniques.extend(uniques);
            } else if !total.is_whole {
                total.partial.uniques.extend(&held.partial.uniques);
            }
        }
        let old = held.map(|held| &held.partial);
        // A fold never takes a unique value out, so that where one went away it is made anew.
        let mut unknown = old.is_some_and(|old| !old.uniques.is_subset(&total.partial.uniques));
        for (_, fold) in self.folds.iter_mut().filter(|(period, _)| period.contains(place.0)) {
            unknown |= !fold.replace(old, &total.partial);
        }
        self.totals.insert(place, total);
        if unknown {
            self.refold(place.0);
        }
        true
    }

    /// Puts a total in, whatever is held: for what the store says against the live figure.
    pub fn correct(&mut self, place: Place, total: Option<Total>) {
        match total {
            Some(total) => {
                let partial = relevant(self.definition.aggregation, total.partial);
                self.totals.insert(place, Total { partial, ..total })
            }
            None => self.totals.remove(&place),
        };
        self.refold(place.0);
    }

    /// Makes the folds that contain a bucket anew.
    fn refold(&mut self, bucket: DateTime<Utc>) {
        let mut folds = std::mem::take(&mut self.folds);
        for (period, fold) in folds.iter_mut().filter(|(period, _)| period.contains(bucket)) {
            *fold = self.fold(*period);
        }
        self.folds = folds;
    }

    /// The use in a period; None when its sum does not fit exactly. The fold is kept when the period is one of
    /// [`LiveMeter::keep`], else it is made for this one question.
    pub fn used(&self, period: Period) -> Option<Decimal> {
        let aggregation = self.definition.aggregation;
        match self.folds.iter().find(|(held, _)| *held == period) {
            Some((_, fold)) => fold.used(aggregation),
            None => self.fold(period).used(aggregation),
        }
    }

    /// Makes the folds of these periods where they are missing, forgets other folds, and totals before the first.
    pub fn keep(&mut self, periods: &[Period]) {
        self.folds.retain(|(held, _)| periods.contains(held));
        for period in periods {
            if !self.folds.iter().any(|(held, _)| held == period) {
                self.folds.push((*period, self.fold(*period)));
            }
        }
        if let Some(first) = self.kept_from() {
            self.totals = self.totals.split_off(&(first, 0));
        }
    }

    /// Where the first of its periods begins; totals before it are not taken. None before the first [`LiveMeter::keep`].
    pub fn kept_from(&self) -> Option<DateTime<Utc>> {
        self.folds.iter().map(|(period, _)| period.start).min()
    }

    pub fn totals(&self) -> &BTreeMap<Place, Total> {
        &self.totals
    }

    fn fold(&self, period: Period) -> Fold {
        Fold::of(self.totals.range((period.start, 0)..(period.end, 0)).map(|(_, total)| &total.partial))
    }
}

/// What the aggregation needs of a partial. The rest is not the same from every source: the store answers only with what
/// its meter needs.
pub fn relevant(aggregation: Aggregation, partial: Partial) -> Partial {
    let count = partial.count;
    let rest = Partial { count, ..Partial::default() };
    match aggregation {
        Aggregation::Count => rest,
        Aggregation::Sum | Aggregation::Avg => Partial { sum: partial.sum, ..rest },
        Aggregation::Max => Partial { max: partial.max, ..rest },
        Aggregation::Min => Partial { min: partial.min, ..rest },
        Aggregation::Latest => Partial { latest: partial.latest, ..rest },
        Aggregation::UniqueCount => Partial { uniques: partial.uniques, ..rest },
    }
}

#[cfg(test)]
mod tests;
