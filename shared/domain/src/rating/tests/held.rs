//! What was held for a time is priced by its share of the period.

use super::*;
use crate::period::Period;
use chrono::{DateTime, Utc};

const SEATS: &str = r#"{"type": "per_unit", "meter": "seats", "unit_amount": {"USD": "10"}}"#;
const WEIGHTED: &str = r#""time_weighted": {"carry_over": true}"#;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// April: 30 days.
fn april() -> Period {
    Period::new(at("2024-04-01T00:00:00Z"), at("2024-05-01T00:00:00Z"))
}

/// Changes of what is held, each with its instant.
fn held(window: Period, changes: &[(&str, &str)]) -> Held {
    let mut held = Held::new(true);
    for (change, instant) in changes {
        held.add(decimal(change), seconds_held(window, at(instant))).unwrap();
    }
    held
}

fn check_held(terms: &str, changes: &[(&str, &str)], expect: &[&str]) {
    let held = [held(april(), changes)];
    let usage = Usage { held: &held, period_seconds: 30 * 86_400, ..Usage::of(decimal("99"), 1) };
    check_price(&price_with(SEATS, terms), Basis::Measured(usage), expect);
}

#[test]
fn a_seat_counts_from_its_change_to_the_end() {
    // Ten carried over, five more for the second half, two fewer for the last tenth.
    check_held(
        WEIGHTED,
        &[("10", "2024-03-01T00:00:00Z"), ("5", "2024-04-16T00:00:00Z"), ("-2", "2024-04-28T00:00:00Z")],
        &[
            "held 31,881,600 unit seconds / 2,592,000 of the period = 12.3",
            "12.3 x 10.00 USD = 123.00 USD",
            "123.00 USD",
        ],
    );
    check_held(
        WEIGHTED,
        &[],
        &["held 0 unit seconds / 2,592,000 of the period = 0", "0 x 10.00 USD = 0.00 USD", "0.00 USD"],
    );
    // A third has no end and is kept to 12 decimals, its amount to 18; parts of a second do not count.
    check_held(
        WEIGHTED,
        &[("1", "2024-04-21T00:00:00.9Z")],
        &[
            "held 864,000 unit seconds / 2,592,000 of the period = 0.333333333333",
            "0.333333333333 x 10.00 USD = 3.333333333333333333 USD",
            "3.33 USD",
        ],
    );
}

#[test]
fn an_amount_is_made_of_the_seconds_not_of_a_rounded_quantity() {
    let check = |model: &str, change: &str, instant: &str, expect: &str| {
        let held = [held(april(), &[(change, instant)])];
        let usage = Usage { held: &held, period_seconds: 30 * 86_400, ..Usage::of(decimal(change), 1) };
        let rated = rate(&price_with(model, WEIGHTED), usd(), Basis::Measured(usage)).unwrap();
        assert_eq!(sum_of_rows(&rated.rows), Some(rated.exact));
        assert_eq!(rated.amount.to_string(), expect, "{model}");
    };
    let third = "2024-04-21T00:00:00Z";
    check(&SEATS.replace("10", "30.015"), "1", third, "10.01 USD");
    check(&SEATS.replace("10", "30.015"), "-1", third, "-10.01 USD");
    let graduated = r#"{"type": "graduated", "meter": "seats", "included": "1", "tiers": [
        {"up_to": "2", "unit_amount": {"USD": "9"}}, {"unit_amount": {"USD": "30.015"}, "flat_amount": {"USD": "0.5"}}]}"#;
    // Ten thirds: 1 is included, 2 x 9, and a third of 30.015 with the flat amount.
    check(graduated, "10", third, "28.51 USD");
    let volume = r#"{"type": "volume", "meter": "seats", "tiers": [{"unit_amount": {"USD": "30.015"}}]}"#;
    check(volume, "1", third, "10.01 USD");
}

#[test]
fn a_transform_comes_after_it() {
    let rounded = format!(r#"{WEIGHTED}, "transform": {{"round": "up"}}"#);
    check_held(
        &rounded,
        &[("3", "2024-04-16T00:00:00Z")],
        &[
            "held 3,888,000 unit seconds / 2,592,000 of the period = 1.5",
            "1.5 rounded up = 2",
            "2 x 10.00 USD = 20.00 USD",
            "20.00 USD",
        ],
    );
}

#[test]
fn what_was_not_measured_is_not_guessed() {
    let price = price_with(SEATS, WEIGHTED);
    let error = rate(&price, usd(), Basis::Measured(Usage::of(decimal("1"), 1))).unwrap_err();
    assert!(error.to_string().contains("usage with the time for which it was held"), "{error}");
    check_faults(SEATS, WEIGHTED, &[]);
    let matrix = r#"{"type": "matrix", "meter": "m", "dimensions": ["d"], "unit_amount": {"USD": "1"}, "cells": []}"#;
    check_faults(matrix, WEIGHTED, &["/time_weighted"]);
    check_faults(r#"{"type": "flat", "timing": "in_advance", "amount": {"USD": "1"}}"#, WEIGHTED, &["/time_weighted"]);
}

proptest! {
    /// The changes of two halves of a window, in any order, are held as those of the whole.
    #[test]
    fn what_is_held_adds_up(changes in prop::collection::vec((-100..100_i64, 0..2_592_000_i64), 0..20), cut in 0..20_usize) {
        let window = april();
        let add = |held: &mut Held, (units, second): &(i64, i64)| {
            held.add((*units).into(), seconds_held(window, window.start + chrono::Duration::seconds(*second))).unwrap();
        };
        let (mut whole, mut first, mut second) = (Held::new(false), Held::new(false), Held::new(false));
        changes.iter().for_each(|change| add(&mut whole, change));
        let (before, after) = changes.split_at(cut.min(changes.len()));
        before.iter().rev().for_each(|change| add(&mut first, change));
        after.iter().for_each(|change| add(&mut second, change));
        prop_assert_eq!(whole.unit_seconds, first.unit_seconds + second.unit_seconds);
        // Second by second, as a clerk would count.
        let mut naive = 0_i64;
        for (units, second) in &changes {
            naive += units * (2_592_000 - second);
        }
        prop_assert_eq!(whole.unit_seconds, Decimal::from(naive));
    }
}
