//! Several members of one group: each partition has one owner, and what moves is no more than must.

use talea_platform::log::LogError;

use super::fixture::{Fixture, append_all, records};
use super::reader::{Reader, both_until};

pub async fn share_partitions_and_move_only_what_must_move(fixture: &Fixture) {
    let (log, other_log) = (fixture.connect().await, fixture.connect().await);
    let topic = fixture.topic(&log, 4).await;
    append_all(&log, topic, records("one", 200)).await;
    let mut a = Reader::join(&log, topic, topic).await;
    a.until("one member owns everything", |a| a.owned.len() == 4 && a.records.len() == 200).await;
    a.commit_all().await;

    let mut b = Reader::join(&other_log, topic, topic).await;
    both_until(&mut a, &mut b, "two members share", |a, b| a.owned.len() == 2 && b.owned.len() == 2).await;
    assert_eq!(a.revoked.len(), 2, "partitions that stay are never revoked");
    assert!(b.owned.keys().all(|partition| a.revoked.contains(partition)));
    for partition in a.revoked.clone() {
        let refused = a.consumer.commit(partition, 1).await;
        assert!(matches!(refused, Err(LogError::Lost { .. })), "{refused:?}");
    }
    append_all(&log, topic, records("two", 200)).await;
    both_until(&mut a, &mut b, "all records reach an owner", |a, b| a.positions().union(&b.positions()).count() == 400)
        .await;
    assert_eq!(a.records.len() + b.records.len(), 400, "what was committed before the move is not read again");
    a.commit_all().await;
    b.commit_all().await;

    b.consumer.close().await;
    a.until("the one that stays owns everything again", |a| a.owned.len() == 4).await;
    append_all(&log, topic, records("three", 50)).await;
    let of_three = |a: &Reader| a.records.iter().filter(|record| record.value.starts_with(b"three")).count();
    a.until("the records after it left", |a| of_three(a) == 50).await;
    let ends = log.end_offsets(topic).await.expect("the ends are known");
    a.commit_all().await;
    assert_eq!(log.committed(topic, topic).await.expect("offsets are read"), ends);
    a.consumer.close().await;
}

pub async fn that_die_are_replaced(fixture: &Fixture) {
    let (log, other_log) = (fixture.connect().await, fixture.connect().await);
    let topic = fixture.topic(&log, 4).await;
    append_all(&log, topic, records("x", 100)).await;
    let mut a = Reader::join(&log, topic, topic).await;
    let mut b = Reader::join(&other_log, topic, topic).await;
    both_until(&mut a, &mut b, "two members share", |a, b| a.owned.len() == 2 && b.owned.len() == 2).await;
    // Nothing was committed, so whatever the dead one read must come again.
    drop(b);
    drop(other_log);
    a.until("the living one takes over", |a| a.owned.len() == 4 && a.positions().len() == 100).await;
    a.commit_all().await;
    a.consumer.close().await;
}
