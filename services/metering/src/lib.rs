//! Metering: from the usage log to ClickHouse, each event counted exactly once, and the questions about usage.
//!
//! Follow a record: [`consumer`] hands it to the owner of its [`partition`], which [`decode`]s it, looks its identity up
//! behind the [`filter`], judges it ([`verdict`]), writes the block and commits. Around that: [`buckets`] (rollups),
//! [`totals`] (live totals for quota), [`lag`] (how far behind), [`api`].

mod api;
mod buckets;
mod committer;
mod consumer;
mod context;
mod decode;
mod filter;
mod lag;
mod partition;
mod totals;
mod verdict;
mod vitals;

pub use context::GROUP;

use context::{Context, Settings};
use std::sync::Arc;
use std::time::Duration;
use talea_platform::runtime::Platform;
use talea_platform::worker::{Outcome, Worker};
use tokio::sync::Notify;
use utoipa_axum::router::OpenApiRouter;

/// The metering role of one process.
#[derive(Clone)]
pub struct Metering(Arc<Context>);

impl Metering {
    pub async fn new(platform: Platform) -> anyhow::Result<Self> {
        let settings = Settings::new(&platform.config);
        let totals = totals::TotalsPublisher::default();
        totals.refresh(&platform).await?;
        Ok(Self(Arc::new(Context { platform, settings, totals, buckets_changed: Arc::new(Notify::new()) })))
    }

    pub fn routes(&self) -> OpenApiRouter {
        api::routes(self.0.clone())
    }

    /// Consumes the usage log until the process stops.
    pub async fn consume(self) {
        consumer::run(self.0).await;
    }

    pub fn workers(&self) -> Vec<Worker> {
        let coalesce = Duration::from_millis(self.0.platform.config.quota.coalesce_milliseconds);
        let (buckets, totals, limits, lag) = (self.0.clone(), self.0.clone(), self.0.clone(), self.0.clone());
        vec![
            Worker::new("metering.buckets", Duration::from_secs(5), move || buckets::pass(buckets.clone()))
                .woken_by(self.0.buckets_changed.clone()),
            Worker::new("metering.totals", Duration::from_secs(1), move || {
                let context = totals.clone();
                async move {
                    let outcome = context.totals.publish(&context.platform).await?;
                    tokio::time::sleep(coalesce).await;
                    Ok(outcome)
                }
            })
            .woken_by(self.0.totals.changed.clone()),
            Worker::new("metering.limited_meters", Duration::from_secs(2), move || {
                let context = limits.clone();
                async move { context.totals.refresh(&context.platform).await.map(|()| Outcome::Idle) }
            }),
            Worker::new("metering.lag", Duration::from_secs(1), move || lag::pass(lag.clone())),
        ]
    }
}
