//! One `check` each for readings, folds and faults.

use super::*;
use crate::event::{EventLimits, Identity, UsageEvent};
use crate::quantity::{canonical, parse_quantity};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rust_decimal::Decimal;

mod windows;

fn event(data: &str) -> UsageEvent {
    let text = format!(
        r#"{{"specversion":"1.0","id":"1","source":"s","type":"llm.call","tenantid":"acme","time":"2026-11-25T00:00:00Z","data":{data}}}"#
    );
    UsageEvent::parse_structured(text.as_bytes(), None, &EventLimits::default()).expect("valid")
}

fn meter(aggregation: Aggregation, field: Option<&str>) -> MeterDefinition {
    MeterDefinition {
        key: crate::id::MeterKey::parse("m").expect("a key"),
        version: 1,
        event_type: "llm.call".into(),
        aggregation,
        field: field.map(str::to_owned),
        filters: vec![],
        dimensions: vec![],
        unit: None,
        created_at: DateTime::UNIX_EPOCH,
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn value(number: &str) -> Reading {
    Reading::Value { value: Some(parse_quantity(number).expect("a quantity")), text: None, dimensions: vec![] }
}

fn text(text: &str) -> Reading {
    Reading::Value { value: None, text: Some(text.to_owned()), dimensions: vec![] }
}

fn check_read(aggregation: Aggregation, data: &str, expect: Reading) {
    let field = (aggregation != Aggregation::Count).then_some("/n");
    assert_eq!(meter(aggregation, field).read(&event(data)), expect, "{aggregation} of {data}");
}

#[test]
fn a_meter_reads_its_field() {
    use UnmeteredReason::*;
    check_read(Aggregation::Sum, r#"{"n":1.50}"#, value("1.5"));
    check_read(Aggregation::Max, r#"{"n":-2}"#, value("-2"));
    check_read(Aggregation::Sum, r#"{"n":"5"}"#, Reading::Unmetered(NotANumber));
    check_read(Aggregation::Sum, r#"{"n":true}"#, Reading::Unmetered(NotANumber));
    check_read(Aggregation::Sum, r#"{"n":[5]}"#, Reading::Unmetered(NotANumber));
    check_read(Aggregation::Sum, r#"{"n":1e308}"#, Reading::Unmetered(NumberDoesNotFit));
    check_read(Aggregation::Sum, r#"{"n":null}"#, Reading::Unmetered(FieldMissing));
    check_read(Aggregation::Sum, r#"{"n":{}}"#, Reading::Unmetered(FieldMissing));
    check_read(Aggregation::Sum, r#"{"m":1}"#, Reading::Unmetered(FieldMissing));
    check_read(Aggregation::Count, r#"{"m":1}"#, Reading::Value { value: None, text: None, dimensions: vec![] });
    check_read(Aggregation::UniqueCount, r#"{"n":"u-1"}"#, text("u-1"));
    check_read(Aggregation::UniqueCount, r#"{"n":1.0}"#, text("1"));
    check_read(Aggregation::UniqueCount, r#"{"n":true}"#, text("true"));
    check_read(Aggregation::UniqueCount, r#"{"n":1e308}"#, text("1e308"));
    check_read(Aggregation::UniqueCount, r#"{}"#, Reading::Unmetered(FieldMissing));
}

#[test]
fn filters_admit_and_dimensions_group_by_text_form() {
    let mut meter = meter(Aggregation::Sum, Some("/tokens/in"));
    meter.filters = vec![Filter { field: "/status".into(), one_of: vec!["200".into(), "ok".into()] }];
    meter.dimensions = vec![
        Dimension { name: "model".into(), field: "/model".into() },
        Dimension { name: "tier".into(), field: "/tier".into() },
    ];
    let check = |data: &str, expect: Option<[&str; 2]>| match (meter.read(&event(data)), expect) {
        (Reading::Ignored, None) => {}
        (Reading::Value { dimensions, .. }, Some(expect)) => {
            assert_eq!(dimensions, expect, "{data}")
        }
        (found, _) => panic!("{data}: {found:?}"),
    };
    check(r#"{"status":200,"tokens":{"in":5},"model":"large","tier":2.0}"#, Some(["large", "2"]));
    check(r#"{"status":"ok","tokens":{"in":5},"tier":null}"#, Some(["", ""]));
    check(r#"{"status":"200","tokens":{"in":5}}"#, Some(["", ""]));
    check(r#"{"status":500,"tokens":{"in":5}}"#, None);
    check(r#"{"tokens":{"in":5}}"#, None);
    meter.event_type = "llm".into();
    assert_eq!(meter.read(&event(r#"{"status":200,"tokens":{"in":5}}"#)), Reading::Ignored);
}

fn fold(readings: &[(Reading, i64)]) -> Partial {
    let mut partial = Partial::default();
    for (index, (reading, second)) in readings.iter().enumerate() {
        partial.add(reading, DateTime::from_timestamp(*second, 0).expect("in range"), Identity(index as u128));
    }
    partial
}

#[test]
fn a_partial_has_the_value_of_every_aggregation() {
    let check = |partial: &Partial, expect: [Option<&str>; 7]| {
        for (aggregation, expect) in Aggregation::ALL.into_iter().zip(expect) {
            let found = partial.value(aggregation).expect("fits");
            assert_eq!(found.map(canonical).as_deref(), expect, "{aggregation}");
        }
    };
    check(&Partial::default(), [Some("0"), Some("0"), None, None, None, None, Some("0")]);
    check(
        &fold(&[(Reading::Ignored, 1), (Reading::Unmetered(UnmeteredReason::FieldMissing), 1)]),
        [Some("0"), Some("0"), None, None, None, None, Some("0")],
    );
    let numbers = fold(&[(value("1"), 5), (value("-2.5"), 9), (value("0.1"), 9), (value("7"), 1)]);
    check(&numbers, [Some("4"), Some("5.6"), Some("7"), Some("-2.5"), Some("1.4"), Some("0.1"), Some("0")]);
    let texts = fold(&[(text("a"), 1), (text("b"), 2), (text("a"), 3)]);
    check(&texts, [Some("3"), Some("0"), None, None, Some("0"), None, Some("2")]);
}

#[test]
fn a_sum_that_does_not_fit_is_an_error_of_the_sum_alone() {
    let partial = fold(&[(value("1e19"), 1), (value("1e-18"), 2)]);
    assert!(partial.value(Aggregation::Sum).is_err());
    assert!(partial.value(Aggregation::Avg).is_err());
    assert_eq!(partial.value(Aggregation::Count), Ok(Some(Decimal::from(2))));
    assert_eq!(partial.value(Aggregation::Max), Ok(parse_quantity("1e19")));
}

#[test]
fn a_definition_tells_all_its_faults() {
    let check = |change: &dyn Fn(&mut MeterDefinition), expect: &[&str]| {
        let mut definition = meter(Aggregation::Sum, Some("/n"));
        change(&mut definition);
        let faults = definition.validate().err().unwrap_or_default();
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), expect, "{definition:?}");
    };
    let dimension = |name: &str| Dimension { name: name.into(), field: "/d".into() };
    check(&|_| {}, &[]);
    check(&|m| (m.aggregation, m.field) = (Aggregation::Count, None), &[]);
    check(&|m| m.field = Some(String::new()), &[]);
    check(&|m| m.field = Some("/a~1b~0c".into()), &[]);
    check(&|m| m.aggregation = Aggregation::Count, &["/field"]);
    check(&|m| m.field = None, &["/field"]);
    check(&|m| m.field = Some("n".into()), &["/field"]);
    check(&|m| m.field = Some("/a~2".into()), &["/field"]);
    check(&|m| m.field = Some("/a~".into()), &["/field"]);
    check(
        &|m| (m.version, m.event_type, m.unit) = (0, String::new(), Some("\n".into())),
        &["/version", "/event_type", "/unit"],
    );
    check(
        &|m| m.filters = vec![Filter { field: "x".into(), one_of: vec![] }],
        &["/filters/0/field", "/filters/0/one_of"],
    );
    check(&|m| m.dimensions = vec![dimension("a"), dimension("a")], &["/dimensions/1/name"]);
    check(&|m| m.dimensions = vec![dimension("A-b"), dimension("")], &["/dimensions/0/name", "/dimensions/1/name"]);
    check(&|m| m.dimensions = ["a", "b", "c", "d", "e", "f"].map(dimension).to_vec(), &["/dimensions"]);
}

#[test]
fn a_definition_survives_json() {
    let text = r#"{"key":"tokens_in","version":2,"event_type":"llm.call","aggregation":"unique_count","field":"/user","filters":[{"field":"/ok","one_of":["true"]}],"dimensions":[{"name":"model","field":"/model"}],"unit":"user","created_at":"2026-11-25T00:00:00Z"}"#;
    let definition: MeterDefinition = serde_json::from_str(text).expect("a definition");
    assert_eq!(serde_json::to_string(&definition).ok().as_deref(), Some(text));
    for aggregation in Aggregation::ALL {
        assert_eq!(serde_json::to_string(&aggregation).ok(), Some(format!("\"{aggregation}\"")));
    }
}

proptest! {
    #[test]
    fn merging_is_the_same_as_adding_in_any_order(values in prop::collection::vec((-1_000_000i64..1_000_000, 0u32..6, 0i64..5), 0..20), cut in 0usize..20) {
        let readings: Vec<(Reading, DateTime<Utc>, Identity)> = values.iter().enumerate().map(|(index, (mantissa, scale, second))| {
            let reading = Reading::Value { value: Some(Decimal::new(*mantissa, *scale)), text: Some(mantissa.rem_euclid(7).to_string()), dimensions: vec![] };
            (reading, DateTime::from_timestamp(*second, 0).expect("in range"), Identity(index as u128))
        }).collect();
        let fold = |readings: &[(Reading, DateTime<Utc>, Identity)]| {
            let mut partial = Partial::default();
            readings.iter().rev().for_each(|(reading, time, identity)| partial.add(reading, *time, *identity));
            partial
        };
        let cut = cut.min(readings.len());
        let mut merged = fold(&readings[cut..]);
        merged.merge(&fold(&readings[..cut]));
        let whole = fold(&readings);
        for aggregation in Aggregation::ALL {
            prop_assert_eq!(merged.value(aggregation), whole.value(aggregation));
        }
        let json = serde_json::to_string(&whole).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Partial>(&json).expect("a partial"), whole);
    }
}
