//! `talea.tenants.v1`: what happens to tenants, for whoever serves them. Each record is a CloudEvent 1.0 in structured
//! JSON, made from a decision in the journal; its id is the decision's position, so that repetition can be told.

use crate::shared::Shared;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::Arc;
use talea_domain::entitlement::Signal;
use talea_domain::id::TenantId;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::{StateCause, TenantState};
use talea_platform::journal::Recorded;
use talea_platform::log::{NewRecord, topic};
use talea_platform::outbox;
use talea_platform::worker::Outcome;

/// The name of the outbox's cursor.
const NAME: &str = "tenants";
/// Who says it: the `source` attribute.
const SOURCE: &str = "/talea/provisioning";

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    #[serde(rename = "type")]
    kind: String,
    subject: &'a TenantId,
    time: DateTime<Utc>,
    datacontenttype: &'static str,
    tenantid: &'a TenantId,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event")]
enum Data<'a> {
    /// The tenant can be served: its keys work and its usage is counted.
    #[serde(rename = "tenant.ready")]
    Ready { tenant_id: &'a TenantId, zone: &'static str },
    #[serde(rename = "tenant.suspended")]
    Suspended { tenant_id: &'a TenantId, cause: &'a StateCause },
    #[serde(rename = "tenant.resumed")]
    Resumed { tenant_id: &'a TenantId, cause: &'a StateCause },
    /// A quota signal concerns the tenant, whatever else follows from it.
    #[serde(rename = "tenant.notified")]
    Notified { tenant_id: &'a TenantId, signal: &'a Signal },
}

impl Data<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Ready { .. } => "ready",
            Self::Suspended { .. } => "suspended",
            Self::Resumed { .. } => "resumed",
            Self::Notified { .. } => "notified",
        }
    }
}

/// One pass: publishes recorded decisions about tenants.
pub async fn publish(shared: Arc<Shared>) -> anyhow::Result<Outcome> {
    let platform = &shared.platform;
    let passed =
        outbox::publish(&platform.databases.worker, platform.log.as_ref(), NAME, topic::TENANTS, to_record).await?;
    Ok(if passed > 0 { Outcome::Again } else { Outcome::Idle })
}

fn to_record(recorded: &Recorded) -> Option<NewRecord> {
    let (tenant, data) = data(&recorded.event)?;
    let envelope = Envelope {
        specversion: "1.0",
        id: format!("journal-{}", recorded.position),
        source: SOURCE,
        kind: format!("talea.tenant.{}.v1", data.name()),
        subject: tenant,
        time: recorded.recorded_at,
        datacontenttype: "application/json",
        tenantid: tenant,
        data,
    };
    let value = serde_json::to_vec(&envelope)
        .inspect_err(
            |error| tracing::error!(journal.position = recorded.position, %error, "provisioning.unpublishable"),
        )
        .ok()?;
    Some(NewRecord {
        key: Bytes::copy_from_slice(tenant.as_str().as_bytes()),
        value: value.into(),
        headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/cloudevents+json; charset=UTF-8"))],
    })
}

fn data(event: &JournalEvent) -> Option<(&TenantId, Data<'_>)> {
    match event {
        JournalEvent::TenantCreated(tenant) => {
            Some((&tenant.tenant_id, Data::Ready { tenant_id: &tenant.tenant_id, zone: tenant.zone.name() }))
        }
        JournalEvent::TenantStateDesired(desired) => {
            let (tenant_id, cause) = (&desired.tenant_id, &desired.cause);
            let data = match desired.state {
                TenantState::Suspended => Data::Suspended { tenant_id, cause },
                TenantState::Active => Data::Resumed { tenant_id, cause },
            };
            Some((tenant_id, data))
        }
        JournalEvent::QuotaSignalled(signal) => {
            Some((&signal.tenant_id, Data::Notified { tenant_id: &signal.tenant_id, signal }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
