//! Billing: what is sold, who buys it, what is owed for it, and why.
//!
//! Follow an invoice: [`run`] finds the bill moments that are due, measures their usage up to a cut of the log (the
//! [`marks`] say when metering is far enough), assembles the documents with the domain's pure function and issues them in
//! bulk. [`api`] is the catalogue, the subscriptions and what finance reads; [`mod@print`] writes a document as CSV and HTML.

mod api;
mod catalogue;
mod context;
mod dunning;
mod marks;
mod plan_migration;
mod print;
mod published;
mod run;
mod turns;
mod what_if;

pub use run::{Refused, Summary, Trigger};

use chrono::{DateTime, Utc};
use context::Context;
use std::sync::Arc;
use std::time::Duration;
use talea_platform::runtime::Platform;
use talea_platform::worker::{Outcome, Worker};
use utoipa_axum::router::OpenApiRouter;

/// Decisions wake the outbox; this bounds how long one that another process made waits.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// The billing role of one process.
#[derive(Clone)]
pub struct Billing(Arc<Context>);

impl Billing {
    pub fn new(platform: Platform) -> Self {
        Self(Arc::new(Context::new(platform)))
    }

    pub fn routes(&self) -> OpenApiRouter {
        api::routes(self.0.clone())
    }

    pub fn workers(&self) -> Vec<Worker> {
        let every = Duration::from_secs(self.0.platform.config.billing.interval_seconds);
        let context = self.0.clone();
        let pass = move || {
            let context = context.clone();
            async move {
                let now = context.now();
                run::run(&context, now, Trigger::Clock).await.map(|_| Outcome::Idle)
            }
        };
        let (dunning, publishing, migrating) = (self.0.clone(), self.0.clone(), self.0.clone());
        vec![
            Worker::new("billing.run", every, pass).woken_by(self.0.wake.clone()),
            Worker::new("billing.dunning", every, move || dunning::pass(dunning.clone())),
            Worker::new("billing.migrations", every, move || plan_migration::pass(migrating.clone()))
                .woken_by(self.0.migrate.clone()),
            Worker::new("billing.outbox", PUBLISH_EVERY, move || published::publish(publishing.clone()))
                .woken_by(self.0.recorded.clone()),
        ]
    }

    /// One run as of an instant. Running it again, or after it was killed anywhere, changes nothing that is done.
    pub async fn run(&self, as_of: DateTime<Utc>, trigger: Trigger) -> anyhow::Result<Summary> {
        run::run(&self.0, as_of, trigger).await
    }
}
