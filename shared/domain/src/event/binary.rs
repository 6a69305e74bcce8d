//! CloudEvents in Kafka's binary mode (the Kafka protocol binding, section 3.2): attributes as headers, `data` as the
//! record's value. Direct producers are equals of the HTTP interface.

use super::attributes::{Attributes, Binding, Name};
use super::structured::too_large;
use super::{EventLimits, UsageEvent};
use crate::error::FieldError;
use crate::id::TenantId;
use serde_json::value::RawValue;
use std::borrow::Cow;

impl UsageEvent {
    /// Reads an event in binary mode. `attributes` are the record's `ce_` headers without that prefix; `content_type`
    /// is that of `data`, empty when there is none; empty `data` is absent data. The error's field is a header's name,
    /// or a JSON pointer that starts with `/data`.
    pub fn from_attributes(
        attributes: &[(String, String)],
        content_type: &str,
        data: &[u8],
        key_tenant: Option<&TenantId>,
        limits: &EventLimits,
    ) -> Result<Self, FieldError> {
        parse(attributes, content_type, data, limits, |attributes, data| attributes.event(data, key_tenant, limits))
    }
}

/// Reads attributes and `data`, and makes of them what `make` does.
pub(super) fn parse<T>(
    attributes: &[(String, String)],
    content_type: &str,
    data: &[u8],
    limits: &EventLimits,
    make: impl FnOnce(Attributes<'_>, Option<&RawValue>) -> Result<T, FieldError>,
) -> Result<T, FieldError> {
    let attribute_bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    if attribute_bytes + data.len() > limits.max_event_bytes {
        return Err(too_large(limits));
    }
    let mut read = Attributes { binding: Binding::Binary, values: Default::default() };
    for (name, value) in attributes {
        // The content type of the record stands for `datacontenttype`, which is no header in this mode.
        let Some(name) = Name::parse(name).filter(|name| *name != Name::DataContentType) else {
            continue;
        };
        if read.values[name as usize].replace(Cow::Borrowed(value)).is_some() {
            return Err(FieldError::new(Binding::Binary.field(name), "occurs twice", "send each attribute once"));
        }
    }
    if !content_type.is_empty() {
        read.values[Name::DataContentType as usize] = Some(Cow::Borrowed(content_type));
    }
    let data = if data.is_empty() { None } else { Some(read_json(data)?) };
    make(read, data)
}

fn read_json(data: &[u8]) -> Result<&RawValue, FieldError> {
    serde_json::from_slice(data).map_err(|error| {
        FieldError::new("/data", format!("is not JSON: {error}"), "send a JSON object in UTF-8 as the record's value")
    })
}
