//! Ingest: CloudEvents over HTTP into the log.
//!
//! A request is read ([`body`], [`split`]), each event is judged on its own ([`judge`]), the tenants' buckets and the queue
//! say how much may go now ([`admission`]), the log acknowledges ([`accept`]), and every event gets its verdict
//! ([`verdict`]). Voids and amendments go the same way ([`voiding`]). Ingest keeps no state that matters: what counts is decided by metering, from the log.

mod accept;
mod admission;
mod attributes;
mod body;
mod handler;
mod judge;
mod split;
mod verdict;
mod voiding;

pub use admission::Limits;
pub use verdict::{EventVerdict, IngestResponse, VerdictCounts, VerdictStatus};

use admission::Admission;
use axum::extract::DefaultBodyLimit;
use std::sync::Arc;
use talea_domain::event::EventLimits;
use talea_platform::config::Config;
use talea_platform::log::Log;
use talea_platform::runtime::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The role's shared state.
pub struct Ingest {
    log: Arc<dyn Log>,
    admission: Arc<Admission>,
    event_limits: EventLimits,
    max_events: usize,
    max_body_bytes: usize,
}

/// Makes the role from what the process is connected to.
pub fn build(platform: &Platform) -> Arc<Ingest> {
    Ingest::new(platform.log.clone(), &platform.config)
}

/// The role's routes. They need the authentication layer around it.
pub fn routes(ingest: Arc<Ingest>) -> OpenApiRouter {
    let limit = DefaultBodyLimit::max(ingest.max_body_bytes);
    OpenApiRouter::new()
        .routes(routes!(handler::post_events))
        .routes(routes!(voiding::post_voids))
        .layer(limit)
        .with_state(ingest)
}

impl Ingest {
    pub fn new(log: Arc<dyn Log>, config: &Config) -> Arc<Self> {
        let settings = &config.ingest;
        let limits = Limits {
            tenant_events_per_second: settings.tenant_events_per_second,
            tenant_burst: settings.tenant_burst,
            max_events_in_flight: settings.max_events_in_flight as u64,
        };
        let event_limits = config.events.clone();
        let (max_events, max_body_bytes) = (settings.max_events, settings.max_body_bytes);
        Arc::new(Self { log, admission: Admission::new(limits), event_limits, max_events, max_body_bytes })
    }

    /// Events on their way to the log.
    pub fn events_in_flight(&self) -> u64 {
        self.admission.in_flight()
    }
}
