use super::*;
use talea_domain::id::InvoiceId;
use talea_domain::journal::TenantStateDesired;
use talea_domain::tenant::{Tenant, TenantScope};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn acme() -> TenantId {
    TenantId::parse("acme").expect("a key")
}

fn published(position: i64, event: JournalEvent) -> Option<serde_json::Value> {
    let recorded = Recorded {
        position,
        tenant: TenantScope::from(&acme()),
        stream: event.stream().to_string(),
        version: 1,
        payload: event.payload().expect("encodes"),
        event,
        effective_at: at("2026-10-05T10:00:00Z"),
        recorded_at: at("2026-10-05T10:00:00Z"),
        actor: "test".into(),
        idempotency_key: None,
    };
    let record = to_record(&recorded)?;
    assert_eq!(record.key, acme().as_str());
    Some(serde_json::from_slice(&record.value).expect("is JSON"))
}

fn desired(state: TenantState, cause: StateCause) -> JournalEvent {
    JournalEvent::TenantStateDesired(TenantStateDesired {
        tenant_id: acme(),
        state,
        cause,
        at: at("2026-10-05T10:00:00Z"),
    })
}

fn signal() -> Signal {
    let golden = include_bytes!("../../../../schemas/golden/quota-signal.v1.json");
    Signal::from_cloud_event(golden).expect("a signal")
}

#[test]
fn each_decision_about_a_tenant_is_published_as_every_stored_version_says() {
    let created = Tenant {
        tenant_id: acme(),
        zone: chrono_tz::Tz::Europe__Berlin,
        party_version: 1,
        created_at: at("2026-10-05T10:00:00Z"),
    };
    let by_quota = StateCause::Quota { signal_id: "sig_1".into() };
    let invoice_id = InvoiceId::parse("inv_00000000000000000000000001").expect("a key");
    let by_dunning = StateCause::Dunning { invoice_id };
    let said: Vec<_> = [
        JournalEvent::TenantCreated(created),
        desired(TenantState::Suspended, by_quota),
        desired(TenantState::Active, StateCause::Requested),
        JournalEvent::QuotaSignalled(signal()),
        desired(TenantState::Suspended, by_dunning),
    ]
    .into_iter()
    .zip(1..)
    .map(|(event, position)| published(position, event).expect("is published"))
    .collect();
    let golden = include_str!("../../../../schemas/golden/tenant-lifecycle.v1.json");
    let golden: Vec<serde_json::Value> = serde_json::from_str(golden).expect("is JSON");
    assert_eq!(said, golden);
}

#[test]
fn other_decisions_are_not_published_here() {
    let topic = talea_domain::journal::TopicCreated { topic: "t".into(), partitions: 1 };
    assert_eq!(published(1, JournalEvent::TopicCreated(topic)), None);
}
