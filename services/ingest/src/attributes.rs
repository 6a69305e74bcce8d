//! The few attributes that ingest itself looks at, found in the event's text without reading the rest: `id` and `source` to
//! name a rejected event, `tenantid` to write it in where the API key says it.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use talea_domain::id::TenantId;

/// An id or source is repeated in a verdict up to this many characters: a rejected one may be of any length.
const MAX_ECHO_CHARACTERS: usize = 256;

#[derive(Default, Deserialize)]
struct Attributes<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    source: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    tenantid: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type", deserialize_with = "present")]
    kind: Option<&'a RawValue>,
}

/// `null` is a value here: it has a place in the text.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// `id` and `source` of an event that may be faulty, where they are texts.
pub fn names(event: &[u8]) -> (Option<String>, Option<String>) {
    let attributes: Attributes = serde_json::from_slice(event).unwrap_or_default();
    (attributes.id.and_then(text), attributes.source.and_then(text))
}

/// Whether a valid record is a void and no usage.
pub fn is_void(event: &[u8]) -> bool {
    let attributes: Attributes = serde_json::from_slice(event).unwrap_or_default();
    attributes.kind.and_then(text).is_some_and(|kind| kind == talea_domain::event::EVENT_VOIDED)
}

fn text(value: &RawValue) -> Option<String> {
    let text: String = serde_json::from_str(value.get()).ok()?;
    Some(text.chars().take(MAX_ECHO_CHARACTERS).collect())
}

/// A valid event with its tenant written in: as it is when it names one, else with the key's.
pub fn with_tenant(event: &Bytes, tenant: &TenantId) -> Bytes {
    let attributes: Attributes = serde_json::from_slice(event).unwrap_or_default();
    let start = event.as_ptr() as usize;
    match attributes.tenantid.map(RawValue::get) {
        Some("null") => {
            // The value is a slice of the event, so its address is its place.
            let at = attributes.tenantid.map_or(0, |value| value.get().as_ptr() as usize - start);
            spliced(event, at, at + "null".len(), &format!("\"{tenant}\""))
        }
        Some(_) => event.clone(),
        None => {
            // A tenant's id is made of characters that JSON takes as they are; a valid event has attributes, so a comma follows.
            let after_brace = event.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
            spliced(event, after_brace, after_brace, &format!("\"tenantid\":\"{tenant}\","))
        }
    }
}

fn spliced(event: &[u8], from: usize, to: usize, text: &str) -> Bytes {
    [&event[..from], text.as_bytes(), &event[to..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_written_in_once() {
        let tenant = TenantId::parse("acme-1.eu").expect("a key");
        for (event, expected) in [
            (r#"{"id":"1","data":{"n":1.10}}"#, r#"{"tenantid":"acme-1.eu","id":"1","data":{"n":1.10}}"#),
            (r#"{ "id":"1"}"#, r#"{"tenantid":"acme-1.eu", "id":"1"}"#),
            (r#"{"id":"1","tenantid":"acme-1.eu"}"#, r#"{"id":"1","tenantid":"acme-1.eu"}"#),
            (r#"{"tenantid": null ,"id":"1"}"#, r#"{"tenantid": "acme-1.eu" ,"id":"1"}"#),
            (r#"{"data":{"tenantid":"x"},"id":"1"}"#, r#"{"tenantid":"acme-1.eu","data":{"tenantid":"x"},"id":"1"}"#),
        ] {
            assert_eq!(with_tenant(&Bytes::from_static(event.as_bytes()), &tenant), expected);
        }
    }

    #[test]
    fn a_faulty_event_is_named_as_far_as_it_can_be() {
        let named = |event: &str| names(event.as_bytes());
        assert_eq!(named(r#"{"id":"a\"b","source":"/s","n":1}"#), (Some("a\"b".into()), Some("/s".into())));
        assert_eq!(named(r#"{"id":7,"source":null}"#), (None, None));
        assert_eq!(named("7"), (None, None));
        assert_eq!(named(r#"{"id":"1","id":"2"}"#), (None, None));
        let long = format!(r#"{{"id":"{}"}}"#, "ä".repeat(1000));
        assert_eq!(named(&long).0.map(|id| id.chars().count()), Some(MAX_ECHO_CHARACTERS));
    }
}
