//! Consumes `talea.quota.v1` and `talea.billing.v1`: each record is a reason to look at its tenant. One that cannot be read is
//! counted, logged and passed over; it never stops the others.

use crate::reconcile::reconcile;
use crate::shared::Shared;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use talea_domain::entitlement::Signal;
use talea_domain::id::TenantId;
use talea_platform::health::Pulse;
use talea_platform::log::{Consumer, Delivery, LogError, LogRecord, topic};

/// The consumer group of provisioning.
pub const GROUP: &str = "talea-provisioning";

/// What is followed, and how a record names its tenant.
#[derive(Clone, Copy)]
struct Source {
    topic: &'static str,
    group: &'static str,
    /// Of its health check.
    name: &'static str,
    tenant: fn(&LogRecord) -> Option<TenantId>,
}

const QUOTA: Source = Source { topic: topic::QUOTA, group: GROUP, name: "provisioning", tenant: of_signal };
const BILLING: Source = Source {
    topic: topic::BILLING,
    group: "talea-provisioning-billing",
    name: "provisioning.billing",
    tenant: of_billing_event,
};
/// Without a delivery or a look for one for so long, the consumer is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// How often an idle consumer says that it is alive.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// The pause after an error of the log or the database.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Runs until the process stops; joins the group again whenever the log or the database fails.
pub async fn run(shared: Arc<Shared>) {
    tokio::join!(follow(shared.clone(), QUOTA), follow(shared, BILLING));
}

async fn follow(shared: Arc<Shared>, source: Source) {
    let pulse = Pulse::default();
    shared.platform.health.add(source.name, pulse.check(STUCK_AFTER));
    let stop = shared.platform.stop.clone();
    while !stop.is_cancelled() {
        if let Err(error) = consume(&shared, source, &pulse).await {
            tracing::warn!(error = format!("{error:#}"), "provisioning.consumer_failed");
            pulse.trouble(format!("{error:#}"));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    }
}

async fn consume(shared: &Arc<Shared>, source: Source, pulse: &Pulse) -> anyhow::Result<()> {
    let stop = shared.platform.stop.clone();
    let mut consumer = shared.platform.log.subscribe(source.group, source.topic).await?;
    let outcome = loop {
        let delivery = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            () = tokio::time::sleep(BEAT_EVERY) => {
                pulse.beat();
                continue;
            }
            delivery = consumer.next() => delivery,
        };
        let taken = match delivery {
            Ok(Delivery::Records { partition, records }) => {
                take(shared, source, consumer.as_mut(), partition, &records).await
            }
            Ok(Delivery::Assigned { .. } | Delivery::Revoked { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        };
        match taken {
            Ok(()) => pulse.beat(),
            Err(error) => break Err(error),
        }
    };
    consumer.close().await;
    outcome
}

async fn take(
    shared: &Shared,
    source: Source,
    consumer: &mut dyn Consumer,
    partition: u32,
    records: &[LogRecord],
) -> anyhow::Result<()> {
    let tenants: BTreeSet<TenantId> = records.iter().filter_map(source.tenant).collect();
    reconcile(shared, &tenants).await?;
    let Some(last) = records.last() else { return Ok(()) };
    match consumer.commit(partition, last.offset + 1).await {
        // Somebody else owns it now and will look at these tenants again, to no effect.
        Ok(()) | Err(LogError::Lost { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn of_billing_event(record: &LogRecord) -> Option<TenantId> {
    // Its key is the tenant.
    let key = std::str::from_utf8(&record.key).ok()?;
    TenantId::parse(key)
        .inspect_err(|error| {
            tracing::warn!(log.partition = record.partition, log.offset = record.offset, %error, "provisioning.event_unreadable");
        })
        .ok()
}

fn of_signal(record: &LogRecord) -> Option<TenantId> {
    Signal::from_cloud_event(&record.value)
        .map(|signal| signal.tenant_id)
        .inspect_err(|error| {
            metrics::counter!("talea_quota_signals_unreadable_total").increment(1);
            tracing::warn!(log.partition = record.partition, log.offset = record.offset, %error, "provisioning.signal_unreadable");
        })
        .ok()
}
