//! Logs (one event a line) and the Prometheus recorder behind `/metrics`.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Buckets of every latency histogram, in seconds.
const LATENCY_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Starts logging to standard error: JSON where a program reads it, else text. `TALEA_LOG` filters (default `info`).
pub fn start_logs(json: bool) {
    let filter = EnvFilter::try_from_env("TALEA_LOG").unwrap_or_else(|_| EnvFilter::new("info,librdkafka=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().compact().with_target(false).with_writer(std::io::stderr)).try_init()
    };
    if started.is_err() {
        tracing::debug!("logs were started before");
    }
}

/// How often observations are folded into their histograms. Until then each one is kept, also where nobody reads
/// `/metrics`: at 10,000 observations a second this bounds them to under a megabyte.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// Installs the process's metrics recorder and answers the handle that renders it. Call once, inside a runtime.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY_SECONDS)?
        .install_recorder()?;
    let folded = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(FOLD_EVERY).await;
            folded.run_upkeep();
        }
    });
    Ok(handle)
}
