//! Quota: may tenant T use feature F now, and who should hear that a limit was reached?
//!
//! Everything is in memory, in the [`book`]: what each tenant bought ([`terms`]), what it used ([`live`] totals, folded
//! into periods by [`fold`]) and what was signalled last. [`refresh`] brings terms from the journal's projections,
//! [`feed`] brings totals from metering, [`load`] what was stored before, [`drift`] compares the two. Signals go to the
//! journal and from there to their topic ([`signals`]); [`api`] answers checks, [`freshness`] says how old its figures are.

mod api;
mod book;
mod drift;
mod feed;
mod fold;
mod freshness;
mod history;
mod live;
mod load;
mod own_limit;
mod refresh;
mod shared;
mod signals;
mod terms;

pub use api::Entitlements;
pub use own_limit::OwnLimit;

use shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use talea_platform::runtime::Platform;
use talea_platform::worker::{Outcome, Worker};
use utoipa_axum::router::OpenApiRouter;

/// How often the journal is asked for changed terms, and how old the figures are is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Due signals and journalled ones wake their workers; this only bounds what a lost wake-up costs.
const SIGNALS_EVERY: Duration = Duration::from_secs(1);
/// How often live totals are compared with the store.
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// The quota role of one process.
#[derive(Clone)]
pub struct Quota(Arc<Shared>);

impl Quota {
    pub fn new(platform: Platform) -> Self {
        Self(Arc::new(Shared::new(platform)))
    }

    pub fn routes(&self) -> OpenApiRouter {
        api::routes(self.0.clone())
    }

    /// Reads the totals topic until the process stops. The workers must run beside it: it waits for their first pass.
    pub async fn consume(self) {
        feed::run(self.0).await;
    }

    pub fn workers(&self) -> Vec<Worker> {
        let (cursor, noted, comparisons) = (Arc::default(), Arc::default(), Arc::default());
        vec![
            self.worker("quota.terms", LOOK_EVERY, move |shared| refresh::pass(shared, Arc::clone(&cursor))),
            self.worker("quota.load", LOOK_EVERY, load::pass).woken_by(self.0.totals_wanted.clone()),
            self.worker("quota.signals", SIGNALS_EVERY, signals::record).woken_by(self.0.signals_due.clone()),
            self.worker("quota.outbox", SIGNALS_EVERY, signals::publish).woken_by(self.0.signals_recorded.clone()),
            self.worker("quota.freshness", LOOK_EVERY, move |shared| freshness::pass(shared, Arc::clone(&noted))),
            self.worker("quota.drift", COMPARE_EVERY, move |shared| drift::pass(shared, Arc::clone(&comparisons))),
        ]
    }

    fn worker<F, Fut>(&self, name: &'static str, every: Duration, mut pass: F) -> Worker
    where
        F: FnMut(Arc<Shared>) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<Outcome>> + Send + 'static,
    {
        let shared = self.0.clone();
        Worker::new(name, every, move || pass(shared.clone()))
    }
}
