//! `POST /v1/events/void`: takes counted events out of the count again, and amends them. A convenience over sending voids as
//! CloudEvents oneself: each becomes the same record, and lies in the same log.

use crate::handler::{RefusedRequest, count, respond};
use crate::judge::{Faulty, Ready, Rules, judge};
use crate::verdict::{EventVerdict, IngestResponse, VerdictCounts, VerdictStatus};
use crate::{Ingest, accept::Outcome, attributes};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::event::{EVENT_VOIDED, EventName, identity_of};
use talea_domain::id::TenantId;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Problem};

/// The source of the voids that are made here. Their ids are the identities of the events that they void, so that one that is sent
/// again is the same.
const SOURCE: &str = "/v1/events/void";

/// Which events are voided, each with its own verdict.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidRequest {
    events: Vec<VoidInput>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidInput {
    /// Whose event it is; may be left out with an API key that is bound to a tenant.
    tenant_id: Option<TenantId>,
    /// The event that is no longer counted, by the source and id it was sent with.
    source: String,
    id: String,
    /// Why; kept with the void.
    reason: String,
    /// The event that is counted instead, as a CloudEvent with an id of its own. A faulty one voids nothing.
    #[schema(value_type = Option<crate::handler::CloudEvent>)]
    replacement: Option<Box<RawValue>>,
}

/// Void or amend events.
///
/// A voided event is no longer counted: usage, limits and periods that are not billed yet go on without it, and a period that
/// is billed gets a correction. Its identity stays taken, so that sending it again counts nothing. `accepted` says that the void
/// is durable; `GET /v1/events` says whether it took effect, and a void of an event that is not counted becomes a dead letter. To send a
/// void again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/events/void",
    tag = "events",
    request_body = VoidRequest,
    responses(
        (status = 200, description = "At least one void was accepted; the verdicts say which", body = IngestResponse),
        (status = 400, description = "The body cannot be read, or every void was rejected (then with `summary` and `events`)",
            body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `ingest`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too many voids", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Nothing was accepted: a tenant's rate or the queue is used up; see Retry-After",
            body = RefusedRequest, content_type = "application/problem+json"),
        (status = 503, description = "Nothing was accepted: the log did not acknowledge; see Retry-After",
            body = RefusedRequest, content_type = "application/problem+json"),
    )
)]
pub async fn post_voids(
    State(ingest): State<Arc<Ingest>>,
    caller: Caller,
    Json(request): Json<VoidRequest>,
) -> Result<Response, Problem> {
    caller.require(Scope::Ingest)?;
    if request.events.len() > ingest.max_events {
        let most = ingest.max_events;
        return Err(Problem::too_large(format!("more than {most} voids; send them in several requests")));
    }
    let key_tenant = caller.bound_tenant().cloned();
    let rules = Rules { key_tenant, limits: ingest.event_limits.clone(), backfill: false };
    let (mut judged, mut sizes) = (Vec::new(), Vec::new());
    for input in &request.events {
        let records = records(input, &rules);
        sizes.push(records.len());
        judged.extend(records);
    }
    let outcome = gathered(ingest.accept(judged).await, &sizes, request.events);
    count(&outcome);
    respond(outcome)
}

/// The records of one void: the replacement first, then the void. One fault, wherever it is, and there is none.
fn records(input: &VoidInput, rules: &Rules) -> Vec<Result<Ready, Faulty>> {
    match ready(input, rules) {
        Ok(records) => records.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(Faulty { id: Some(input.id.clone()), source: Some(input.source.clone()), error })],
    }
}

fn ready(input: &VoidInput, rules: &Rules) -> Result<Vec<Ready>, FieldError> {
    let tenant = input.tenant_id.as_ref().or(rules.key_tenant.as_ref()).ok_or_else(|| {
        FieldError::new("/tenant_id", "is missing", "name the tenant, or use an API key that is bound to it")
    })?;
    let mut records = Vec::with_capacity(2);
    let mut replaced_by = None;
    if let Some(raw) = &input.replacement {
        let text = Bytes::copy_from_slice(raw.get().as_bytes());
        let below = |error: FieldError| FieldError { field: format!("/replacement{}", error.field), ..error };
        let replacement = judge(&text, rules).map_err(|faulty| below(faulty.error))?;
        if replacement.tenant != *tenant {
            let way_out = "let both be of one tenant";
            return Err(FieldError::new("/replacement/tenantid", "is another tenant than the voided event's", way_out));
        }
        if attributes::is_void(&text) {
            let way_out = "send the event that is to be counted instead";
            return Err(FieldError::new("/replacement/type", "is a void", way_out));
        }
        replaced_by = Some(EventName { source: replacement.source.clone(), id: replacement.id.clone() });
        records.push(replacement);
    }
    let mut data = serde_json::json!({ "source": input.source, "id": input.id, "reason": input.reason });
    if let Some(name) = replaced_by {
        data["replaced_by"] = serde_json::json!({ "source": name.source, "id": name.id });
    }
    let void = serde_json::json!({
        "specversion": "1.0", "id": identity_of(tenant, &input.source, &input.id).to_string(), "source": SOURCE,
        "type": EVENT_VOIDED, "tenantid": tenant, "data": data,
    });
    let void = judge(&void.to_string().into(), rules).map_err(|faulty| in_request(faulty.error))?;
    records.push(void);
    Ok(records)
}

/// A fault of the void that was made, told of the member of the request that it came from.
fn in_request(error: FieldError) -> FieldError {
    let field = match error.field.as_str() {
        "/tenantid" => "/tenant_id".to_owned(),
        field if field.starts_with("/data/replaced_by") => "/replacement/id".to_owned(),
        field => field.strip_prefix("/data").unwrap_or(field).to_owned(),
    };
    FieldError { field, ..error }
}

/// One verdict for the records of each void: what was not acknowledged whole is to be sent again whole.
fn gathered(outcome: Outcome, sizes: &[usize], inputs: Vec<VoidInput>) -> Outcome {
    let mut verdicts = outcome.response.events.into_iter();
    let mut response = IngestResponse { summary: VerdictCounts::default(), events: Vec::with_capacity(inputs.len()) };
    for (index, (size, input)) in sizes.iter().zip(inputs).enumerate() {
        let of_void: Vec<EventVerdict> = verdicts.by_ref().take(*size).collect();
        let worst = of_void.into_iter().max_by_key(|verdict| match verdict.status {
            VerdictStatus::Accepted => 0,
            VerdictStatus::Retry => 1,
            VerdictStatus::Rejected => 2,
        });
        let Some(worst) = worst else { continue };
        response.summary.count_status(worst.status);
        response.events.push(EventVerdict { index, id: Some(input.id), source: Some(input.source), ..worst });
    }
    Outcome { response, causes: outcome.causes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talea_domain::event::{EventLimits, Submission};

    fn read(input: &str, key_tenant: Option<&str>) -> Result<Vec<Submission>, (String, String)> {
        let input: VoidInput = serde_json::from_str(input).expect("a void");
        let key_tenant = key_tenant.map(|name| TenantId::parse(name).expect("a key"));
        let rules = Rules { key_tenant, limits: EventLimits::default(), backfill: false };
        let records = ready(&input, &rules).map_err(|error| (error.field, error.reason))?;
        let parse = |ready: Ready| {
            Submission::parse_structured(&ready.record.value, None, &rules.limits).expect("what ingest took")
        };
        Ok(records.into_iter().map(parse).collect())
    }

    #[test]
    fn a_void_and_an_amendment_become_records_that_stand_on_their_own() {
        let void = read(r#"{"source":"/api","id":"e","reason":"a test"}"#, Some("acme")).expect("valid");
        let [Submission::Void(void)] = &void[..] else { panic!("{void:?}") };
        assert_eq!((void.tenant.as_str(), void.voided.id.as_str(), void.reason.as_str()), ("acme", "e", "a test"));
        let amendment = r#"{"tenant_id":"acme","source":"/api","id":"e","reason":"a slip","replacement":
            {"specversion":"1.0","id":"e2","source":"/api","type":"t","time":"2026-10-01T00:00:00Z","tenantid":"acme","data":{"n":1.10}}}"#;
        let records = read(amendment, None).expect("valid");
        let [Submission::Usage(event), Submission::Void(void)] = &records[..] else { panic!("{records:?}") };
        assert_eq!(void.replaced_by, Some(EventName { source: event.source.clone(), id: event.id.clone() }));
    }

    #[test]
    fn a_fault_names_the_member_of_the_request() {
        let check = |input: &str, key_tenant, field: &str| {
            assert_eq!(read(input, key_tenant).expect_err("faulty").0, field, "{input}");
        };
        let event = |id: &str, tenant: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"/api","type":"t","time":"2026-10-01T00:00:00Z","tenantid":"{tenant}"}}"#
            )
        };
        let amended = |event: String| {
            format!(r#"{{"tenant_id":"acme","source":"/api","id":"e","reason":"x","replacement":{event}}}"#)
        };
        check(r#"{"source":"/api","id":"e","reason":"x"}"#, None, "/tenant_id");
        check(r#"{"source":"/api","id":"e","reason":" "}"#, Some("acme"), "/reason");
        check(r#"{"source":"/api","id":"","reason":"x"}"#, Some("acme"), "/id");
        check(r#"{"tenant_id":"other","source":"/api","id":"e","reason":"x"}"#, Some("acme"), "/tenant_id");
        check(&amended(event("e", "acme")), None, "/replacement/id");
        check(&amended(event("e2", "other")), None, "/replacement/tenantid");
        check(&amended("7".to_owned()), None, "/replacement");
    }
}
