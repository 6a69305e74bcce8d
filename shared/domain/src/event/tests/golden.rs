//! Events of every stored version, and what they must still be read as. The expected values were computed by another
//! program from the rules alone.

use super::*;

/// A golden file: an event as sent, and what every later version must still read from it.
#[derive(Deserialize)]
struct Golden {
    event: Box<RawValue>,
    expect: Option<Expected>,
    error: Option<FieldError>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Expected {
    tenant: String,
    identity: Identity,
    body_hash: String,
    time: DateTime<Utc>,
    numbers: BTreeMap<String, String>,
    texts: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

fn check_golden(name: &str, text: &str) {
    let golden: Golden = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let read = parse(golden.event.get());
    assert_eq!(read.as_ref().err(), golden.error.as_ref(), "{name}");
    let found = read.ok().map(|event| Expected {
        tenant: event.tenant.to_string(),
        identity: event.identity,
        body_hash: format!("{:032x}", event.body_hash),
        time: event.time,
        numbers: event.numbers.into_iter().map(|(at, value)| (at, canonical(value))).collect(),
        texts: event.texts.into_iter().collect(),
        unreadable: event.unreadable,
    });
    assert_eq!(found, golden.expect, "{name}");
}

macro_rules! golden {
    ($($name:literal),*) => {
        $(check_golden($name, include_str!(concat!("../../../../../schemas/golden/usage-event/", $name, ".json")));)*
    };
}

#[test]
fn golden_events_are_read_as_ever() {
    golden!(
        "minimal",
        "full",
        "nested",
        "numbers-that-do-not-fit",
        "null-and-unknown",
        "no-zone",
        "too-early",
        "twice"
    );
}
