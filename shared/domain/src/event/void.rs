//! The void of an event: a record of the usage log that takes an earlier event out of the count, because it should never have
//! been sent or said the wrong thing.
//!
//! A void is a CloudEvent of a type of our own, so that it travels, is judged and is kept like the event that it is about. It names
//! that event by source and id inside its own tenant, and lies in the same partition: the identity of the voided event is
//! the record's key. No tenant can so much as name another's event. An amendment is a void and a new event with an identity of its
//! own, which the void names as the replacement.

use super::attributes::{Attributes, EVENT_VOIDED, Name};
use super::{EventLimits, Identity, UsageEvent, identity_of};
use crate::error::FieldError;
use crate::id::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A reason is a sentence, not a report: bytes.
pub const MAX_REASON_BYTES: usize = 500;

/// What a record of the usage log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    Usage(UsageEvent),
    Void(EventVoid),
}

/// An event by its name; with the tenant it is its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventName {
    pub source: String,
    pub id: String,
}

/// A `time` may be there and means nothing: a void counts from its place in the log.
///
/// `{"type":"talea.event.voided.v1","source":"/ops","id":"v-1","data":{"source":"/api","id":"evt-7","reason":"sent by a test"}}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventVoid {
    pub tenant: TenantId,
    /// Its own name. What makes two voids one is the event that they void.
    pub source: String,
    pub id: String,
    pub voided: EventName,
    /// Why, for people.
    pub reason: String,
    /// The event that stands in its place, where it was amended.
    pub replaced_by: Option<EventName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VoidData {
    source: String,
    id: String,
    reason: String,
    #[serde(default)]
    replaced_by: Option<EventName>,
}

impl EventVoid {
    /// The identity of the event that is voided: the key of the record, and by it its partition.
    pub fn voided_identity(&self) -> Identity {
        identity_of(&self.tenant, &self.voided.source, &self.voided.id)
    }

    /// The identity of the void itself, by which its fate is told.
    pub fn identity(&self) -> Identity {
        identity_of(&self.tenant, &self.source, &self.id)
    }
}

impl Submission {
    /// Reads a record in structured JSON: [`UsageEvent::parse_structured`], or a void.
    ///
    /// # Errors
    /// The first fault; its field is a JSON pointer into the record.
    pub fn parse_structured(
        bytes: &[u8],
        key_tenant: Option<&TenantId>,
        limits: &EventLimits,
    ) -> Result<Self, FieldError> {
        super::structured::parse(bytes, limits, |attributes, data| attributes.submission(data, key_tenant, limits))
    }

    /// Reads a record in binary mode: [`UsageEvent::from_attributes`], or a void.
    ///
    /// # Errors
    /// The first fault; its field is a header's name, or a JSON pointer that starts with `/data`.
    pub fn from_attributes(
        attributes: &[(String, String)],
        content_type: &str,
        data: &[u8],
        key_tenant: Option<&TenantId>,
        limits: &EventLimits,
    ) -> Result<Self, FieldError> {
        super::binary::parse(attributes, content_type, data, limits, |attributes, data| {
            attributes.submission(data, key_tenant, limits)
        })
    }

    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Usage(event) => &event.tenant,
            Self::Void(void) => &void.tenant,
        }
    }

    /// What the record is about and where it belongs: the identity that it counts, or the one that it voids.
    pub fn subject_identity(&self) -> Identity {
        match self {
            Self::Usage(event) => event.identity,
            Self::Void(void) => void.voided_identity(),
        }
    }

    /// Its own identity.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Usage(event) => event.identity,
            Self::Void(void) => void.identity(),
        }
    }

    pub fn event_type(&self) -> &str {
        match self {
            Self::Usage(event) => &event.event_type,
            Self::Void(_) => EVENT_VOIDED,
        }
    }

    /// Its own source and id.
    pub fn name(&self) -> (&str, &str) {
        match self {
            Self::Usage(event) => (&event.source, &event.id),
            Self::Void(void) => (&void.source, &void.id),
        }
    }
}

impl Attributes<'_> {
    pub(super) fn submission(
        self,
        data: Option<&RawValue>,
        key_tenant: Option<&TenantId>,
        limits: &EventLimits,
    ) -> Result<Submission, FieldError> {
        if self.values[Name::Type as usize].as_deref() == Some(EVENT_VOIDED) {
            return self.void(data, key_tenant, limits).map(Submission::Void);
        }
        self.event(data, key_tenant, limits).map(Submission::Usage)
    }

    fn void(
        mut self,
        data: Option<&RawValue>,
        key_tenant: Option<&TenantId>,
        limits: &EventLimits,
    ) -> Result<EventVoid, FieldError> {
        self.check_version()?;
        let tenant = self.tenant(key_tenant)?;
        let source = self.required(Name::Source, limits.max_source_bytes, "events.max_source_bytes")?;
        let id = self.required(Name::Id, limits.max_id_bytes, "events.max_id_bytes")?;
        self.check_content_type()?;
        let data = read_void(data)?;
        let voided = EventName { source: data.source, id: data.id };
        check_name("/data", &voided, limits)?;
        check_text("/data/reason", &data.reason, MAX_REASON_BYTES)?;
        if let Some(replacement) = &data.replaced_by {
            check_name("/data/replaced_by", replacement, limits)?;
            if *replacement == voided {
                let reason = "is the event that is voided, whose identity never counts again";
                return Err(FieldError::new("/data/replaced_by", reason, "give the replacement an id of its own"));
            }
        }
        Ok(EventVoid { tenant, source, id, voided, reason: data.reason, replaced_by: data.replaced_by })
    }
}

fn read_void(data: Option<&RawValue>) -> Result<VoidData, FieldError> {
    const WAY_OUT: &str =
        "send {\"source\": …, \"id\": …, \"reason\": …} of the event to void, and replaced_by for an amendment";
    let data = data.ok_or_else(|| FieldError::new("/data", "is missing", WAY_OUT))?;
    serde_json::from_str(data.get())
        .map_err(|error| FieldError::new("/data", format!("does not say what is voided: {error}"), WAY_OUT))
}

fn check_name(at: &str, name: &EventName, limits: &EventLimits) -> Result<(), FieldError> {
    check_text(&format!("{at}/source"), &name.source, limits.max_source_bytes)?;
    check_text(&format!("{at}/id"), &name.id, limits.max_id_bytes)
}

fn check_text(field: &str, text: &str, max_bytes: usize) -> Result<(), FieldError> {
    let way_out = "send a printable text that is not empty";
    if text.trim().is_empty() {
        return Err(FieldError::new(field, "is empty", way_out));
    }
    if text.len() > max_bytes {
        return Err(FieldError::new(field, format!("has more than {max_bytes} bytes"), "send a shorter one"));
    }
    if text.chars().any(char::is_control) {
        return Err(FieldError::new(field, "has a control character", way_out));
    }
    Ok(())
}
