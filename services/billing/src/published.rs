//! `talea.billing.v1`: what becomes of invoices, for whoever reminds, books or serves. Each record is a CloudEvent 1.0 in
//! structured JSON, made from a decision in the journal; its id is the decision's position, so that repetition can be told.

use crate::context::Context;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use talea_domain::id::{InvoiceId, TenantId};
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::TenantScope;
use talea_platform::journal::Recorded;
use talea_platform::log::{NewRecord, topic};
use talea_platform::outbox;
use talea_platform::worker::Outcome;

/// The name of the outbox's cursor.
const NAME: &str = "billing";
/// Who says it: the `source` attribute.
const SOURCE: &str = "/talea/billing";

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    #[serde(rename = "type")]
    kind: String,
    subject: &'a str,
    time: DateTime<Utc>,
    datacontenttype: &'static str,
    tenantid: &'a str,
    data: Value,
}

/// One pass: publishes recorded decisions about invoices.
pub async fn publish(context: Arc<Context>) -> anyhow::Result<Outcome> {
    let platform = &context.platform;
    let passed =
        outbox::publish(&platform.databases.worker, platform.log.as_ref(), NAME, topic::BILLING, to_record).await?;
    Ok(if passed > 0 { Outcome::Again } else { Outcome::Idle })
}

fn to_record(recorded: &Recorded) -> Option<NewRecord> {
    let said = Said::of(&recorded.event, &recorded.tenant)?;
    let envelope = Envelope {
        specversion: "1.0",
        id: format!("journal-{}", recorded.position),
        source: SOURCE,
        kind: format!("talea.billing.{}.v1", said.kind),
        subject: said.subject,
        time: recorded.recorded_at,
        datacontenttype: "application/json",
        tenantid: said.tenant,
        data: said.data,
    };
    let value = serde_json::to_vec(&envelope)
        .inspect_err(|error| tracing::error!(journal.position = recorded.position, %error, "billing.unpublishable"))
        .ok()?;
    Some(NewRecord {
        key: Bytes::copy_from_slice(said.tenant.as_bytes()),
        value: value.into(),
        headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/cloudevents+json; charset=UTF-8"))],
    })
}

struct Said<'a> {
    kind: &'static str,
    tenant: &'a str,
    /// The invoice, or the wallet.
    subject: &'a str,
    data: Value,
}

impl<'a> Said<'a> {
    fn of(event: &'a JournalEvent, tenant: &'a TenantScope) -> Option<Self> {
        let said = |kind, tenant: &'a TenantId, invoice: &'a InvoiceId, data| {
            Some(Self { kind, tenant: tenant.as_str(), subject: invoice.as_str(), data })
        };
        match event {
            JournalEvent::DunningStepReached(it) => {
                let data = json!({
                    "event": "dunning.step_reached", "tenant_id": it.tenant_id, "invoice_id": it.invoice_id,
                    "step": it.step, "action": it.action, "after_days": it.after_days, "due_date": it.due_date,
                    "open": it.open, "reached_at": it.reached_at,
                });
                let data = with(data, "round", (it.round > 0).then_some(it.round));
                said("dunning_step_reached", &it.tenant_id, &it.invoice_id, data)
            }
            JournalEvent::PaymentRecorded(it) => {
                let data = json!({
                    "event": "payment.recorded", "tenant_id": it.tenant_id, "invoice_id": it.invoice_id,
                    "reference": it.reference, "source": it.source, "amount": it.amount, "applied": it.applied,
                    "credit_change": it.credit_change, "received_at": it.received_at,
                });
                said("payment_recorded", &it.tenant_id, &it.invoice_id, data)
            }
            JournalEvent::PaymentReversed(it) => {
                let data = json!({
                    "event": "payment.reversed", "tenant_id": it.tenant_id, "invoice_id": it.invoice_id,
                    "reference": it.reference, "amount": it.amount, "reopened": it.reopened,
                    "credit_change": it.credit_change, "reason": it.reason,
                });
                said("payment_reversed", &it.tenant_id, &it.invoice_id, data)
            }
            JournalEvent::InvoiceVoided(it) => {
                let data = json!({
                    "event": "invoice.voided", "tenant_id": it.tenant_id, "invoice_id": it.invoice_id, "reason": it.reason,
                });
                let data = with(data, "reissue", it.reissue);
                let data = with(data, "prepaid_returned", it.prepaid_returned);
                said("invoice_voided", &it.tenant_id, &it.invoice_id, data)
            }
            JournalEvent::MarkedUncollectible(it) => {
                let data = json!({
                    "event": "invoice.uncollectible", "tenant_id": it.tenant_id, "invoice_id": it.invoice_id,
                    "amount": it.amount, "reason": it.reason,
                });
                said("invoice_uncollectible", &it.tenant_id, &it.invoice_id, data)
            }
            JournalEvent::CreditNoteIssued(it) => {
                let data = json!({
                    "event": "credit_note.issued", "tenant_id": it.tenant, "invoice_id": it.invoice,
                    "credit_note_id": it.id, "number": it.number, "total": it.total, "reduces_open": it.reduces_open,
                    "credit_owed": it.credit_owed,
                });
                let data = with(data, "prepaid_returned", it.prepaid_returned);
                said("credit_note_issued", &it.tenant, &it.invoice, data)
            }
            // An order to the outside: whoever takes the money answers it with a grant.
            JournalEvent::CreditTopUpOrdered(it) => {
                let data = json!({
                    "event": "credit.top_up_ordered", "tenant_id": tenant.as_str(), "wallet_id": it.wallet, "order_id": it.id,
                    "amount": it.amount, "ordered_at": it.ordered_at,
                });
                Some(Self { kind: "credit_top_up_ordered", tenant: tenant.as_str(), subject: it.wallet.as_str(), data })
            }
            _ => None,
        }
    }
}

/// Data with one member more, where there is one.
fn with(mut data: Value, name: &str, value: Option<impl Serialize>) -> Value {
    if let (Some(members), Some(value)) = (data.as_object_mut(), value) {
        members.insert(name.to_owned(), json!(value));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of record, from the journal's golden payloads.
    #[test]
    fn each_decision_is_published_as_every_stored_version_says() {
        let stored = |name: &str| {
            let path = format!("{}/../../schemas/golden/journal/{name}.json", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).expect("a golden payload")
        };
        let names = [
            "dunning.step_reached.v1",
            "invoice.payment_recorded.v1",
            "invoice.payment_reversed.v1",
            "invoice.voided.v1",
            "invoice.marked_uncollectible.v1",
            "credit_note.issued.v1",
            "credit.top_up_ordered.v1",
        ];
        let said: Vec<Value> = (1..)
            .zip(names)
            .map(|(position, name)| {
                let event = JournalEvent::decode(name, &stored(name)).expect("is read");
                let recorded = Recorded {
                    position,
                    tenant: TenantScope::parse("acme").expect("a tenant"),
                    stream: event.stream().to_string(),
                    version: 1,
                    payload: event.payload().expect("encodes"),
                    event,
                    effective_at: DateTime::UNIX_EPOCH,
                    recorded_at: DateTime::UNIX_EPOCH,
                    actor: "test".into(),
                    idempotency_key: None,
                };
                serde_json::from_slice(&to_record(&recorded).expect("is published").value).expect("is JSON")
            })
            .collect();
        let path = format!("{}/../../schemas/golden/billing-event.v1.json", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("TALEA_UPDATE_GOLDEN").is_some() {
            let text = serde_json::to_string_pretty(&said).expect("JSON") + "\n";
            std::fs::write(&path, text).expect("the file is written");
        }
        let golden: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(path).expect("the golden file")).expect("is JSON");
        assert_eq!(said, golden);
    }
}
