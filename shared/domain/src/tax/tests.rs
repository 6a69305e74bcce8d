//! Who is taxed by what.

use super::*;
use crate::id::TaxCategory;
use chrono::NaiveDate;
use serde_json::{Value, json};

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// A German seller, with rates in Germany, Italy, Canada and the Canary Islands.
fn settings() -> TaxSettings {
    serde_json::from_value(json!({
        "seller": {"country": "DE"},
        "union_countries": ["DE", "FR", "IT", "ES"],
        "rates": [
            {"name": "VAT", "jurisdiction": {"country": "DE"}, "rate_percent": "19", "valid_to": "2020-07-01"},
            {"name": "VAT", "jurisdiction": {"country": "DE"}, "rate_percent": "16", "valid_from": "2020-07-01", "valid_to": "2021-01-01"},
            {"name": "VAT", "jurisdiction": {"country": "DE"}, "rate_percent": "19", "valid_from": "2021-01-01"},
            {"name": "VAT", "jurisdiction": {"country": "DE"}, "category": "books", "rate_percent": "7"},
            {"name": "VAT", "jurisdiction": {"country": "IT"}, "category": "books", "rate_percent": "4"},
            {"name": "VAT", "jurisdiction": {"country": "ES"}, "category": "books", "rate_percent": "4"},
            {"name": "VAT", "jurisdiction": {"country": "ES", "region": "CN"}, "rate_percent": "0"},
            {"name": "IGIC", "jurisdiction": {"country": "ES", "region": "CN"}, "rate_percent": "7"}
        ]
    }))
    .unwrap()
}

/// A member `tax_id` of the profile stands for that of the printed address.
fn check(mut profile: Value, category: &str, on: &str, expect: &str) {
    let has_tax_id = profile.as_object_mut().and_then(|it| it.remove("tax_id")).is_some();
    let profiles: Vec<TaxProfile> = match profile {
        Value::Null => Vec::new(),
        Value::Array(_) => serde_json::from_value(profile).unwrap(),
        one => vec![serde_json::from_value(one).unwrap()],
    };
    let category = (!category.is_empty()).then(|| TaxCategory::parse(category).unwrap());
    let settings = settings();
    let found = match treatment(&settings, &profiles, has_tax_id, category.as_ref(), day(on)) {
        Ok(Treatment::Taxed(rates)) => {
            let words = rates.iter().map(|rate| format!("{} {} {}", rate.name, rate.rate_percent, rate.jurisdiction));
            words.collect::<Vec<_>>().join(" + ")
        }
        Ok(Treatment::Untaxed { place, reason }) => format!("{reason:?} in {place}"),
        Err(error) => error.to_string(),
    };
    assert!(found.contains(expect), "{found}, not {expect}");
}

#[test]
fn a_line_is_taxed_by_the_rate_of_its_place_its_product_and_its_day() {
    check(Value::Null, "", "2024-01-31", "VAT 19 DE");
    check(Value::Null, "books", "2024-01-31", "VAT 7 DE");
    check(Value::Null, "toys", "2024-01-31", "VAT 19 DE");
    check(Value::Null, "", "2020-06-30", "VAT 19 DE");
    check(Value::Null, "", "2020-07-01", "VAT 16 DE");
    check(Value::Null, "", "2021-01-01", "VAT 19 DE");
    check(json!({"jurisdiction": {"country": "ES"}}), "books", "2024-01-31", "VAT 4 ES");
    // The place comes before the product, and taxes of two names add up.
    check(
        json!({"jurisdiction": {"country": "ES", "region": "CN"}}),
        "books",
        "2024-01-31",
        "IGIC 7 ES-CN + VAT 0 ES-CN",
    );
}

#[test]
fn a_country_with_rates_but_none_for_this_is_an_error_never_no_tax() {
    check(
        json!({"jurisdiction": {"country": "IT"}}),
        "",
        "2024-01-31",
        "no tax rate is configured for products without a category in IT",
    );
    check(json!({"jurisdiction": {"country": "IT"}}), "toys", "2024-01-31", "for toys in IT on 2024-01-31");
}

#[test]
fn a_business_in_another_country_of_the_union_owes_the_tax_itself() {
    let business = |country: &str| json!({"jurisdiction": {"country": country}, "tax_id": "X1"});
    check(business("FR"), "", "2024-01-31", "ReverseCharge in FR");
    check(business("IT"), "", "2024-01-31", "ReverseCharge in IT");
    check(business("DE"), "", "2024-01-31", "VAT 19 DE");
    check(business("US"), "", "2024-01-31", "OutsideScope in US");
    check(json!({"jurisdiction": {"country": "FR"}}), "", "2024-01-31", "VAT 19 DE");
    check(
        json!({"jurisdiction": {"country": "FR"}, "tax_id": "X1", "reverse_charge": false}),
        "",
        "2024-01-31",
        "VAT 19 DE",
    );
}

#[test]
fn whether_a_customer_is_registered_is_what_its_profile_of_the_day_says() {
    let since_march = |before: Value| {
        json!([
            {"jurisdiction": {"country": "FR"}, "registered": before},
            {"jurisdiction": {"country": "FR"}, "registered": true, "valid_from": "2024-03-01"}
        ])
    };
    check(since_march(json!(false)), "", "2024-02-29", "VAT 19 DE");
    check(since_march(json!(false)), "", "2024-03-01", "ReverseCharge in FR");
    // What the printed address says today counts only where the profile is silent.
    let silent = json!({"jurisdiction": {"country": "FR"}, "tax_id": "X1"});
    check(silent, "", "2024-02-29", "ReverseCharge in FR");
    let lost = json!({"jurisdiction": {"country": "FR"}, "tax_id": "X1", "registered": false});
    check(lost, "", "2024-02-29", "VAT 19 DE");
}

#[test]
fn a_tax_stands_in_for_those_that_it_replaces() {
    let mut value = serde_json::to_value(settings()).unwrap();
    value["rates"][7]["replaces"] = json!(["VAT"]);
    let settings: TaxSettings = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(settings.validate(), []);
    let profile: TaxProfile =
        serde_json::from_value(json!({"jurisdiction": {"country": "ES", "region": "CN"}})).unwrap();
    let found = treatment(&settings, &[profile], false, None, day("2024-01-31")).unwrap();
    assert_eq!(found, Treatment::Taxed(vec![&settings.rates[7]]));
    for wrong in ["IGIC", "Levy"] {
        value["rates"][7]["replaces"] = json!([wrong]);
        let faults = serde_json::from_value::<TaxSettings>(value.clone()).unwrap().validate();
        assert_eq!(faults[0].field, "/rates/7/replaces/0");
    }
}

#[test]
fn an_exemption_covers_its_products_and_days() {
    let exempt = |category: Value| {
        json!({"jurisdiction": {"country": "DE"}, "exemptions": [
            {"category": category, "reason": "certificate 7", "valid_from": "2024-01-01", "valid_to": "2025-01-01"}]})
    };
    check(exempt(Value::Null), "", "2024-01-31", "Exempt { by: \"certificate 7\" }");
    check(exempt(Value::Null), "", "2025-01-01", "VAT 19 DE");
    check(exempt(json!("books")), "books", "2024-12-31", "Exempt");
    check(exempt(json!("books")), "", "2024-12-31", "VAT 19 DE");
}

#[test]
fn the_profile_of_the_tax_point_counts() {
    let moved = json!([
        {"jurisdiction": {"country": "DE"}},
        {"jurisdiction": {"country": "US"}, "valid_from": "2024-03-01"}
    ]);
    check(moved.clone(), "", "2024-02-29", "VAT 19 DE");
    check(moved, "", "2024-03-01", "OutsideScope in US");
    // Before the first one that is known, the first one.
    check(json!([{"jurisdiction": {"country": "US"}, "valid_from": "2024-03-01"}]), "", "2024-02-29", "OutsideScope");
}

#[test]
fn rates_that_contradict_each_other_are_told_with_their_place() {
    let check = |change: &dyn Fn(&mut Value), expect: &[&str]| {
        let mut value = serde_json::to_value(settings()).unwrap();
        change(&mut value);
        let found = serde_json::from_value::<TaxSettings>(value).unwrap().validate();
        let fields: Vec<String> = found.into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, expect);
    };
    check(&|_| {}, &[]);
    check(&|it| it["seller"]["country"] = json!("de"), &["/seller/country"]);
    check(&|it| it["union_countries"][1] = json!("FRA"), &["/union_countries/1"]);
    check(&|it| it["rates"][0]["rate_percent"] = json!("-1"), &["/rates/0/rate_percent"]);
    check(&|it| it["rates"][0]["valid_to"] = json!("2020-07-02"), &["/rates/1"]);
    check(&|it| it["rates"][1]["valid_to"] = json!("2020-07-01"), &["/rates/1/valid_to"]);
    check(&|it| it["rates"][4]["included"] = json!(true), &[]);
    check(&|it| it["rates"][5]["included"] = json!(true), &["/rates/6/included", "/rates/7/included"]);
    check(&|it| it["rates"][7]["jurisdiction"]["region"] = json!("cn"), &["/rates/7/jurisdiction/region"]);
}
