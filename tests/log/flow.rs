//! Flow control: a busy reader pauses, a full queue refuses.

use std::collections::BTreeSet;

use futures::future::join_all;
use talea_platform::log::AppendError;

use super::fixture::{Fixture, Queue, append_all, key_for, record, records};
use super::reader::Reader;

pub async fn a_paused_partition_delivers_nothing_while_others_do(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 2).await;
    let (zero, one) = (key_for(0, 2), key_for(1, 2));
    let mut reader = Reader::join(&log, topic, topic).await;
    reader.until("both partitions", |r| r.owned.len() == 2).await;
    reader.consumer.pause(0);
    for round in 1..=3 {
        append_all(&log, topic, vec![record(&zero, b"zero"), record(&one, b"one")]).await;
        reader.until("records of the other partition", |r| r.records.len() == round).await;
    }
    assert!(reader.records.iter().all(|record| record.partition == 1), "nothing of the paused partition");
    reader.consumer.resume(0);
    reader.until("the paused partition goes on", |r| r.records.len() == 6).await;
    assert_eq!(reader.records.iter().filter(|record| record.partition == 0).count(), 3);
    assert!(reader.revoked.is_empty(), "a pause gives nothing away");
    reader.consumer.close().await;
}

pub async fn a_full_queue_refuses_and_writes_nothing(fixture: &Fixture) {
    let log = fixture.connect_with(Queue { records: 10, bytes: 64 << 10 }).await;
    let topic = fixture.topic(&log, 1).await;
    let append = |i: usize| log.append(topic, records(&format!("{i}"), 5));
    let answers: Vec<_> = join_all((0..200).map(append)).await.into_iter().flatten().collect();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(AppendError::QueueFull))).count();
    let accepted: BTreeSet<u64> = answers.iter().flatten().map(|position| position.offset).collect();
    assert!(refused > 0, "the queue is bounded");
    assert!(!accepted.is_empty(), "what fits is accepted");
    assert_eq!(accepted.len() + refused, answers.len(), "every answer is one of the two");
    let stored = log.read(topic, 0, 0, usize::MAX).await.expect("the partition is read");
    assert_eq!(stored.iter().map(|record| record.offset).collect::<BTreeSet<u64>>(), accepted);
    append_all(&log, topic, records("later", 5)).await;
}
