//! Matrix prices: the price of a unit depends on the dimension values of the usage, up to five of them.

use super::tiers::common_currencies;
use super::{Basis, Fault, PricingRules, RatedRow, RowDetail, UsageGroup, exact};
use crate::id::MeterKey;
use crate::meter::MAX_DIMENSIONS;
use crate::money::Currency;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most cells of a matrix: each can be a row of the line's explanation.
pub const MAX_CELLS: usize = 500;
/// The longest value that a cell asks for, in characters: as much as an explanation can print in a line.
pub const MAX_VALUE_CHARS: usize = 200;

/// `{"type": "matrix", "meter": "tokens", "dimensions": ["model", "region"], "unit_amount": {"USD": "0.000003"}, "cells": [
///    {"values": {"model": "large", "region": "eu"}, "unit_amount": {"USD": "0.00002"}},
///    {"values": {"model": "large"}, "unit_amount": {"USD": "0.000015"}}]}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Counts or sums, so that the usage by dimension adds up to the whole.
    pub meter: MeterKey,
    /// Names of the meter's dimensions that the price depends on; one to five.
    pub dimensions: Vec<String>,
    /// The first cell that matches prices the usage.
    #[serde(deserialize_with = "crate::objects::read")]
    pub cells: Vec<Cell>,
    /// For one unit that no cell matches, in major units.
    pub unit_amount: Amounts,
}

/// One price of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// What the usage's dimensions must be; one that is not named may be anything.
    pub values: BTreeMap<String, String>,
    /// For one unit, in major units.
    pub unit_amount: Amounts,
}

impl PricingRules for Matrix {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn dimensions(&self) -> &[String] {
        &self.dimensions
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        common_currencies(self.cells.iter().map(|cell| &cell.unit_amount).chain([&self.unit_amount]))
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        let names: BTreeSet<&String> = self.dimensions.iter().collect();
        faults.below("dimensions").require(
            (1..=MAX_DIMENSIONS).contains(&names.len()) && names.len() == self.dimensions.len(),
            "is not a usable list of dimensions",
            &format!("name 1 to {MAX_DIMENSIONS} dimensions of the meter, each once"),
        );
        faults.below("unit_amount").unit_amounts(&self.unit_amount);
        let mut faults = faults.below("cells");
        faults.require(
            self.cells.len() <= MAX_CELLS,
            "has too many cells",
            &format!("write at most {MAX_CELLS}; one that leaves a dimension out holds for all its values"),
        );
        for (index, cell) in self.cells.iter().enumerate().take(MAX_CELLS) {
            let mut faults = faults.below(index);
            faults.below("unit_amount").unit_amounts(&cell.unit_amount);
            faults.below("unit_amount").sold_like(&cell.unit_amount, &self.unit_amount, "the matrix's unit_amount");
            let mut values = faults.below("values");
            values.require(
                !cell.values.is_empty() && cell.values.keys().all(|name| names.contains(name)),
                "does not ask for dimensions of the matrix",
                "name one or more of its dimensions; what no cell matches has the matrix's own price",
            );
            values.require(
                cell.values.values().all(|value| value.chars().count() <= MAX_VALUE_CHARS),
                "has a value that is too long",
                &format!("write at most {MAX_VALUE_CHARS} characters"),
            );
            values.require(
                !self.cells[..index].iter().any(|before| before.admits(&cell.values)),
                "is never reached: a cell before it matches the same usage",
                "write the cells that name more before those that name less, and each once",
            );
        }
    }

    /// One row for each cell with usage, in the order of the cells, and one for the rest, which is always there when no cell
    /// has any. Usage below zero is credited at the price of its cell.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let quantity = basis.usage()?;
        let used = self.by_cell(basis.groups()?)?;
        if exact::sum(used.values().copied()).ok_or(Fault::Overflow)? != quantity {
            return Err(Fault::GroupsDiffer);
        }
        let no_values = BTreeMap::new();
        let prices = self.cells.iter().map(|cell| (&cell.values, &cell.unit_amount));
        let mut rows = Vec::new();
        for (index, (values, amounts)) in prices.chain([(&no_values, &self.unit_amount)]).enumerate() {
            let unit_amount = amounts.get(currency).ok_or(Fault::CurrencyNotSold)?;
            let is_last = index == self.cells.len();
            if let Some(quantity) = used.get(&index).copied().or((is_last && rows.is_empty()).then_some(Decimal::ZERO))
            {
                let row = RatedRow::of_usage(Decimal::ZERO, None, quantity, unit_amount, None)?;
                rows.push(row.counting(RowDetail::Cell { values: values.clone() }));
            }
        }
        Ok(rows)
    }
}

impl Matrix {
    /// The usage of each cell that has any, by its index; that of no cell by the index after the last.
    fn by_cell(&self, groups: &[UsageGroup]) -> Result<BTreeMap<usize, Decimal>, Fault> {
        let mut used: BTreeMap<usize, Decimal> = BTreeMap::new();
        for group in groups {
            if !self.dimensions.iter().all(|name| group.values.contains_key(name)) {
                return Err(Fault::NeedsGroups);
            }
            let cell = self.cells.iter().position(|cell| cell.admits(&group.values)).unwrap_or(self.cells.len());
            let total = used.entry(cell).or_default();
            *total = exact::sum([*total, group.quantity]).ok_or(Fault::Overflow)?;
        }
        Ok(used)
    }
}

impl Cell {
    /// Whether everything it asks for is among `values`.
    fn admits(&self, values: &BTreeMap<String, String>) -> bool {
        self.values.iter().all(|(name, value)| values.get(name) == Some(value))
    }
}
