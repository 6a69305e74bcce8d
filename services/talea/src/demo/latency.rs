//! How long from an event's acknowledgement to the quota signal that it causes, as a customer sees it: one event at a
//! time over HTTP, and a consumer of the quota topic beside it.

use super::api::Api;
use super::catalogue::{self, API_REQUEST};
use super::journal::Journal;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use talea_platform::config::Config;
use talea_platform::log::{Consumer, Delivery, topic};
use talea_platform::runtime::Platform;

const GROUP: &str = "talea-demo-latency";
const PATIENCE: Duration = Duration::from_secs(20);

/// Milliseconds of each event, sorted. What was acknowledged is added to the sender's journal.
pub async fn measure(config: &Config, api: &Api, journal: &Path) -> anyhow::Result<Vec<u64>> {
    let mut journal = Journal::go_on(journal)?;
    let platform = Platform::connect(config.clone()).await?;
    let mut consumer = platform.log.subscribe(GROUP, topic::QUOTA).await?;
    let now = api.get("/v1/test-clock").await?["now"].clone();
    api.post("/v1/plans", &catalogue::probe_plan()).await?;
    let mut taken = Vec::new();
    for tenant in catalogue::PROBES {
        let body = json!({ "tenant_id": tenant, "name": "Probe", "zone": "UTC", "plan": "probe", "currency": "USD", "start_at": now });
        api.post("/v1/tenants", &body).await?;
        known(api, tenant).await?;
        for number in 0..catalogue::PROBE_EVENTS {
            let event = call(tenant, number, &now);
            let answer = api.post("/v1/events", &event).await?;
            let acknowledged = Instant::now();
            journal.verdict(&event, &answer["events"][0])?;
            wait_for_signal(consumer.as_mut(), tenant).await?;
            taken.push(u64::try_from(acknowledged.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
    }
    journal.flush()?;
    consumer.close().await;
    platform.databases.close().await;
    taken.sort_unstable();
    Ok(taken)
}

fn call(tenant: &str, event: usize, now: &Value) -> Value {
    json!({ "specversion": "1.0", "id": format!("probe-{event}"), "source": "//probe", "type": API_REQUEST, "time": now,
        "tenantid": tenant, "data": { "endpoint": "/probe", "region": "here" } })
}

/// Waits until the quota service knows the new tenant's limit.
async fn known(api: &Api, tenant: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    while let Err(error) = api.get(&format!("/v1/tenants/{tenant}/entitlements/api_calls")).await {
        if began.elapsed() > PATIENCE {
            return Err(error.context("the quota service does not know the new tenant"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn wait_for_signal(consumer: &mut dyn Consumer, tenant: &str) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let delivery = tokio::time::timeout_at(deadline, consumer.next()).await.context("no quota signal came")??;
        let Delivery::Records { records, .. } = delivery else { continue };
        for record in records {
            let signal: Value = serde_json::from_slice(&record.value).context("a quota signal that is no JSON")?;
            if signal["tenantid"].as_str().is_none() {
                bail!("a quota signal without a tenant: {signal}");
            }
            if signal["tenantid"] == tenant {
                return Ok(());
            }
        }
    }
}
