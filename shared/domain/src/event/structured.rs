//! CloudEvents in structured JSON.
//!
//! Attributes are borrowed from the bytes; only `data` is taken apart further. A member that occurs twice is refused:
//! readers differ in which one they take, and then one event would have two identities.

use super::attributes::{Attributes, Binding, NAME_COUNT, Name};
use super::json::decode_text;
use super::{EventLimits, UsageEvent};
use crate::error::FieldError;
use crate::id::TenantId;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
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
        parse(bytes, limits, |attributes, data| attributes.event(data, key_tenant, limits))
    }
}

/// Reads attributes and `data`, and makes of them what `make` does.
pub(super) fn parse<T>(
    bytes: &[u8],
    limits: &EventLimits,
    make: impl FnOnce(Attributes<'_>, Option<&RawValue>) -> Result<T, FieldError>,
) -> Result<T, FieldError> {
    if bytes.len() > limits.max_event_bytes {
        return Err(too_large(limits));
    }
    let envelope = Envelope::read(bytes)?;
    if envelope.has_base64 {
        return Err(FieldError::new("/data_base64", "is not read", "send data as a JSON object"));
    }
    make(envelope.attributes()?, envelope.data)
}

pub(super) fn too_large(limits: &EventLimits) -> FieldError {
    FieldError::new(
        "",
        format!("has more than {} bytes", limits.max_event_bytes),
        "send less data, or raise the setting events.max_event_bytes",
    )
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
        let text = std::str::from_utf8(bytes).map_err(|_| FieldError::new("", "is not UTF-8", WAY_OUT))?;
        serde_json::from_str(text)
            .map_err(|error| FieldError::new("", format!("is not a JSON event: {error}"), WAY_OUT))
    }

    fn attributes(&self) -> Result<Attributes<'a>, FieldError> {
        let mut attributes = Attributes { binding: Binding::Structured, values: Default::default() };
        for name in Name::ALL {
            // In the JSON format of CloudEvents null is the same as absent.
            let Some(raw) = self.values[name as usize].filter(|raw| raw.get() != "null") else {
                continue;
            };
            let text = decode_text(raw)
                .map_err(|reason| FieldError::new(Binding::Structured.field(name), reason, "send it as a text"))?;
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
        let mut envelope = Envelope { values: [None; NAME_COUNT], data: None, has_base64: false };
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
