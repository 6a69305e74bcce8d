//! Retention: old records go, and a reader that was there goes on at the earliest that is left, never at the latest.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use talea_platform::log::postgres::PostgresLog;

use super::fixture::{Fixture, Queue, RETENTION, append_all, record};
use super::reader::Reader;

pub async fn drops_old_records_and_readers_go_on_at_the_earliest(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 1).await;
    append_all(&log, topic, (0..10).map(|_| record(b"k", b"old")).collect()).await;
    let mut before = Reader::join(&log, topic, topic).await;
    before.until("the old records", |r| r.records.len() == 10).await;
    before.commit(0, 3).await;
    before.consumer.close().await;

    fixture.advance(RETENTION + Duration::from_secs(2 * 86_400));
    append_all(&log, topic, (0..5).map(|_| record(b"k", b"new")).collect()).await;
    append_all(&log, topic, (0..5).map(|_| record(b"k", b"newer")).collect()).await;
    drop_old(fixture, topic, 10).await;

    let read = log.read(topic, 0, 0, 100).await.expect("the partition is read");
    assert_eq!(read.iter().map(|record| record.offset).collect::<Vec<u64>>(), (10..20).collect::<Vec<u64>>());
    assert_eq!(log.end_offsets(topic).await.expect("the ends are known"), [20]);
    let mut after = Reader::join(&log, topic, topic).await;
    after.until("what is left", |r| r.records.len() == 10).await;
    assert_eq!(after.owned[&0], 10, "the assignment names the earliest record");
    assert_eq!(after.records[0].offset, 10);
    after.consumer.close().await;
}

/// Kafka drops whole segments on its own schedule; its DeleteRecords moves the earliest offset in the same way, at once.
async fn drop_old(fixture: &Fixture, topic: &str, below: i64) {
    if fixture.is_postgres() {
        let queue = Queue { records: 10, bytes: 1 << 20 };
        let log: PostgresLog = fixture.connect_postgres(fixture.postgres_url(), queue).await;
        // The writer drops expired days as well when it begins a new one: either may come first.
        log.drop_expired(topic).await.expect("old days are dropped");
        return;
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", fixture.brokers()).create().expect("an admin client");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(below)).expect("a valid offset");
    admin.delete_records(&offsets, &AdminOptions::new()).await.expect("old records are deleted");
}

pub async fn warnings_name_what_is_unsafe(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 1).await;
    let warnings = log.warnings(topic).await;
    if fixture.is_postgres() {
        assert_eq!(warnings, Vec::<String>::new());
    } else {
        assert!(warnings.iter().any(|warning| warning.contains("replicated 1 times")), "{warnings:?}");
        assert!(warnings.iter().any(|warning| warning.contains("min.insync.replicas 1")), "{warnings:?}");
    }
}
