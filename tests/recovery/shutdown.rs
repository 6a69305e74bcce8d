//! SIGTERM: what was read is finished and committed, and the next start replays nothing.

use super::stored::holds_exactly;
use crate::harness::{Event, LogChoice, Stage, event};

fn events(from: u64, to: u64) -> Vec<Event> {
    (from..to).map(|n| event("acme", &n.to_string()).tokens(n)).collect()
}

pub async fn a_graceful_end_leaves_nothing_to_replay(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    for (from, to) in [(0, 2000), (2000, 2500)] {
        let server = stage.serve().await;
        for from in (from..to).step_by(500) {
            server.ingest(&events(from, from + 500)).await.ok();
        }
        // At once: metering is in the middle of it.
        assert!(server.terminate().await.success());
    }
    let server = stage.serve().await;
    server.drained().await;
    assert_eq!(server.metric(r#"talea_metering_events_total{verdict="replay"}"#).await, 0);
    assert_eq!(server.metric(r#"talea_metering_events_total{verdict="duplicate"}"#).await, 0);
    holds_exactly(&stage, "acme", &(0..2500).map(|n| n.to_string()).collect()).await;
    assert!(server.terminate().await.success());
}
