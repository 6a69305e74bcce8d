//! An owner that lost its partition cannot write, and a new owner ends what the old one has begun.

use super::support::{Dice, at, event, own, place, tenant};
use std::time::{Duration, Instant};
use talea_platform::clickhouse::{ClickHouse, InsertError};
use talea_platform::usage::fence::take;
use talea_platform::usage::insert::{Table, statement};
use talea_platform::usage::rows::encode_event;

fn body(serial: u64) -> Vec<u8> {
    let from = at("2026-03-01T00:00:00Z");
    let events = vec![event(&mut Dice(serial), &tenant("acme"), serial, from, at("2026-03-02T00:00:00Z"))];
    let mut body = Vec::new();
    for row in place(events, &mut [serial; 4], from) {
        encode_event(&mut body, &row).expect("a storable event");
    }
    body
}

async fn count(clickhouse: &ClickHouse) -> u64 {
    clickhouse.rows::<u64>(clickhouse.query("SELECT count() FROM usage_events")).await.expect("a count")[0]
}

/// The fence is looked at by every insert anew: the same statement that was accepted is refused once a higher epoch is written.
pub async fn an_old_epoch_is_refused(clickhouse: &ClickHouse) {
    let old = own(3, 7);
    let sql = statement(Table::Events, &old);
    let refused = clickhouse.insert_whole(&sql, body(0).into(), "a-0").await;
    assert!(matches!(refused, Err(InsertError::Fenced)), "no epoch was written yet: {refused:?}");
    take(clickhouse, &old).await.expect("taken");
    for serial in 1..4 {
        clickhouse.insert_whole(&sql, body(serial).into(), &format!("a-{serial}")).await.expect("stored");
    }
    take(clickhouse, &own(2, 9)).await.expect("another partition taken");
    clickhouse.insert_whole(&sql, body(4).into(), "a-4").await.expect("another partition's epoch does not matter");
    take(clickhouse, &own(3, 8)).await.expect("taken over");
    let refused = clickhouse.insert_whole(&sql, body(5).into(), "a-5").await;
    assert!(matches!(refused, Err(InsertError::Fenced)), "{refused:?}");
    take(clickhouse, &old).await.expect("an old epoch can be written again");
    let refused = clickhouse.insert_whole(&sql, body(6).into(), "a-6").await;
    assert!(matches!(refused, Err(InsertError::Fenced)), "it does not lower the fence: {refused:?}");
    assert_eq!(count(clickhouse).await, 4);
}

/// A statement that the server cannot run is `Rejected`, a server that is not there leaves the outcome `Unknown`.
pub async fn errors_are_sorted(clickhouse: &ClickHouse) {
    let rejected = clickhouse.insert_whole("INSERT INTO no_such_table FORMAT RowBinary", vec![1].into(), "b-1").await;
    assert!(matches!(rejected, Err(InsertError::Rejected(_))), "{rejected:?}");
    take(clickhouse, &own(0, 1)).await.expect("taken");
    let mut torn = body(1);
    torn.truncate(torn.len() - 3);
    let rejected = clickhouse.insert_whole(&statement(Table::Events, &own(0, 1)), torn.into(), "b-2").await;
    assert!(matches!(rejected, Err(InsertError::Rejected(_))), "{rejected:?}");
    assert_eq!(count(clickhouse).await, 0, "a torn body stores nothing");
    let nowhere = ClickHouse::connect("http://127.0.0.1:9", "default", "", "x").expect("a handle");
    let unknown = nowhere.insert_whole("INSERT INTO x FORMAT RowBinary", vec![1].into(), "b-3").await;
    assert!(matches!(unknown, Err(InsertError::Unknown(_))), "{unknown:?}");
}

/// A new owner's `take` ends a running insert of the partition and leaves those of others alone.
pub async fn a_running_insert_is_killed(clickhouse: &ClickHouse) {
    let slow = |partition: u32| {
        let clickhouse = clickhouse.clone();
        let id = own(partition, 1).query_id(Table::Events, 1);
        tokio::spawn(async move {
            let sql = "INSERT INTO usage_fences (topic, partition, epoch) SELECT 'x', 1, sleepEachRow(0.1) FROM numbers(50) \
                       SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0";
            clickhouse.insert_whole(sql, vec![b'\n'].into(), &id).await
        })
    };
    let (mine, other) = (slow(1), slow(11));
    let running = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO usage_fences%sleepEachRow%' \
                   AND current_database = currentDatabase()";
    let deadline = Instant::now() + Duration::from_secs(10);
    while clickhouse.rows::<u64>(clickhouse.query(running)).await.expect("a count")[0] < 2 {
        assert!(Instant::now() < deadline, "both inserts run");
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    take(clickhouse, &own(1, 2)).await.expect("taken");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let outcome = mine.await.expect("no panic");
    assert!(matches!(outcome, Err(InsertError::Unknown(_))), "{outcome:?}");
    assert!(!other.is_finished(), "partition 11 is another one");
    take(clickhouse, &own(11, 2)).await.expect("taken");
    let outcome = other.await.expect("no panic");
    assert!(matches!(outcome, Err(InsertError::Unknown(_))), "{outcome:?}");
}
