//! What only the Postgres log promises, because there it is ours.

use std::time::Duration;

use talea_platform::log::LogError;

use super::fixture::{Fixture, RETENTION, append_all, records};
use super::reader::Reader;

/// Cancelling inside `Pool::begin` can hand an open transaction to the next borrower of the connection: nothing here may.
pub async fn cancelled_callers_leave_no_transaction_open(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 2).await;
    let mut reader = Reader::join(&log, topic, topic).await;
    reader.until("both partitions", |r| r.owned.len() == 2).await;
    for turn in 0..200 {
        let (appending, subscribing) = (log.clone(), log.clone());
        let append = tokio::spawn(async move { appending.append(topic, records("x", 3)).await.len() });
        let join = tokio::spawn(async move { subscribing.subscribe(topic, topic).await.is_ok() });
        for _ in 0..turn % 20 {
            tokio::task::yield_now().await;
        }
        append.abort();
        join.abort();
        // A cancelled commit: the future is dropped after its first step.
        let _ = futures::FutureExt::now_or_never(reader.consumer.commit(turn % 2, 0));
    }
    let pool = fixture.postgres_pool().await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'
                AND state_change < clock_timestamp() - interval '500 milliseconds'";
    let quiet = async {
        let mut samples = 0;
        while samples < 50 {
            let open: i64 = sqlx::query_scalar(open).fetch_one(&pool).await.expect("sessions are counted");
            assert_eq!(open, 0, "a transaction stayed open");
            samples += 1;
            append_all(&log, topic, records("y", 2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), quiet).await.expect("the log goes on");
    reader
        .until("what was written after", |r| r.records.iter().filter(|r| r.value.starts_with(b"y")).count() >= 50)
        .await;
    reader.consumer.close().await;
}

/// The database refuses, not only the member's own memory: a member that has not heard of its loss cannot commit.
pub async fn a_commit_of_a_past_generation_is_refused(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 1).await;
    append_all(&log, topic, records("x", 10)).await;
    let mut reader = Reader::join(&log, topic, topic).await;
    reader.until("all records", |r| r.records.len() == 10).await;
    reader.commit(0, 4).await;
    let pool = fixture.postgres_pool().await;
    let taken = "UPDATE log.group_partitions SET generation = generation + 1 WHERE topic = $1";
    sqlx::query(taken).bind(topic).execute(&pool).await.expect("the generation is raised");
    let refused = reader.consumer.commit(0, 10).await;
    assert!(matches!(refused, Err(LogError::Lost { partition: 0, .. })), "{refused:?}");
    assert_eq!(log.committed(topic, topic).await.expect("offsets are read"), [4]);
    // The member finds out, gives the partition up, takes it anew and reads again what was not committed.
    reader.until("the partition is taken anew", |r| r.revoked == [0] && r.records.len() == 10 + 6).await;
    reader.commit(0, 10).await;
    reader.consumer.close().await;
}

pub async fn old_days_are_dropped_as_tables(fixture: &Fixture) {
    let log = fixture.connect().await;
    let topic = fixture.topic(&log, 1).await;
    let pool = fixture.postgres_pool().await;
    let days = async || {
        let count = "SELECT count(*) FROM log.ranges WHERE topic = $1";
        sqlx::query_scalar::<_, i64>(count).bind(topic).fetch_one(&pool).await.expect("the days are counted")
    };
    for day in 1..=3 {
        append_all(&log, topic, records("x", 1)).await;
        assert_eq!(days().await, day);
        fixture.advance(Duration::from_secs(86_400));
    }
    // A clock that jumps a month makes one new day, and the writer drops the old ones by itself.
    fixture.advance(RETENTION + Duration::from_secs(30 * 86_400));
    append_all(&log, topic, records("x", 1)).await;
    let dropped = async {
        while days().await != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), dropped).await.expect("the old days are dropped");
    assert_eq!(log.read(topic, 0, 0, 10).await.expect("the partition is read")[0].offset, 3);
}
