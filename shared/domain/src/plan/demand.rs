//! What prices ask of a meter's usage beside the whole.

use super::{PlanVersion, Price};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::rating::{Fault, SplitTerms};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// What the prices of a plan ask of a meter. Usage that nobody asks more of is measured as a whole alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand {
    /// The dimensions of all its prices together.
    pub dimensions: BTreeSet<String>,
    /// Each way in which its transactions have to be told apart.
    pub splits: BTreeSet<SplitTerms>,
    /// Whether what it held has to be measured, by whether it carries over.
    pub held: BTreeSet<bool>,
}

impl Demand {
    /// What one price more asks.
    pub fn add(&mut self, price: &Price, currency: Currency) {
        self.dimensions.extend(price.dimensions().iter().cloned());
        self.held.extend(price.time_weighted.map(|weighting| weighting.carry_over));
        self.splits.extend(price.split(currency).ok().flatten());
    }

    /// Whether usage before a window changes what the window held.
    pub fn carries_over(&self) -> bool {
        self.held.contains(&true)
    }
}

impl PlanVersion {
    /// What a subscription in a currency asks of a meter. What cannot be asked is told when it is rated.
    pub fn demand(&self, meter: &MeterKey, currency: Currency) -> Demand {
        let mut demand = Demand::default();
        for price in self.prices.iter().filter(|price| price.meter() == Some(meter)) {
            demand.add(price, currency);
        }
        demand
    }
}

impl Price {
    /// How its transactions have to be told apart, in the meter's unit; none when their sum is enough.
    pub fn split(&self, currency: Currency) -> Result<Option<SplitTerms>, Fault> {
        let divide_by = self.transform.and_then(|transform| transform.divide_by).unwrap_or(Decimal::ONE);
        self.model.rules().split(currency, divide_by)
    }

    /// Whether it prices parts of the usage, each by itself.
    pub fn is_by_parts(&self) -> bool {
        let by_transaction = |currency| !matches!(self.split(currency), Ok(None));
        !self.dimensions().is_empty() || self.model.rules().currencies().into_iter().any(by_transaction)
    }
}
