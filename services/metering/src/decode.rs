//! From a record of the log to a usage event or a void, for both CloudEvents bindings: structured (the whole event is the value)
//! and binary (attributes in `ce_` headers, data in the value). Direct producers and our own ingest are equals here.

use bytes::Bytes;
use talea_domain::error::FieldError;
use talea_domain::event::{EventLimits, Submission};
use talea_platform::log::{BACKFILL_HEADER, LogRecord};

/// CloudEvents Kafka binding 1.0, section 3.2: attributes travel as headers of this prefix.
const BINARY_PREFIX: &str = "ce_";
const CONTENT_TYPE: &str = "content-type";

/// What a record carries, or what is wrong with it.
pub fn decode(record: &LogRecord, limits: &EventLimits) -> Result<Submission, FieldError> {
    let content_type = text(record, CONTENT_TYPE)?.unwrap_or_default();
    if content_type.starts_with("application/cloudevents") || header(record, "ce_specversion").is_none() {
        return Submission::parse_structured(&record.value, None, limits);
    }
    let mut attributes = Vec::with_capacity(record.headers.len());
    for (name, value) in &record.headers {
        if let Some(attribute) = name.strip_prefix(BINARY_PREFIX) {
            attributes.push((attribute.to_owned(), utf8(name, value)?.to_owned()));
        }
    }
    Submission::from_attributes(&attributes, content_type, &record.value, None, limits)
}

/// Whether ingest marked the record as part of a backfill.
pub fn is_backfill(record: &LogRecord) -> bool {
    header(record, BACKFILL_HEADER).is_some_and(|value| value.as_ref() == b"1")
}

fn header<'r>(record: &'r LogRecord, name: &str) -> Option<&'r Bytes> {
    record.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text<'r>(record: &'r LogRecord, name: &str) -> Result<Option<&'r str>, FieldError> {
    header(record, name).map(|value| utf8(name, value)).transpose()
}

fn utf8<'r>(name: &str, value: &'r Bytes) -> Result<&'r str, FieldError> {
    std::str::from_utf8(value).map_err(|_| FieldError::new(name, "is not UTF-8", "send header values as UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn record(headers: &[(&str, &str)], value: &str) -> LogRecord {
        LogRecord {
            partition: 0,
            offset: 0,
            appended_at: DateTime::from_timestamp(1_800_000_000, 0).expect("in range"),
            key: Bytes::new(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            headers: headers.iter().map(|(k, v)| ((*k).to_owned(), Bytes::copy_from_slice(v.as_bytes()))).collect(),
        }
    }

    #[test]
    fn both_bindings_give_the_same_event() {
        let structured = record(
            &[("content-type", "application/cloudevents+json; charset=utf-8")],
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2027-01-15T08:00:00Z","tenantid":"acme","subject":"u","data":{"tokens":5}}"#,
        );
        let binary = record(
            &[
                ("ce_specversion", "1.0"),
                ("ce_id", "1"),
                ("ce_source", "/s"),
                ("ce_type", "t"),
                ("ce_time", "2027-01-15T08:00:00Z"),
                ("ce_tenantid", "acme"),
                ("ce_subject", "u"),
                ("content-type", "application/json"),
            ],
            r#"{"tokens": 5.0}"#,
        );
        let limits = EventLimits::default();
        let read = |record| match decode(record, &limits).expect("valid") {
            Submission::Usage(event) => event,
            Submission::Void(void) => panic!("a void: {void:?}"),
        };
        let (one, other) = (read(&structured), read(&binary));
        assert_eq!((one.identity, one.body_hash, one.time), (other.identity, other.body_hash, other.time));
    }

    #[test]
    fn both_bindings_give_the_same_void() {
        let structured = record(
            &[("content-type", "application/cloudevents+json")],
            r#"{"specversion":"1.0","id":"v","source":"/ops","type":"talea.event.voided.v1","time":"2027-01-15T08:00:00Z","tenantid":"acme","data":{"source":"/s","id":"1","reason":"a test"}}"#,
        );
        let headers = [("specversion", "1.0"), ("id", "v"), ("source", "/ops"), ("type", "talea.event.voided.v1")];
        let headers = headers.map(|(name, value)| (format!("ce_{name}"), value));
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        headers.extend([("ce_time", "2027-01-15T08:00:00Z"), ("ce_tenantid", "acme")]);
        let binary = record(&headers, r#"{"id":"1","source":"/s","reason":"a test"}"#);
        let limits = EventLimits::default();
        let read = decode(&structured, &limits).expect("valid");
        assert_eq!(read, decode(&binary, &limits).expect("valid"));
        let acme = talea_domain::id::TenantId::parse("acme").expect("a key");
        assert_eq!(read.subject_identity(), talea_domain::event::identity_of(&acme, "/s", "1"));
    }

    #[test]
    fn garbage_is_an_error_that_names_a_field() {
        let limits = EventLimits::default();
        for (headers, value) in [(&[][..], "\u{0}\u{1}"), (&[("ce_specversion", "1.0")], "{}"), (&[], "[]"), (&[], "")]
        {
            let error = decode(&record(headers, value), &limits).expect_err("garbage");
            assert!(!error.reason.is_empty() && !error.way_out.is_empty());
        }
    }

    #[test]
    fn only_our_mark_makes_a_backfill() {
        assert!(is_backfill(&record(&[("talea-backfill", "1")], "")));
        assert!(!is_backfill(&record(&[("talea-backfill", "0")], "")));
        assert!(!is_backfill(&record(&[], "")));
    }
}
