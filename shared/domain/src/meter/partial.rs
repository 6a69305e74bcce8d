//! The fold of readings: a mergeable aggregate that gives the value of every aggregation.
//!
//! Adding and merging commute, whatever the order of events and partitions. They are not idempotent: counting once is
//! decided before.

use super::{Aggregation, Reading};
use crate::event::{Identity, hash_128, hex_128};
use crate::quantity::{self, QuantityOverflow};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is known of a set of readings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// Readings with a value (for `count`: all).
    pub count: u64,
    /// Exact. `None` once a sum did not fit, which then is an error of whoever asks for it, and of nobody else.
    pub sum: Option<Decimal>,
    pub max: Option<Decimal>,
    pub min: Option<Decimal>,
    pub latest: Option<Latest>,
    /// The distinct values of a unique count.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub uniques: BTreeSet<ValueHash>,
}

/// The value of the latest event. Ties of time go to the higher identity, so that the order of arrival is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    pub time: DateTime<Utc>,
    pub identity: Identity,
    pub value: Decimal,
}

/// A distinct value of a unique count: 128 bits of BLAKE3 over its text form. Exact for what is billed: among a thousand
/// million values the chance that any two meet is below 1 in 10^20, and it takes 16 bytes instead of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueHash(#[serde(with = "hex_128")] pub u128);

impl ValueHash {
    pub fn of(text: &str) -> Self {
        Self(hash_128(&[text.as_bytes()]))
    }
}

impl Default for Partial {
    fn default() -> Self {
        Self { count: 0, sum: Some(Decimal::ZERO), max: None, min: None, latest: None, uniques: BTreeSet::new() }
    }
}

impl Partial {
    /// Adds what was read from the event with this time and identity. Only a value counts.
    pub fn add(&mut self, reading: &Reading, time: DateTime<Utc>, identity: Identity) {
        let Reading::Value { value, text, .. } = reading else {
            return;
        };
        self.count += 1;
        if let Some(value) = *value {
            self.sum = self.sum.and_then(|sum| quantity::add(sum, value).ok());
            self.max = Some(self.max.map_or(value, |max| max.max(value)));
            self.min = Some(self.min.map_or(value, |min| min.min(value)));
            self.offer_latest(Latest { time, identity, value });
        }
        if let Some(text) = text {
            self.uniques.insert(ValueHash::of(text));
        }
    }

    /// Adds another set of readings, which must be disjoint from this one.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.zip(other.sum).and_then(|(left, right)| quantity::add(left, right).ok());
        self.max = self.max.into_iter().chain(other.max).max();
        self.min = self.min.into_iter().chain(other.min).min();
        if let Some(latest) = other.latest {
            self.offer_latest(latest);
        }
        self.uniques.extend(&other.uniques);
    }

    fn offer_latest(&mut self, offered: Latest) {
        let rank = |latest: &Latest| (latest.time, latest.identity);
        if self.latest.as_ref().is_none_or(|held| rank(&offered) > rank(held)) {
            self.latest = Some(offered);
        }
    }

    /// The value of an aggregation. `None` where nothing was read and the aggregation has no value for nothing
    /// (`max`, `min`, `avg`, `latest`); the others are zero then. An error when a sum does not fit exactly.
    pub fn value(&self, aggregation: Aggregation) -> Result<Option<Decimal>, QuantityOverflow> {
        let sum = || self.sum.ok_or_else(|| QuantityOverflow { value: format!("sum of {} values", self.count) });
        Ok(match aggregation {
            Aggregation::Count => Some(Decimal::from(self.count)),
            Aggregation::Sum => Some(sum()?),
            Aggregation::Max => self.max,
            Aggregation::Min => self.min,
            Aggregation::Avg => quantity::average(sum()?, self.count),
            Aggregation::Latest => self.latest.map(|latest| latest.value),
            Aggregation::UniqueCount => Some(Decimal::from(self.uniques.len())),
        })
    }
}
