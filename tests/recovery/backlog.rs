//! Metering that stood still: what waited in the log is judged by when the log took it, not by when it is read.

use crate::events::ALWAYS;
use crate::harness::{Event, LogChoice, Stage, event};
use bytes::Bytes;
use talea_domain::event::{EventLimits, UsageEvent};
use talea_platform::log::{NewRecord, topic};

/// As ingest appends it.
async fn append(stage: &Stage, event: &Event) {
    let value: Bytes = event.bytes().into();
    let identity = UsageEvent::parse_structured(&value, None, &EventLimits::default()).expect("valid").identity;
    let record = NewRecord { key: Bytes::copy_from_slice(&identity.0.to_be_bytes()), value, headers: Vec::new() };
    for answer in stage.platform().await.log.append(topic::USAGE, vec![record]).await {
        answer.expect("the record is acknowledged");
    }
}

/// A retry came within the window and is read only after it: it is a duplicate all the same.
pub async fn a_retry_that_waited_for_days_is_a_duplicate(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let first = event("acme", "1").tokens(5);
    server.count(std::slice::from_ref(&first)).await;
    server.advance("2026-11-18T12:00:00Z").await;
    assert!(server.terminate().await.success());
    append(&stage, &first).await;
    let read_at = "2026-11-25T12:00:00Z".parse().expect("a time");
    stage.pools.advance_test_clock(read_at).await.expect("advances");
    let server = stage.serve().await;
    server.drained().await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("5".to_owned(), 1, 0));
    let fate = server.fate("acme", "/api", "1").await;
    assert_eq!(fate["duplicates"].as_array().map(Vec::len), Some(1), "{fate}");
}

/// An identity that comes again after its window is a new event; that one's retries are duplicates, also after a restart.
pub async fn an_identity_that_is_used_anew_is_remembered_anew(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    server.count(&[event("acme", "1").tokens(5)]).await;
    server.advance("2026-11-25T12:00:00Z").await;
    let anew = event("acme", "1").tokens(7).at("2026-11-25T12:00:00Z");
    server.count(std::slice::from_ref(&anew)).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("12".to_owned(), 2, 0));
    server.count(std::slice::from_ref(&anew)).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("12".to_owned(), 2, 0));
    assert!(server.terminate().await.success());
    let server = stage.serve().await;
    server.count(&[anew]).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("12".to_owned(), 2, 0));
}
