//! Records: what goes in comes out, in order, at the offset that was promised.

use std::collections::BTreeMap;

use futures::future::join_all;
use talea_platform::log::partitioner::partition_for;
use talea_platform::log::{AppendError, LogError, MAX_RECORD_BYTES, TopicSpec};

use super::fixture::{Fixture, RETENTION, append_all, record, records};

pub async fn come_back_as_they_were(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 3).await;
    let mut sent = vec![record(b"one", b"{}"), record(b"two", b""), record(b"\x00\xff", &[0xfe; 70_000])];
    sent[0].headers = vec![
        ("ce_id".to_owned(), b"7".to_vec().into()),
        ("ce_id".to_owned(), b"\x00\xff".to_vec().into()),
        ("empty".to_owned(), Vec::new().into()),
    ];
    let positions = append_all(&log, topic, sent.clone()).await;
    for (sent, position) in sent.iter().zip(positions) {
        let read = log.read(topic, position.partition, position.offset, 1).await.expect("the record is read");
        let read = &read[0];
        assert_eq!((read.partition, read.offset), (position.partition, position.offset));
        assert_eq!((&read.key, &read.value, &read.headers), (&sent.key, &sent.value, &sent.headers));
        assert_eq!(read.appended_at, fixture.now());
    }
}

pub async fn keep_their_order_and_their_offsets(fixture: &Fixture) {
    const PARTITIONS: u32 = 4;
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, PARTITIONS).await;
    let append = |writer: usize| {
        let log = log.clone();
        async move {
            let mut written = Vec::new();
            for batch in 0..5 {
                let batch = records(&format!("{writer}-{batch}"), 200);
                let positions = append_all(&log, topic, batch.clone()).await;
                written.extend(batch.into_iter().zip(positions));
            }
            written
        }
    };
    let written = join_all((0..3).map(append)).await;
    let mut stored = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for record in log.read(topic, partition, 0, usize::MAX).await.expect("the partition is read") {
            assert!(stored.insert((partition, record.offset), record).is_none());
        }
    }
    assert_eq!(stored.len(), 3 * 5 * 200);
    for of_writer in &written {
        let mut last = [None; PARTITIONS as usize];
        for (sent, position) in of_writer {
            assert_eq!(position.partition, partition_for(&sent.key, PARTITIONS));
            assert_eq!(stored[&(position.partition, position.offset)].value, sent.value);
            let last = &mut last[position.partition as usize];
            assert!(last.is_none_or(|last| last < position.offset), "a writer's records keep their order");
            *last = Some(position.offset);
        }
    }
    let ends = log.end_offsets(topic).await.expect("the ends are known");
    for (partition, end) in (0..).zip(ends) {
        let offsets: Vec<u64> =
            stored.range((partition, 0)..(partition + 1, 0)).map(|((_, offset), _)| *offset).collect();
        assert_eq!(offsets, (0..end).collect::<Vec<u64>>(), "offsets of partition {partition} are dense from 0");
    }
}

pub async fn that_are_too_large_are_refused_alone(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 1).await;
    let incompressible = |bytes: usize| (0..bytes).map(|_| rand::random()).collect::<Vec<u8>>();
    let largest = record(b"k", &incompressible(MAX_RECORD_BYTES - 1));
    let too_large = record(b"k", &incompressible(MAX_RECORD_BYTES));
    let answers = log.append(topic, vec![record(b"k", b"a"), too_large, largest.clone(), record(b"k", b"b")]).await;
    assert!(matches!(
        answers[1],
        Err(AppendError::TooLarge { size, limit: MAX_RECORD_BYTES }) if size == MAX_RECORD_BYTES + 1
    ));
    let offsets: Vec<u64> = answers.into_iter().filter_map(Result::ok).map(|position| position.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
    let read = log.read(topic, 0, 0, 10).await.expect("the neighbours are read");
    assert_eq!(read.iter().map(|r| r.value.len()).collect::<Vec<_>>(), [1, largest.value.len(), 1]);
}

pub async fn of_a_missing_topic_are_not_acknowledged(fixture: &Fixture) {
    if fixture.is_mock() {
        return; // The mock cluster makes any topic that is named.
    }
    let log = fixture.connect().await;
    let missing = "talea.test-missing.v1";
    assert!(matches!(log.append(missing, records("x", 1)).await[0], Err(AppendError::Unavailable(_))));
    assert!(matches!(log.subscribe("group", missing).await.err(), Some(LogError::Topic { .. })));
}

pub async fn are_read_from_any_offset(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 1).await;
    for batch in 0..3 {
        append_all(&log, topic, records(&format!("{batch}"), 10)).await;
    }
    for (from, limit, expected) in [(0, 5, 0..5), (7, 10, 7..17), (25, 100, 25..30), (30, 5, 0..0), (99, 1, 0..0)] {
        let read = log.read(topic, 0, from, limit).await.expect("the partition is read");
        let offsets: Vec<u64> = read.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, expected.collect::<Vec<u64>>(), "from {from}, at most {limit}");
    }
}

pub async fn keep_their_partition_count(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 3).await;
    let spec = |partitions| TopicSpec { name: topic.to_owned(), partitions, retention: RETENTION };
    assert_eq!(log.ensure_topic(&spec(3)).await.expect("the same topic"), 3);
    let other = log.ensure_topic(&spec(4)).await.expect_err("another count is refused");
    assert!(other.to_string().contains('3') && other.to_string().contains('4'), "{other}");
}
