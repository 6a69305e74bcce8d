//! What a void is read as, and why one is refused.

use super::*;

fn read(attributes: &str, data: &str) -> Result<Submission, FieldError> {
    let text = format!(
        r#"{{"specversion":"1.0","id":"v","source":"/ops","type":"talea.event.voided.v1","tenantid":"acme"{attributes},"data":{data}}}"#
    );
    Submission::parse_structured(text.as_bytes(), None, &EventLimits::default())
}

/// The golden void is of the golden event: the identity is the one that another program computed.
#[test]
fn golden_voids_are_read_as_ever() {
    let event: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../schemas/golden/usage-event/full.json")).expect("JSON");
    let read = |text: &str| match Submission::parse_structured(text.as_bytes(), None, &EventLimits::default()) {
        Ok(Submission::Void(void)) => void,
        other => panic!("{other:?}"),
    };
    let void = read(include_str!("../../../../../schemas/golden/event-void/void.json"));
    assert_eq!(void.voided_identity().to_string(), event["expect"]["identity"]);
    assert_eq!((void.reason.as_str(), void.replaced_by), ("sent by a load test", None));
    let amendment = read(include_str!("../../../../../schemas/golden/event-void/amendment.json"));
    let replaced_by = amendment.replaced_by.expect("an amendment");
    assert_eq!((replaced_by.source, replaced_by.id), (amendment.voided.source, format!("{}/2", amendment.voided.id)));
}

#[test]
fn a_void_that_does_not_say_what_is_voided_is_refused() {
    let check = |data: &str, field: &str| {
        let error = read("", data).expect_err(data);
        assert_eq!(error.field, field, "{data}: {}", error.reason);
        assert!(!error.way_out.is_empty());
    };
    check("null", "/data");
    check("[]", "/data");
    check(r#"{"source":"/s","id":"1"}"#, "/data");
    check(r#"{"source":"/s","id":"1","reason":"x","tenantid":"beta"}"#, "/data");
    check(r#"{"source":"","id":"1","reason":"x"}"#, "/data/source");
    check(r#"{"source":"/s","id":"1","reason":"  "}"#, "/data/reason");
    check(&format!(r#"{{"source":"/s","id":"1","reason":"{}"}}"#, "x".repeat(501)), "/data/reason");
    check(&format!(r#"{{"source":"/s","id":"{}","reason":"x"}}"#, "x".repeat(257)), "/data/id");
    check(r#"{"source":"/s","id":"1","reason":"x","replaced_by":{"source":"/s","id":"1"}}"#, "/data/replaced_by");
    assert!(
        read(r#","time":"yesterday""#, r#"{"source":"/s","id":"1","reason":"x"}"#).is_ok(),
        "its time means nothing"
    );
}

#[test]
fn no_usage_has_a_type_of_ours() {
    for kind in ["talea.event.voided.v1", "talea.event.voided.v2", "talea.event."] {
        let text = format!(
            r#"{{"specversion":"1.0","id":"1","source":"/s","type":"{kind}","time":"2026-11-25T00:00:00Z","tenantid":"acme"}}"#
        );
        assert_eq!(parse(&text).expect_err(kind).field, "/type");
    }
    let text = r#"{"specversion":"1.0","id":"1","source":"/s","type":"talea.events","time":"2026-11-25T00:00:00Z","tenantid":"acme"}"#;
    assert!(parse(text).is_ok());
}
