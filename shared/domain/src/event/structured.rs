//! CloudEvents in structured JSON: one event, a batch, and the tenant that a bound key adds.
//!
//! Attributes are borrowed from the bytes; only `data` is taken apart further. A member that occurs twice is refused:
//! readers differ in which one they take, and then one event would have two identities.

use super::attributes::{Attributes, Binding, NAME_COUNT, Name};
use super::json::decode_text;
use super::{EventLimits, UsageEvent};
use crate::error::FieldError;
use crate::id::TenantId;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

impl UsageEvent {
    /// Reads one event in structured JSON. `key_tenant` is the tenant that the sender's API key is bound to, if any.
    /// The error's field is a JSON pointer into the event.
    pub fn parse_structured(
        bytes: &[u8],
        key_tenant: Option<&TenantId>,
        limits: &EventLimits,
    ) -> Result<Self, FieldError> {
        if bytes.len() > limits.max_event_bytes {
            return Err(too_large(limits));
        }
        let envelope = Envelope::read(bytes)?;
        if envelope.has_base64 {
            return Err(FieldError::new(
                "/data_base64",
                "is not read",
                "send data as a JSON object",
            ));
        }
        envelope
            .attributes()?
            .event(envelope.data, key_tenant, limits)
    }
}

pub(super) fn too_large(limits: &EventLimits) -> FieldError {
    FieldError::new(
        "",
        format!("has more than {} bytes", limits.max_event_bytes),
        "send less data, or raise the setting events.max_event_bytes",
    )
}

/// Splits a JSON array of events without reading them. Refuses more than `max_events`.
pub fn split_batch(bytes: &[u8], max_events: usize) -> Result<Vec<&RawValue>, FieldError> {
    const WAY_OUT: &str = "send a JSON array of CloudEvents";
    let text =
        std::str::from_utf8(bytes).map_err(|_| FieldError::new("", "is not UTF-8", WAY_OUT))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let batch = deserializer
        .deserialize_seq(BatchVisitor { max_events })
        .and_then(|batch| deserializer.end().map(|()| batch));
    let (events, count) = batch
        .map_err(|error| FieldError::new("", format!("is not a JSON array: {error}"), WAY_OUT))?;
    if count > max_events {
        return Err(FieldError::new(
            "",
            format!("has {count} events, more than {max_events}"),
            "send smaller batches",
        ));
    }
    Ok(events)
}

/// The event with a `tenantid`, so that whoever reads it from the log needs no API key. An event that has one, or is
/// none at all, stays as it is.
pub fn inject_tenant(raw: &[u8], tenant: &TenantId) -> Vec<u8> {
    let lacks_tenant = Envelope::read(raw)
        .is_ok_and(|envelope| envelope.values[Name::TenantId as usize].is_none());
    let open = raw.iter().position(|byte| *byte == b'{');
    let (true, Some(open)) = (lacks_tenant, open) else {
        return raw.to_vec();
    };
    let (head, rest) = raw.split_at(open + 1);
    let is_empty = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
    let separator = if is_empty { "" } else { "," };
    // A tenant's id has no character that JSON escapes.
    [
        head,
        format!("\"tenantid\":\"{tenant}\"{separator}").as_bytes(),
        rest,
    ]
    .concat()
}

/// The members of the event's object, not yet decoded.
struct Envelope<'a> {
    values: [Option<&'a RawValue>; NAME_COUNT],
    data: Option<&'a RawValue>,
    has_base64: bool,
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, FieldError> {
        const WAY_OUT: &str = "send one CloudEvent as a JSON object in UTF-8, each member once";
        let text =
            std::str::from_utf8(bytes).map_err(|_| FieldError::new("", "is not UTF-8", WAY_OUT))?;
        serde_json::from_str(text)
            .map_err(|error| FieldError::new("", format!("is not a JSON event: {error}"), WAY_OUT))
    }

    fn attributes(&self) -> Result<Attributes<'a>, FieldError> {
        let mut attributes = Attributes {
            binding: Binding::Structured,
            values: Default::default(),
        };
        for name in Name::ALL {
            // In the JSON format of CloudEvents null is the same as absent.
            let Some(raw) = self.values[name as usize].filter(|raw| raw.get() != "null") else {
                continue;
            };
            let text = decode_text(raw).map_err(|reason| {
                FieldError::new(Binding::Structured.field(name), reason, "send it as a text")
            })?;
            attributes.values[name as usize] = Some(text);
        }
        Ok(attributes)
    }
}

enum Member {
    Attribute(Name),
    Data,
    DataBase64,
    Other,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemberVisitor;
        impl Visitor<'_> for MemberVisitor {
            type Value = Member;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Member, E> {
                Ok(match text {
                    "data" => Member::Data,
                    "data_base64" => Member::DataBase64,
                    text => Name::parse(text).map_or(Member::Other, Member::Attribute),
                })
            }
        }
        deserializer.deserialize_str(MemberVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope {
            values: [None; NAME_COUNT],
            data: None,
            has_base64: false,
        };
        while let Some(member) = map.next_key()? {
            let slot = match member {
                Member::Attribute(name) => &mut envelope.values[name as usize],
                Member::Data => &mut envelope.data,
                Member::DataBase64 => {
                    envelope.has_base64 = map.next_value::<&RawValue>()?.get() != "null";
                    continue;
                }
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("a member occurs twice"));
            }
        }
        Ok(envelope)
    }
}

/// Keeps the first `max_events` and counts the rest, so that memory stays bounded.
struct BatchVisitor {
    max_events: usize,
}

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while events.len() < self.max_events {
            match seq.next_element()? {
                Some(event) => events.push(event),
                None => return Ok((events, 0)),
            }
        }
        let mut count = events.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((events, count))
    }
}
