//! How far behind metering is, per partition: what `/metrics` shows and an alert watches.

use crate::context::{Context, GROUP};
use std::sync::Arc;
use talea_platform::log::topic;
use talea_platform::worker::Outcome;

pub async fn pass(context: Arc<Context>) -> anyhow::Result<Outcome> {
    let log = &context.platform.log;
    let ends = log.end_offsets(topic::USAGE).await?;
    let committed = log.committed(GROUP, topic::USAGE).await?;
    for (partition, (end, done)) in ends.iter().zip(committed).enumerate() {
        let lag = end.saturating_sub(done);
        metrics::gauge!("talea_metering_lag_records", "partition" => partition.to_string()).set(lag as f64);
    }
    Ok(Outcome::Idle)
}
