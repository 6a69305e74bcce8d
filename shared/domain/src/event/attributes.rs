//! The attributes of a CloudEvent, whatever binding brought them: what must be there, how long it may be, and the event
//! that they make together with `data`.

use super::data::read_data;
use super::time::parse_time;
use super::{EventLimits, UsageEvent, hash_128, identity_of};
use crate::error::FieldError;
use crate::id::TenantId;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The type of a void.
pub const EVENT_VOIDED: &str = "talea.event.voided.v1";
/// Types that begin so are Talea's own: no usage may have one.
const RESERVED_TYPES: &str = "talea.event.";

/// The attributes that are read. Others are allowed and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    SpecVersion,
    Id,
    Source,
    Type,
    Time,
    Subject,
    TenantId,
    DataContentType,
}

pub(super) const NAME_COUNT: usize = Name::ALL.len();

impl Name {
    pub(super) const ALL: [Self; 8] = [
        Self::SpecVersion,
        Self::Id,
        Self::Source,
        Self::Type,
        Self::Time,
        Self::Subject,
        Self::TenantId,
        Self::DataContentType,
    ];

    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "specversion" => Self::SpecVersion,
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            "time" => Self::Time,
            "subject" => Self::Subject,
            "tenantid" => Self::TenantId,
            "datacontenttype" => Self::DataContentType,
            _ => return None,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::SpecVersion => "specversion",
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Time => "time",
            Self::Subject => "subject",
            Self::TenantId => "tenantid",
            Self::DataContentType => "datacontenttype",
        }
    }
}

/// Where the attributes stand, which decides how an error names them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Binding {
    /// Members of one JSON object.
    Structured,
    /// Headers of a Kafka record.
    Binary,
}

impl Binding {
    pub(super) fn field(self, name: Name) -> String {
        match (self, name) {
            (Self::Structured, name) => format!("/{}", name.as_str()),
            (Self::Binary, Name::DataContentType) => "content-type".to_owned(),
            (Self::Binary, name) => format!("ce_{}", name.as_str()),
        }
    }
}

pub(super) struct Attributes<'a> {
    pub(super) binding: Binding,
    pub(super) values: [Option<Cow<'a, str>>; NAME_COUNT],
}

impl Attributes<'_> {
    pub(super) fn event(
        mut self,
        data: Option<&RawValue>,
        key_tenant: Option<&TenantId>,
        limits: &EventLimits,
    ) -> Result<UsageEvent, FieldError> {
        self.check_version()?;
        let tenant = self.tenant(key_tenant)?;
        let source = self.required(Name::Source, limits.max_source_bytes, "events.max_source_bytes")?;
        let id = self.required(Name::Id, limits.max_id_bytes, "events.max_id_bytes")?;
        let event_type = self.required(Name::Type, limits.max_type_bytes, "events.max_type_bytes")?;
        if event_type.starts_with(RESERVED_TYPES) {
            let way_out = format!("name the type of usage otherwise; \"{EVENT_VOIDED}\" voids an event");
            return Err(FieldError::new(self.binding.field(Name::Type), "is a type of Talea's own", way_out));
        }
        let subject = self.optional(Name::Subject, limits.max_subject_bytes, "events.max_subject_bytes")?;
        let time = parse_time(&self.binding.field(Name::Time), self.time()?)?;
        self.check_content_type()?;
        let data = read_data(data, limits)?;
        let (presence, subject_bytes): (&[u8], &[u8]) = match &subject {
            Some(subject) => (&[1], subject.as_bytes()),
            None => (&[0], &[]),
        };
        Ok(UsageEvent {
            identity: identity_of(&tenant, &source, &id),
            body_hash: hash_128(&[event_type.as_bytes(), presence, subject_bytes, data.canonical.as_bytes()]),
            tenant,
            source,
            id,
            event_type,
            subject,
            time,
            numbers: data.numbers,
            texts: data.texts,
            unreadable: data.unreadable,
        })
    }

    fn time(&self) -> Result<&str, FieldError> {
        self.values[Name::Time as usize].as_deref().ok_or_else(|| {
            let way_out = "send when it happened, in RFC 3339 with a zone";
            FieldError::new(self.binding.field(Name::Time), "is missing", way_out)
        })
    }

    pub(super) fn check_version(&self) -> Result<(), FieldError> {
        match self.values[Name::SpecVersion as usize].as_deref() {
            Some("1.0") => Ok(()),
            Some(_) => {
                Err(FieldError::new(self.binding.field(Name::SpecVersion), "is not a known version", "send \"1.0\""))
            }
            None => Err(FieldError::new(
                self.binding.field(Name::SpecVersion),
                "is missing",
                "send CloudEvents 1.0, with specversion \"1.0\"",
            )),
        }
    }

    pub(super) fn tenant(&self, key_tenant: Option<&TenantId>) -> Result<TenantId, FieldError> {
        let field = || self.binding.field(Name::TenantId);
        match (self.values[Name::TenantId as usize].as_deref(), key_tenant) {
            (None, Some(bound)) => Ok(bound.clone()),
            (None, None) => {
                Err(FieldError::new(field(), "is missing", "name the tenant, or use an API key that is bound to it"))
            }
            (Some(text), Some(bound)) if text == bound.as_str() => Ok(bound.clone()),
            (Some(_), Some(_)) => Err(FieldError::new(
                field(),
                "is not the tenant of the API key",
                "leave it out, or use a key of that tenant",
            )),
            (Some(text), None) => TenantId::parse(text).map_err(|error| FieldError { field: field(), ..error }),
        }
    }

    pub(super) fn required(&mut self, name: Name, max_bytes: usize, setting: &str) -> Result<String, FieldError> {
        self.optional(name, max_bytes, setting)?.ok_or_else(|| {
            FieldError::new(self.binding.field(name), "is missing", "send it as a text that is not empty")
        })
    }

    fn optional(&mut self, name: Name, max_bytes: usize, setting: &str) -> Result<Option<String>, FieldError> {
        let Some(text) = self.values[name as usize].take() else {
            return Ok(None);
        };
        let wrong = |reason: String, way_out: String| Err(FieldError::new(self.binding.field(name), reason, way_out));
        if text.is_empty() {
            return wrong("is empty".into(), "send a text that is not empty, or leave out what is optional".into());
        }
        if text.len() > max_bytes {
            return wrong(
                format!("has more than {max_bytes} bytes"),
                format!("send a shorter one, or raise the setting {setting}"),
            );
        }
        if text.chars().any(char::is_control) {
            return wrong(
                "has a control character".into(),
                "send printable text; CloudEvents forbids control characters".into(),
            );
        }
        Ok(Some(text.into_owned()))
    }

    pub(super) fn check_content_type(&self) -> Result<(), FieldError> {
        let Some(text) = self.values[Name::DataContentType as usize].as_deref() else {
            return Ok(());
        };
        let media_type = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if media_type == "application/json" || media_type == "text/json" || media_type.ends_with("+json") {
            return Ok(());
        }
        let way_out = "send data as JSON, with application/json or without a content type";
        Err(FieldError::new(self.binding.field(Name::DataContentType), "is not JSON", way_out))
    }
}
