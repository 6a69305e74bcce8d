//! One event or void in, either a record for the log or the reason why it can never be one. Unknown tenants and times outside the
//! window are judged later, in metering, against the time at which the log took the record.

use crate::attributes;
use bytes::Bytes;
use talea_domain::error::FieldError;
use talea_domain::event::{EventLimits, Submission};
use talea_domain::id::TenantId;
use talea_platform::log::{BACKFILL_HEADER, NewRecord};

const CONTENT_TYPE_HEADER: &str = "content-type";
const STRUCTURED: Bytes = Bytes::from_static(b"application/cloudevents+json");
const YES: Bytes = Bytes::from_static(b"1");

/// What an event of this request is judged by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The tenant of the API key; none for a key that may send for every tenant.
    pub key_tenant: Option<TenantId>,
    pub limits: EventLimits,
    pub backfill: bool,
}

/// An event that the log may take.
#[derive(Debug)]
pub struct Ready {
    pub tenant: TenantId,
    pub source: String,
    pub id: String,
    pub record: NewRecord,
}

/// An event that it may not.
#[derive(Debug)]
pub struct Faulty {
    pub id: Option<String>,
    pub source: Option<String>,
    pub error: FieldError,
}

pub fn judge(text: &Bytes, rules: &Rules) -> Result<Ready, Faulty> {
    let event = Submission::parse_structured(text, rules.key_tenant.as_ref(), &rules.limits).map_err(|error| {
        let (id, source) = attributes::names(text);
        Faulty { id, source, error }
    })?;
    let (source, id) = event.name();
    let (source, id) = (source.to_owned(), id.to_owned());
    let value = match &rules.key_tenant {
        Some(tenant) => attributes::with_tenant(text, tenant),
        None => text.clone(),
    };
    if value.len() > rules.limits.max_event_bytes {
        return Err(Faulty { id: Some(id), source: Some(source), error: too_large(rules) });
    }
    let mut headers = vec![(CONTENT_TYPE_HEADER.to_owned(), STRUCTURED)];
    if rules.backfill {
        headers.push((BACKFILL_HEADER.to_owned(), YES));
    }
    // A void lies where the event is that it voids.
    let key = Bytes::copy_from_slice(&event.subject_identity().0.to_be_bytes());
    Ok(Ready { tenant: event.tenant().clone(), source, id, record: NewRecord { key, value, headers } })
}

/// With its tenant written in, the event is larger than it came; metering would refuse what ingest accepted.
fn too_large(rules: &Rules) -> FieldError {
    let limit = rules.limits.max_event_bytes;
    FieldError::new("", format!("has more than {limit} bytes with its tenant"), "send less data in one event")
}

#[cfg(test)]
mod tests {
    use super::*;
    use talea_domain::event::{UsageEvent, identity_of};

    const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/api","type":"api.call","time":"2026-10-01T00:00:00Z","data":{"n":1}}"#;

    fn rules(key_tenant: Option<&str>, backfill: bool) -> Rules {
        let key_tenant = key_tenant.map(|name| TenantId::parse(name).expect("a key"));
        Rules { key_tenant, limits: EventLimits::default(), backfill }
    }

    #[test]
    fn a_record_stands_on_its_own() {
        let acme = TenantId::parse("acme").expect("a key");
        let ready = judge(&Bytes::from_static(EVENT.as_bytes()), &rules(Some("acme"), false)).expect("valid");
        assert_eq!(ready.record.key.as_ref(), identity_of(&acme, "/api", "1").0.to_be_bytes());
        let reread = UsageEvent::parse_structured(&ready.record.value, None, &EventLimits::default()).expect("valid");
        assert_eq!((reread.tenant, reread.identity), (acme.clone(), identity_of(&acme, "/api", "1")));
        assert_eq!(ready.record.headers, [("content-type".to_owned(), STRUCTURED)]);
    }

    #[test]
    fn an_event_that_its_tenant_makes_too_large_is_refused_here_and_not_later() {
        let exact = Rules {
            limits: EventLimits { max_event_bytes: EVENT.len(), ..EventLimits::default() },
            ..rules(Some("acme"), false)
        };
        let faulty = judge(&Bytes::from_static(EVENT.as_bytes()), &exact).expect_err("refused");
        assert!(faulty.error.reason.contains("with its tenant"));
    }

    #[test]
    fn only_a_backfill_says_so() {
        let ready = judge(&Bytes::from_static(EVENT.as_bytes()), &rules(Some("acme"), true)).expect("valid");
        assert_eq!(ready.record.headers[1], (BACKFILL_HEADER.to_owned(), YES));
    }

    #[test]
    fn an_event_of_another_tenant_is_refused_to_a_bound_key() {
        let other = EVENT.replacen('{', r#"{"tenantid":"other","#, 1);
        let faulty = judge(&other.clone().into(), &rules(Some("acme"), false)).expect_err("refused");
        assert_eq!(faulty.id.as_deref(), Some("1"));
        assert!(judge(&other.into(), &rules(None, false)).is_ok());
    }

    #[test]
    fn an_event_without_tenant_needs_a_bound_key() {
        assert!(judge(&Bytes::from_static(EVENT.as_bytes()), &rules(None, false)).is_err());
    }
}
