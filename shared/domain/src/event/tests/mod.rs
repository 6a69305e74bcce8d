//! One `check` for what an event is read as, and one for why it is refused.

use super::*;
use crate::error::FieldError;
use chrono::Duration;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

mod golden;
mod properties;
mod voids;

const HEAD: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t","tenantid":"acme""#;

fn parse(text: &str) -> Result<UsageEvent, FieldError> {
    UsageEvent::parse_structured(text.as_bytes(), None, &EventLimits::default())
}

fn with_data(data: &str) -> String {
    format!(r#"{{{HEAD},"time":"2026-11-25T00:00:00Z","data":{data}}}"#)
}

/// `expect`: leaves as `pointer=number`, `pointer:text`, `pointer!unreadable`, separated by blanks, in canonical order.
fn check_data(data: &str, expect: &str) {
    let event = parse(&with_data(data)).unwrap_or_else(|error| panic!("{data}: {error}"));
    let mut leaves: Vec<String> =
        event.numbers.iter().map(|(at, value)| format!("{at}={}", canonical(*value))).collect();
    leaves.extend(
        event.texts.iter().map(|(at, text)| format!("{at}{}{text}", if event.is_unreadable(at) { '!' } else { ':' })),
    );
    assert_eq!(leaves.join(" "), expect, "{data}");
}

fn check_refused(event: &str, field: &str, reason: &str) {
    let error = parse(event).expect_err(event);
    assert_eq!(error.field, field, "{event}: {error}");
    assert!(error.reason.contains(reason), "{event}: {error}");
    assert!(!error.way_out.is_empty());
}

#[test]
fn data_becomes_leaves() {
    check_data(r#"{"b":2,"a":1.50}"#, "/a=1.5 /b=2");
    check_data(r#"{"a":{"b":{"c":1e2}},"d":"x"}"#, "/a/b/c=100 /d:x");
    check_data(r#"{"a~b/c":1,"":{"":2}}"#, "//=2 /a~0b~1c=1");
    check_data(r#"{"yes":true,"no":false,"none":null,"empty":{}}"#, "/no:false /yes:true");
    check_data(r#"{"list":[3, 1.0, {"b":[],"a":"\u00e9"}, null]}"#, r#"/list:[3,1,{"a":"é","b":[]},null]"#);
    check_data(
        r#"{"far":1e308,"long":0.12345678901234567890,"fine":0.30000000000000004}"#,
        "/fine=0.30000000000000004 /far!1e308 /long!0.1234567890123456789",
    );
    check_data(r#"{"n":12345678901234567890}"#, "/n=12345678901234567890");
    check_data(r#"{"e\u0073c":"tab\there"}"#, "/esc:tab\there");
    check_data("5", "=5");
    check_data(r#""text""#, ":text");
    check_data("[1,2]", ":[1,2]");
    check_data("null", "");
    check_data("{}", "");
}

#[test]
fn what_is_refused_says_where_and_why() {
    let head = |attributes: &str| format!(r#"{{{attributes},"time":"2026-11-25T00:00:00Z"}}"#);
    check_refused("", "", "is not a JSON event");
    check_refused("[]", "", "is not a JSON event");
    check_refused("{}", "/specversion", "missing");
    check_refused(&head(r#""specversion":"0.3""#), "/specversion", "not a known version");
    check_refused(&head(r#""specversion":1.0"#), "/specversion", "is not a text");
    check_refused(&head(r#""specversion":"1.0""#), "/tenantid", "missing");
    check_refused(&head(r#""specversion":"1.0","tenantid":"a b""#), "/tenantid", "not a key");
    check_refused(&head(r#""specversion":"1.0","tenantid":"a","source":"s","type":"t""#), "/id", "missing");
    check_refused(&head(r#""specversion":"1.0","tenantid":"a","source":"s","id":null,"type":"t""#), "/id", "missing");
    check_refused(&head(r#""specversion":"1.0","tenantid":"a","source":"","id":"1","type":"t""#), "/source", "empty");
    check_refused(
        &head(r#""specversion":"1.0","tenantid":"a","source":"s","id":"a\u0000b","type":"t""#),
        "/id",
        "control",
    );
    check_refused(
        &head(r#""specversion":"1.0","tenantid":"a","source":"s","id":"\ud800","type":"t""#),
        "/id",
        "escape",
    );
    check_refused(&head(&format!(r#"{HEAD},"subject":"{}""#, "x".repeat(257))), "/subject", "more than 256 bytes");
    check_refused(&head(&format!(r#"{HEAD},"datacontenttype":"text/plain""#)), "/datacontenttype", "not JSON");
    check_refused(&head(&format!(r#"{HEAD},"data_base64":"AA==""#)), "/data_base64", "not read");
    check_refused(&head(&format!(r#"{HEAD},"id":"2""#)), "", "occurs twice");
    check_refused(&with_data(r#"{"a":1,"a":1}"#), "/data/a", "occurs twice");
    check_refused(&with_data(r#"{"l":[{"a":1,"\u0061":2}]}"#), "/data/l/a", "occurs twice");
    check_refused(
        &with_data(&format!(r#"{{"a":{{"b":"{}"}}}}"#, "x".repeat(1025))),
        "/data/a/b",
        "more than 1024 bytes",
    );
    check_refused(&with_data(r#"{"a":"\udc00"}"#), "/data/a", "escape");
    check_refused(&with_data(&format!("{}{}", "[".repeat(17), "]".repeat(17))), "/data", "deeper than 16");
    check_refused(
        &with_data(&format!(r#"{{"{}":1}}"#, "k".repeat(256))),
        "/data",
        "JSON pointer of more than 256 bytes",
    );
    let leaves: Vec<String> = (0..65).map(|n| format!(r#""k{n}":{n}"#)).collect();
    check_refused(&with_data(&format!("{{{}}}", leaves.join(","))), "/data", "more than 64 values");
    assert!(parse(&with_data(&format!("{{{}}}", leaves[..64].join(",")))).is_ok());
    check_refused(&with_data(&format!(r#""{}""#, " ".repeat(65536))), "", "more than 65536 bytes");
    check_refused(&with_data("01"), "", "is not a JSON event");
    check_refused(&with_data("NaN"), "", "is not a JSON event");
    let not_utf8 = UsageEvent::parse_structured(b"{\"id\":\"\xff\"}", None, &EventLimits::default());
    assert_eq!(not_utf8.expect_err("not UTF-8").reason, "is not UTF-8");
}

#[test]
fn a_long_number_never_costs_the_event() {
    let event = parse(&with_data(&format!(r#"{{"n":{}1}}"#, "9".repeat(5000)))).expect("kept");
    assert_eq!((event.unreadable.len(), event.texts[0].1.len()), (1, 5001));
}

#[test]
fn time_is_rfc_3339_with_a_zone_in_years_that_can_be_stored() {
    let read = |time: &str| parse(&format!(r#"{{{HEAD},"time":"{time}"}}"#));
    let check = |time: &str, expect: &str| {
        let event = read(time).unwrap_or_else(|error| panic!("{time}: {error}"));
        assert_eq!(event.time.to_rfc3339(), expect, "{time}");
    };
    check("2026-11-25T01:02:03Z", "2026-11-25T01:02:03+00:00");
    check("2026-11-25t01:02:03.123456789z", "2026-11-25T01:02:03.123456789+00:00");
    check("2026-11-25T00:30:00+05:45", "2026-11-24T18:45:00+00:00");
    check("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00");
    check("2199-12-31T23:59:59.999999999Z", "2199-12-31T23:59:59.999999999+00:00");
    check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00");
    for time in ["", "2026-11-25", "2026-11-25T01:02:03", "2026-11-25 01:02:03Z", "1764032523", "2026-02-30T00:00:00Z"]
    {
        let error = read(time).expect_err(time);
        assert_eq!(
            (error.field.as_str(), DeadLetterReason::of(&error)),
            ("/time", DeadLetterReason::Malformed),
            "{time}"
        );
    }
    for time in ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59Z"] {
        let error = read(time).expect_err(time);
        assert_eq!(
            (error.field.as_str(), DeadLetterReason::of(&error)),
            ("/time", DeadLetterReason::OutOfRange),
            "{time}"
        );
    }
    check_refused(&format!("{{{HEAD}}}"), "/time", "missing");
}

#[test]
fn the_keys_tenant_stands_in_and_never_gives_way() {
    let acme = TenantId::parse("acme").expect("a key");
    let other = TenantId::parse("other").expect("a key");
    let limits = EventLimits::default();
    let named = format!(r#"{{{HEAD},"time":"2026-11-25T00:00:00Z"}}"#);
    let unnamed = named.replace(r#","tenantid":"acme""#, "");
    let read = |text: &str, key| UsageEvent::parse_structured(text.as_bytes(), key, &limits);
    assert_eq!(read(&unnamed, Some(&acme)), read(&named, None));
    assert_eq!(read(&named, Some(&acme)), read(&named, None));
    let error = read(&named, Some(&other)).expect_err("another tenant's key");
    assert_eq!(error.field, "/tenantid");
    assert!(!error.to_string().contains("acme"), "tells nothing about the other tenant: {error}");
}

#[test]
fn the_binary_binding_gives_the_same_event() {
    let attributes: Vec<(String, String)> = [
        ("specversion", "1.0"),
        ("id", "1"),
        ("source", "/s"),
        ("type", "t"),
        ("tenantid", "acme"),
        ("time", "2026-11-25T00:00:00Z"),
        ("traceparent", "ignored"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let read = |attributes: &[(String, String)], content_type: &str, data: &str| {
        UsageEvent::from_attributes(attributes, content_type, data.as_bytes(), None, &EventLimits::default())
    };
    let structured = parse(&with_data(r#"{"n":1}"#));
    for content_type in ["", "application/json", "Application/JSON; charset=utf-8", "application/vnd.acme+json"] {
        assert_eq!(read(&attributes, content_type, r#" {"n":1.0} "#), structured, "{content_type}");
    }
    assert_eq!(read(&attributes, "", "").map(|event| event.numbers.len()), Ok(0));
    let field = |result: Result<UsageEvent, FieldError>| result.expect_err("refused").field;
    assert_eq!(field(read(&attributes, "text/csv", "1")), "content-type");
    assert_eq!(field(read(&attributes, "", "{")), "/data");
    assert_eq!(field(read(&attributes[..5], "", "{}")), "ce_time");
    assert_eq!(field(read(&[&attributes[..], &attributes[1..2]].concat(), "", "{}")), "ce_id");
}

#[test]
fn the_window_is_judged_against_the_append_time() {
    let appended = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
    let nanosecond = Duration::nanoseconds(1);
    let check = |time, backfill, expect| assert_eq!(window(time, appended, &Window::default(), backfill), expect);
    check(appended, false, Ok(()));
    check(appended - Duration::days(35), false, Ok(()));
    check(appended - Duration::days(35) - nanosecond, false, Err(DeadLetterReason::TooLate));
    check(appended - Duration::days(3500), true, Ok(()));
    check(appended + Duration::hours(1), false, Ok(()));
    check(appended + Duration::hours(1) + nanosecond, false, Err(DeadLetterReason::InFuture));
    check(appended + Duration::hours(1) + nanosecond, true, Err(DeadLetterReason::InFuture));
}

#[test]
fn names_are_one_in_code_and_json() {
    for reason in DeadLetterReason::ALL {
        assert_eq!(serde_json::to_string(&reason).ok(), Some(format!("\"{reason}\"")));
        assert_eq!(reason.as_str().parse(), Ok(reason));
    }
    let identity = Identity(0xab);
    assert_eq!(identity.to_string(), "000000000000000000000000000000ab");
    assert_eq!(identity.to_string().parse(), Ok(identity));
    assert_eq!(serde_json::to_string(&identity).ok(), Some(format!("\"{identity}\"")));
    for text in ["", "ab", "000000000000000000000000000000AB", "+00000000000000000000000000000ab"] {
        assert!(text.parse::<Identity>().is_err(), "{text}");
    }
}

#[test]
fn an_identity_keeps_the_borders_of_its_parts() {
    let acme = TenantId::parse("acme").expect("a key");
    assert_ne!(identity_of(&acme, "x", "y-z"), identity_of(&acme, "x-y", "z"));
    assert_ne!(identity_of(&acme, "ab", "c"), identity_of(&acme, "a", "bc"));
}

#[test]
fn the_body_is_type_subject_and_data_and_nothing_else() {
    let base = format!(r#"{{{HEAD},"time":"2026-11-25T00:00:00Z","subject":"u","data":{{"n":1}}}}"#);
    let hash = |text: &str| parse(text).expect("valid").body_hash;
    for (from, to) in [
        ("2026-11-25", "2026-11-26"),
        (r#""id":"1""#, r#""id":"2""#),
        ("/s", "/r"),
        ("acme", "other"),
        ("{\"spec", "{\"x\":1,\"spec"),
    ] {
        assert_eq!(hash(&base), hash(&base.replace(from, to)), "{from} -> {to}");
    }
    for (from, to) in [
        (r#""type":"t""#, r#""type":"u""#),
        (r#""subject":"u""#, r#""subject":"v""#),
        (r#""subject":"u","#, ""),
        (r#"{"n":1}"#, "{}"),
        (r#"{"n":1}"#, r#"{"n":"1"}"#),
    ] {
        assert_ne!(hash(&base), hash(&base.replace(from, to)), "{from} -> {to}");
    }
}

#[test]
fn names_are_sorted_by_utf_16_code_units() {
    // RFC 8785, section 3.2.3: its own example, without the names that need no surrogates to differ.
    let data =
        parse_data("{\"\u{20ac}\":1,\"\\r\":2,\"\u{fb33}\":3,\"1\":4,\"\u{1f600}\":5,\"\u{80}\":6,\"\u{f6}\":7}");
    assert_eq!(data, "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}");
    assert_eq!(
        parse_data(r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\u007f""#),
        "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\""
    );
}

fn parse_data(text: &str) -> String {
    let raw: &RawValue = serde_json::from_str(text).expect("JSON");
    data::read_data(Some(raw), &EventLimits::default()).map(|data| data.canonical).expect("readable")
}
