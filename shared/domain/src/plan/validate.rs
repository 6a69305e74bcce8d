//! What must hold before a plan version may be sold. All faults are reported at once, each with its JSON pointer.

use super::{Amounts, PlanVersion, Price, PriceModel};
use crate::entitlement::check_features;
use crate::error::FieldError;
use crate::invoice::BillingTerms;
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// The most prices of a plan: a line each, so that an invoice stays readable and a bill run bounded.
pub const MAX_PRICES: usize = 100;
/// The longest name of a plan or price, in characters: one printed line.
pub const MAX_NAME_CHARS: usize = 200;
/// Significant digits of a unit amount. With a quantity of ten digits the product still fits 28.
pub const MAX_UNIT_DIGITS: u32 = 18;
/// Decimals of a unit amount.
pub const MAX_UNIT_DECIMALS: u32 = 18;
/// Decimals of a flat amount. Few, so that a prorated amount, which is kept to 18 decimals, can never fall on the other
/// side of a half cent than its exact value does.
pub const MAX_FLAT_DECIMALS: u32 = 6;
/// Digits of what a transaction is compared with: with that of its rate, the product still fits what a store compares.
pub const MAX_BOUND_DIGITS: u32 = 28;
/// A flat amount is below this, so that with 18 decimals it has at most 28 digits.
pub const FLAT_AMOUNT_BOUND: u64 = 10_000_000_000;

/// Stands in place of a price's key on the line for a plan's commitment.
pub const COMMITMENT_KEY: &str = "commitment";

/// Collects faults below one JSON pointer.
pub struct Faults<'a> {
    pointer: String,
    found: &'a mut Vec<FieldError>,
}

impl<'a> Faults<'a> {
    /// Faults of a whole document.
    pub fn new(found: &'a mut Vec<FieldError>) -> Self {
        Self { pointer: String::new(), found }
    }

    /// The same collection, one member further down.
    pub fn below(&mut self, member: impl std::fmt::Display) -> Faults<'_> {
        Faults { pointer: format!("{}/{member}", self.pointer), found: self.found }
    }

    pub fn add(&mut self, reason: impl Into<String>, way_out: impl Into<String>) {
        self.found.push(FieldError::new(self.pointer.clone(), reason, way_out));
    }

    pub fn require(&mut self, holds: bool, reason: &str, way_out: &str) {
        if !holds {
            self.add(reason, way_out);
        }
    }

    /// A price for one unit: not negative, with bounded digits, in at least one currency.
    pub fn unit_amounts(&mut self, amounts: &Amounts) {
        self.amounts(amounts, |amount| digits(amount) <= MAX_UNIT_DIGITS && amount.scale() <= MAX_UNIT_DECIMALS);
    }

    /// A price for a period or a tier.
    pub fn flat_amounts(&mut self, amounts: &Amounts) {
        self.amounts(amounts, |amount| {
            amount.scale() <= MAX_FLAT_DECIMALS && amount < Decimal::from(FLAT_AMOUNT_BOUND)
        });
    }

    /// An included quantity: not negative.
    pub fn included(&mut self, included: Decimal) {
        self.below("included").require(
            included >= Decimal::ZERO,
            "is negative",
            "write how much is free in a period, 0 for nothing",
        );
    }

    /// What a quantity is divided by: above zero, with bounded digits.
    pub fn divisor(&mut self, divisor: Decimal) {
        self.require(
            divisor > Decimal::ZERO,
            "is not above zero",
            "write how many units of the meter make one, for example 1000",
        );
        self.unit_digits(divisor);
    }

    /// A quantity with as many digits as a unit amount.
    pub fn unit_digits(&mut self, quantity: Decimal) {
        let quantity = quantity.normalize();
        self.require(
            digits(quantity) <= MAX_UNIT_DIGITS && quantity.scale() <= MAX_UNIT_DECIMALS,
            "has too many digits",
            &format!("write at most {MAX_UNIT_DIGITS} digits, {MAX_UNIT_DECIMALS} of them decimals"),
        );
    }

    /// A name as a document prints it.
    pub fn line_of_text(&mut self, text: &str) {
        let printable = !text.trim().is_empty() && !text.chars().any(char::is_control);
        self.require(
            printable && text.chars().count() <= MAX_NAME_CHARS,
            "is not a line of text",
            &format!("write 1 to {MAX_NAME_CHARS} characters without control characters"),
        );
    }

    /// Amounts beside others of the same price: in the same currencies.
    pub fn sold_like(&mut self, amounts: &Amounts, others: &Amounts, name: &str) {
        self.require(
            amounts.currencies() == others.currencies(),
            &format!("is not sold in the currencies of {name}"),
            "give both amounts in the same currencies",
        );
    }

    fn amounts(&mut self, amounts: &Amounts, fits: impl Fn(Decimal) -> bool) {
        self.require(
            !amounts.currencies().is_empty(),
            "has no amount",
            "give an amount for each currency, for example {\"USD\": \"3.00\"}",
        );
        for (currency, amount) in amounts.iter() {
            let amount = amount.normalize();
            let mut faults = self.below(currency);
            faults.require(amount >= Decimal::ZERO, "is negative", "write 0 or more; a discount is not a price");
            faults.require(
                fits(amount),
                "has too many digits",
                &format!(
                    "a unit amount has at most {MAX_UNIT_DIGITS} digits, {MAX_UNIT_DECIMALS} of them decimals; a flat amount is below \
                     {FLAT_AMOUNT_BOUND} with at most {MAX_FLAT_DECIMALS} decimals"
                ),
            );
        }
    }
}

/// Significant digits of a normalised decimal.
fn digits(amount: Decimal) -> u32 {
    amount.mantissa().unsigned_abs().checked_ilog10().map_or(1, |tens| tens + 1)
}

impl PriceModel {
    /// Every fault of a model by itself, each below `pointer`.
    pub fn faults(&self, pointer: &str) -> Vec<FieldError> {
        let mut found = Vec::new();
        self.rules().validate(&mut Faults { pointer: pointer.to_owned(), found: &mut found });
        found
    }
}

impl PlanVersion {
    /// Every fault of the version; empty when it may be sold. Whether its meters exist is for the catalogue to say.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut faults = Faults::new(&mut found);
        faults.below("name").line_of_text(&self.name);
        faults.below("interval").below("every").require(
            self.interval.is_valid(),
            &format!("is not a number of {} that can be billed", self.interval.unit.plural()),
            &format!("write 1 to {}", self.interval.unit.most()),
        );
        faults.below("prices").require(
            self.prices.len() <= MAX_PRICES,
            "has too many prices",
            &format!("a plan has at most {MAX_PRICES}"),
        );
        self.validate_prices(&mut faults);
        if let Some(commitment) = &self.commitment {
            let sold_in = self.currencies().unwrap_or_default();
            commitment.validate(&sold_in, &mut faults.below("commitment"));
        }
        found.extend(check_features(&self.limits, &self.entitlements).err());
        found.extend(BillingTerms::of_plan(self).check("").err());
        found
    }

    fn validate_prices(&self, faults: &mut Faults<'_>) {
        let mut seen = BTreeSet::new();
        let sold_in = self.prices.first().map(|price| price.model.rules().currencies()).unwrap_or_default();
        let mut prices = faults.below("prices");
        for (index, price) in self.prices.iter().enumerate() {
            let mut faults = prices.below(index);
            faults.below("key").require(
                self.commitment.is_none() || price.key.as_str() != COMMITMENT_KEY,
                "is the key of the line for the plan's commitment",
                "give the price another key",
            );
            faults.below("key").require(seen.insert(&price.key), "is used twice", "give each price its own key");
            faults.below("name").line_of_text(&price.name);
            let rules = price.model.rules();
            let mut model = faults.below("model");
            rules.validate(&mut model);
            model.require(
                rules.currencies() == sold_in,
                "is not sold in the same currencies as the first price",
                "give every amount of the plan in the same currencies",
            );
            validate_terms(price, &mut faults);
        }
    }
}

/// What a price adds to its model.
fn validate_terms(price: &Price, faults: &mut Faults<'_>) {
    let rules = price.model.rules();
    let is_usage = rules.meter().is_some();
    if let Some(transform) = &price.transform {
        let mut faults = faults.below("transform");
        faults.require(is_usage, "is for a price of usage", "leave it out");
        transform.validate(price.is_by_parts(), &mut faults);
    }
    let is_measurable = |currency| match price.split(currency) {
        Ok(terms) => terms.iter().flat_map(|terms| [terms.low, terms.high]).flatten().all(|bound| {
            let bound = bound.normalize();
            digits(bound) <= MAX_BOUND_DIGITS && bound.scale() <= MAX_UNIT_DECIMALS
        }),
        Err(_) => false,
    };
    faults.below("model").require(
        rules.currencies().into_iter().all(is_measurable),
        "bounds the fee of a transaction with too many digits",
        "write fewer decimals, or a smaller divide_by",
    );
    if price.time_weighted.is_some() {
        let mut faults = faults.below("time_weighted");
        faults.require(is_usage, "is for a price of usage", "leave it out; a flat price is prorated by itself");
        faults.require(
            !price.is_by_parts(),
            "weighs what is priced in parts, each of which would be held for its own time",
            "leave it out, or price the whole usage",
        );
    }
    if let Some(commitment) = &price.commitment {
        let mut faults = faults.below("commitment");
        faults.require(is_usage, "is for a price of usage", "leave it out; a flat price is the same every period");
        commitment.validate(&rules.currencies(), &mut faults);
    }
}
