//! Which roles run in this process, and what each brings: routes, workers, consumers.

use super::probes;
use std::collections::BTreeSet;
use std::time::Duration;
use talea_platform::http::expire_idempotency_keys;
use talea_platform::runtime::Platform;
use talea_platform::worker::{Outcome, Worker};
use tokio::task::JoinHandle;
use utoipa_axum::router::OpenApiRouter;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    Ingest,
    Metering,
    Billing,
    Quota,
    Provisioning,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Metering, Self::Billing, Self::Quota, Self::Provisioning];
}

pub(super) struct Running {
    pub routes: OpenApiRouter,
    /// Each ends when the process is asked to stop and its work under way is done.
    pub tasks: Vec<JoinHandle<()>>,
}

pub(super) async fn start(platform: &Platform, roles: &BTreeSet<Role>) -> anyhow::Result<Running> {
    let mut running = Running { routes: OpenApiRouter::new(), tasks: Vec::new() };
    running.work(platform, probes::workers(platform));
    running.work(platform, vec![expiry(platform)]);
    for role in roles {
        match role {
            Role::Ingest => running.serve(talea_ingest::routes(talea_ingest::build(platform))),
            Role::Metering => {
                let metering = talea_metering::Metering::new(platform.clone()).await?;
                running.serve(metering.routes());
                running.work(platform, metering.workers());
                running.tasks.push(tokio::spawn(metering.consume()));
            }
            Role::Billing => {
                let billing = talea_billing::Billing::new(platform.clone());
                running.serve(billing.routes());
                running.work(platform, billing.workers());
            }
            Role::Quota => {
                let quota = talea_quota::Quota::new(platform.clone());
                running.serve(quota.routes());
                running.work(platform, quota.workers());
                running.tasks.push(tokio::spawn(quota.consume()));
            }
            Role::Provisioning => {
                let provisioning = talea_provisioning::Provisioning::new(platform.clone());
                running.serve(provisioning.routes());
                running.work(platform, provisioning.workers());
                running.tasks.push(tokio::spawn(provisioning.consume()));
            }
        }
    }
    Ok(running)
}

/// Takes away what was kept for Idempotency-Keys.
fn expiry(platform: &Platform) -> Worker {
    let platform = platform.clone();
    Worker::new("http.idempotency_keys", Duration::from_secs(3600), move || {
        let platform = platform.clone();
        async move {
            expire_idempotency_keys(&platform.databases.worker, platform.clock.now()).await?;
            Ok(Outcome::Idle)
        }
    })
}

impl Running {
    fn serve(&mut self, routes: OpenApiRouter) {
        self.routes = std::mem::take(&mut self.routes).merge(routes);
    }

    fn work(&mut self, platform: &Platform, workers: Vec<Worker>) {
        for worker in workers {
            let run = worker.run(platform.clock.clone(), platform.health.clone(), platform.stop.clone());
            self.tasks.push(tokio::spawn(run));
        }
    }
}
