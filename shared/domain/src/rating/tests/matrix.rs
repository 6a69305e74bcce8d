//! Prices by dimension values.

use super::*;

const MATRIX: &str = r#"{"type": "matrix", "meter": "tokens", "dimensions": ["model", "region"],
    "unit_amount": {"USD": "0.000003"}, "cells": [
    {"values": {"model": "large", "region": "eu"}, "unit_amount": {"USD": "0.00002"}},
    {"values": {"model": "large"}, "unit_amount": {"USD": "0.000015"}}]}"#;

pub(super) fn groups(parts: &[(&str, &str, &str)]) -> Vec<UsageGroup> {
    let group = |&(model, region, quantity): &(&str, &str, &str)| UsageGroup {
        values: [("model".to_owned(), model.to_owned()), ("region".to_owned(), region.to_owned())].into(),
        quantity: decimal(quantity),
    };
    parts.iter().map(group).collect()
}

fn basis<'a>(quantity: &str, groups: &'a [UsageGroup]) -> Basis<'a> {
    Basis::Measured(Usage { groups, ..Usage::of(decimal(quantity), 1) })
}

#[test]
fn the_first_cell_that_matches_prices_the_usage() {
    let groups = groups(&[
        ("large", "eu", "1000000"),
        ("large", "us", "2000000"),
        ("large", "", "500000"),
        ("small", "eu", "3000000"),
        ("", "", "1"),
    ]);
    check_price(
        &price(MATRIX),
        basis("6500001", &groups),
        &[
            r#"model "large", region "eu": 1,000,000 x 0.00002 USD = 20.00 USD"#,
            r#"model "large": 2,500,000 x 0.000015 USD = 37.50 USD"#,
            "all other: 3,000,001 x 0.000003 USD = 9.000003 USD",
            "66.50 USD",
        ],
    );
}

#[test]
fn nothing_used_and_credits_are_priced_too() {
    check_usage(MATRIX, "0", &["all other: 0 x 0.000003 USD = 0.00 USD", "0.00 USD"]);
    let groups = groups(&[("large", "eu", "-100000"), ("small", "eu", "100000")]);
    check_price(
        &price(MATRIX),
        basis("0", &groups),
        &[
            r#"model "large", region "eu": -100,000 x 0.00002 USD = -2.00 USD"#,
            "all other: 100,000 x 0.000003 USD = 0.30 USD",
            "-1.70 USD",
        ],
    );
}

#[test]
fn a_transform_divides_each_part() {
    let price = price_with(MATRIX, r#""transform": {"divide_by": "1000000"}"#);
    let groups = groups(&[("large", "us", "1500000"), ("small", "us", "250000")]);
    let rated = rate(&price, usd(), basis("1750000", &groups)).unwrap();
    assert_eq!(
        rated.rows.iter().map(|row| row.quantity).collect::<Vec<_>>(),
        [decimal("1750000"), decimal("1.5"), decimal("0.25")]
    );
}

/// A million free for the large model anywhere but in Europe, half a million of everything without a cell.
fn with_included() -> String {
    MATRIX.replace(r#"{"USD": "0.000015"}}"#, r#"{"USD": "0.000015"}, "included": "1000000"}"#).replace(
        r#""unit_amount": {"USD": "0.000003"},"#,
        r#""unit_amount": {"USD": "0.000003"}, "included": "500000","#,
    )
}

#[test]
fn what_a_cell_includes_is_free_in_that_cell_alone() {
    let groups = groups(&[("large", "eu", "1000000"), ("large", "us", "800000"), ("large", "", "700000.5")]);
    check_price(
        &price(&with_included()),
        basis("2500000.5", &groups),
        &[
            r#"model "large", region "eu": 1,000,000 x 0.00002 USD = 20.00 USD"#,
            r#"model "large": 1,000,000 included"#,
            r#"model "large": 500,000.5 x 0.000015 USD = 7.5000075 USD"#,
            "27.50 USD",
        ],
    );
}

#[test]
fn what_is_not_used_of_one_cell_helps_no_other() {
    let groups = groups(&[("large", "us", "999999"), ("small", "eu", "500001")]);
    check_price(
        &price(&with_included()),
        basis("1500000", &groups),
        &[
            r#"model "large": 999,999 included"#,
            "all other: 500,000 included",
            "all other: 1 x 0.000003 USD = 0.000003 USD",
            "0.00 USD",
        ],
    );
}

#[test]
fn a_credit_leaves_what_is_included_untouched() {
    let groups = groups(&[("large", "us", "-100000"), ("small", "eu", "600000")]);
    check_price(
        &price(&with_included()),
        basis("500000", &groups),
        &[
            r#"model "large": -100,000 x 0.000015 USD = -1.50 USD"#,
            "all other: 500,000 included",
            "all other: 100,000 x 0.000003 USD = 0.30 USD",
            "-1.20 USD",
        ],
    );
    check_usage(&with_included(), "0", &["all other: 0 x 0.000003 USD = 0.00 USD", "0.00 USD"]);
}

#[test]
fn a_transform_comes_before_what_is_included() {
    let model = with_included().replace(r#""included": "1000000""#, r#""included": "1""#);
    let price = price_with(&model, r#""transform": {"divide_by": "1000000"}"#);
    let groups = groups(&[("large", "us", "1500000")]);
    let rated = rate(&price, usd(), basis("1500000", &groups)).unwrap();
    let quantities = rated.rows.iter().map(|row| row.quantity).collect::<Vec<_>>();
    assert_eq!(quantities, [decimal("1500000"), decimal("1"), decimal("0.5")]);
}

#[test]
fn what_is_included_is_written_only_where_there_is_some() {
    let written = |model: &str| serde_json::to_value(price(model).model).unwrap();
    let (plain, with) = (written(MATRIX), written(&with_included()));
    assert!(plain.get("included").is_none() && plain["cells"][1].get("included").is_none(), "{plain}");
    assert_eq!((&with["included"], &with["cells"][1]["included"]), (&"500000".into(), &"1000000".into()));
}

#[test]
fn usage_that_was_not_measured_by_dimension_is_refused() {
    let refuse = |quantity: &str, groups: &[UsageGroup], expect: &str| {
        let error = rate(&price(MATRIX), usd(), basis(quantity, groups)).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
    };
    refuse("5", &[], "price p is for usage by each of its dimensions");
    refuse("5", &groups(&[("large", "eu", "4")]), "price p: the usage by dimension does not add up");
    let by_model = UsageGroup { values: [("model".to_owned(), "large".to_owned())].into(), quantity: decimal("5") };
    refuse("5", &[by_model], "price p is for usage by each of its dimensions");
    check_error(MATRIX, "USD", Basis::Usage(Decimal::ONE), "price p is for usage by each of its dimensions");
}

#[test]
fn faults_name_their_place() {
    check_faults(MATRIX, "", &[]);
    check_faults(
        &MATRIX.replace(r#"["model", "region"]"#, "[]"),
        "",
        &["/model/dimensions", "/model/cells/0/values", "/model/cells/1/values"],
    );
    check_faults(
        &MATRIX.replace(r#"["model", "region"]"#, r#"["model", "region", "model"]"#),
        "",
        &["/model/dimensions"],
    );
    check_faults(&MATRIX.replace(r#"{"model": "large"}"#, "{}"), "", &["/model/cells/1/values"]);
    check_faults(
        &MATRIX.replace(r#"{"model": "large"}"#, r#"{"model": "large", "region": "eu"}"#),
        "",
        &["/model/cells/1/values"],
    );
    check_faults(
        &MATRIX.replace(r#"{"model": "large", "region": "eu"}"#, r#"{"region": "eu", "plan": "x"}"#),
        "",
        &["/model/cells/0/values"],
    );
    check_faults(
        &MATRIX.replace(r#"{"USD": "0.000015"}"#, r#"{"USD": "1", "EUR": "1"}"#),
        "",
        &["/model/cells/1/unit_amount"],
    );
    check_faults(&with_included().replace(r#""500000""#, r#""-1""#), "", &["/model/included"]);
    check_faults(&with_included().replace(r#""1000000""#, r#""-1""#), "", &["/model/cells/1/included"]);
    let long = MATRIX.replace(r#"{"model": "large"}"#, &format!(r#"{{"model": "{}"}}"#, "x".repeat(201)));
    check_faults(&long, "", &["/model/cells/1/values"]);
    check_faults(MATRIX, r#""transform": {"divide_by": "1000", "round": "up"}"#, &["/transform/round"]);
}
