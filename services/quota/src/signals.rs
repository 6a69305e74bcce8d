//! Records the signals that are due in the journal and publishes them from there. What is due is computed anew in each
//! pass from what the book holds, so that a crash between deciding and recording loses nothing.

use crate::shared::Shared;
use bytes::Bytes;
use std::sync::Arc;
use talea_domain::entitlement::Signal;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::TenantScope;
use talea_platform::journal::{self, Decision, Recorded};
use talea_platform::log::{NewRecord, topic};
use talea_platform::outbox;
use talea_platform::worker::Outcome;

/// Signals of one append.
const BATCH: usize = 500;
/// The name of the outbox's cursor and of the actor in the journal.
const NAME: &str = "quota";

/// One pass: appends what is due, each signal once by its id.
pub async fn record(shared: Arc<Shared>) -> anyhow::Result<Outcome> {
    let due = shared.book_mut().due(BATCH);
    if due.is_empty() {
        return Ok(Outcome::Idle);
    }
    let now = shared.platform.clock.now();
    let decisions = due.iter().map(|signal| Decision {
        tenant: TenantScope::from(&signal.tenant_id),
        expected_version: None,
        event: JournalEvent::QuotaSignalled(signal.clone()),
        effective_at: signal.observed_at,
        recorded_at: now,
        actor: NAME.to_owned(),
        idempotency_key: Some(signal.id.clone()),
    });
    let mut tx = shared.platform.databases.worker.begin().await?;
    let appended = journal::append_new(&mut tx, decisions.collect()).await?;
    tx.commit().await?;
    shared.signals_recorded.notify_one();
    let recorded_at = shared.platform.clock.now();
    {
        // Also those that another instance had recorded.
        let mut book = shared.book_mut();
        due.iter().for_each(|signal| book.recorded(signal));
    }
    for recorded in &appended.recorded {
        if let JournalEvent::QuotaSignalled(signal) = &recorded.event {
            metrics::counter!("talea_quota_signals_total", "kind" => signal.kind.as_str()).increment(1);
            observe_latency(signal, recorded_at);
        }
    }
    Ok(if due.len() >= BATCH { Outcome::Again } else { Outcome::Idle })
}

/// From the log's append of the event that caused it to the signal in the journal.
fn observe_latency(signal: &Signal, recorded_at: chrono::DateTime<chrono::Utc>) {
    let latency = signal.event_time_of_cause.and_then(|cause| (recorded_at - cause).to_std().ok());
    if let Some(latency) = latency {
        metrics::histogram!("talea_quota_signal_seconds").record(latency);
    }
}

/// One pass: publishes recorded signals on the quota topic.
pub async fn publish(shared: Arc<Shared>) -> anyhow::Result<Outcome> {
    let platform = &shared.platform;
    let passed =
        outbox::publish(&platform.databases.worker, platform.log.as_ref(), NAME, topic::QUOTA, to_record).await?;
    Ok(if passed > 0 { Outcome::Again } else { Outcome::Idle })
}

fn to_record(recorded: &Recorded) -> Option<NewRecord> {
    let JournalEvent::QuotaSignalled(signal) = &recorded.event else { return None };
    let value = signal
        .cloud_event()
        .inspect_err(|error| tracing::error!(signal.id = %signal.id, %error, "quota.signal_unpublishable"))
        .ok()?;
    Some(NewRecord {
        key: Bytes::copy_from_slice(signal.tenant_id.as_str().as_bytes()),
        value: value.into(),
        headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/cloudevents+json; charset=UTF-8"))],
    })
}
