//! Consumer groups: where they start, and where they go on.

use std::collections::BTreeMap;

use super::fixture::{Fixture, append_all, records};
use super::reader::Reader;

pub async fn start_at_the_earliest_record(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 3).await;
    append_all(&log, topic, records("before", 50)).await;
    let mut reader = Reader::join(&log, topic, topic).await;
    reader.until("the records from before the group", |r| r.records.len() == 50).await;
    append_all(&log, topic, records("after", 50)).await;
    reader.until("the records from after it", |r| r.records.len() == 100).await;
    assert_eq!(reader.owned, BTreeMap::from([(0, 0), (1, 0), (2, 0)]));
    assert_eq!(log.committed(topic, topic).await.expect("offsets are read"), [0, 0, 0]);
    let mut other = Reader::join(&log, &format!("other {topic}"), topic).await;
    other.until("another group has its own offsets", |r| r.records.len() == 100).await;
    reader.consumer.close().await;
    other.consumer.close().await;
}

pub async fn go_on_where_they_committed(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 2).await;
    append_all(&log, topic, records("x", 100)).await;
    let ends = log.end_offsets(topic).await.expect("the ends are known");
    let halves: Vec<u64> = ends.iter().map(|end| end / 2).collect();
    let mut first = Reader::join(&log, topic, topic).await;
    first.until("all records", |r| r.records.len() == 100).await;
    first.commit(0, halves[0]).await;
    first.commit(1, halves[1]).await;
    first.consumer.close().await;

    let log = fixture.connect().await;
    assert_eq!(log.committed(topic, topic).await.expect("offsets are read"), halves);
    let mut second = Reader::join(&log, topic, topic).await;
    let rest = 100 - usize::try_from(halves.iter().sum::<u64>()).expect("below 100");
    second.until("the other half", |r| r.records.len() == rest).await;
    assert_eq!(second.owned.values().copied().collect::<Vec<u64>>(), halves);
    assert!(second.records.iter().all(|record| record.offset >= halves[record.partition as usize]));
    second.consumer.close().await;
}

pub async fn replay_what_a_crash_left_uncommitted(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 2).await;
    append_all(&log, topic, records("x", 60)).await;
    let mut crashed = Reader::join(&log, topic, topic).await;
    crashed.until("all records", |r| r.records.len() == 60).await;
    crashed.commit(0, 1).await;
    let seen = crashed.positions();
    drop(crashed);
    drop(log);

    let log = fixture.connect().await;
    let mut next = Reader::join(&log, topic, topic).await;
    next.until("what was not committed", |r| r.records.len() == 59).await;
    let mut again = next.positions();
    again.insert((0, 0));
    assert_eq!(again, seen);
    next.consumer.close().await;
}
