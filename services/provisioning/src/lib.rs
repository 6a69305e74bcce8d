//! Provisioning: tenants come, are suspended and resumed, and get their keys.
//!
//! [`api`] takes requests: [`onboarding`] says what a new tenant is and whether a request is a repetition. [`consumer`]
//! hears quota signals and [`reconcile`] brings the tenants they concern to the state that [`policy`] asks for. All of it
//! is decided in the journal; [`lifecycle`] publishes it on `talea.tenants.v1`.

mod api;
mod consumer;
mod key_view;
mod lifecycle;
mod onboarding;
mod policy;
mod reconcile;
mod shared;
mod tenant_view;

pub use api::Onboarded;
pub use consumer::GROUP;
pub use key_view::{KeyCreated, KeyView, Keys};
pub use onboarding::{Onboarding, WantedKey};
pub use tenant_view::{SubscriptionView, TenantView};

use shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use talea_platform::runtime::Platform;
use talea_platform::worker::Worker;
use utoipa_axum::router::OpenApiRouter;

/// Decisions wake the outbox; this bounds how long one that another process made waits.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// How often all tenants that a policy may concern are looked at, for signals that nobody delivered.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// The provisioning role of one process.
#[derive(Clone)]
pub struct Provisioning(Arc<Shared>);

impl Provisioning {
    pub fn new(platform: Platform) -> Self {
        Self(Arc::new(Shared { platform, recorded: Arc::default() }))
    }

    pub fn routes(&self) -> OpenApiRouter {
        api::routes(self.0.clone())
    }

    /// Consumes quota signals until the process stops.
    pub async fn consume(self) {
        consumer::run(self.0).await;
    }

    pub fn workers(&self) -> Vec<Worker> {
        let (publishing, reconciling) = (self.0.clone(), self.0.clone());
        let after = Arc::default();
        vec![
            Worker::new("provisioning.outbox", PUBLISH_EVERY, move || lifecycle::publish(publishing.clone()))
                .woken_by(self.0.recorded.clone()),
            Worker::new("provisioning.reconcile", RECONCILE_EVERY, move || {
                reconcile::pass(reconciling.clone(), Arc::clone(&after))
            }),
        ]
    }
}
