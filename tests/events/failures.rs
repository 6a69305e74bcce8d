//! A store that fails in the middle: what was not written is written later, and counts once.

use super::ALWAYS;
use crate::harness::{Event, LogChoice, Stage, TestServer, event, eventually};
use sqlx::{Connection, PgConnection};
use talea_platform::log::topic;
use talea_platform::postgres::{OwnerPool, Target};

fn some(from: u64) -> Vec<Event> {
    (from..from + 50).map(|n| event("acme", &n.to_string()).tokens(n)).collect()
}

/// The log does not acknowledge: the sender hears 503 and sends again, perhaps more than once; it counts once.
pub async fn a_retry_after_the_log_failed_counts_once(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let mut lock = hold(&stage.databases.target).await;
    let answer = server.ingest(&some(0)).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"));
    let answer = answer.json();
    assert_eq!(answer["summary"]["retry"], 50);
    assert!(answer["events"].as_array().expect("a list").iter().all(|verdict| verdict["status"] == "retry"));
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.expect("releases");
    lock.close().await.expect("closes");
    server.count(&some(0)).await;
    server.count(&some(0)).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("1225".to_owned(), 50, 0));
}

/// Keeps every append waiting, as a hanging disk would, until it gives up.
async fn hold(target: &Target) -> PgConnection {
    let mut owner = OwnerPool::new(target).expect("parses").connect().await.expect("connects");
    sqlx::raw_sql("BEGIN; LOCK TABLE log.partitions IN ACCESS EXCLUSIVE MODE")
        .execute(&mut owner)
        .await
        .expect("locks");
    owner
}

/// Takes a table away while events come, and puts it back: nothing is lost and nothing counts twice.
async fn survives_the_loss_of(log: LogChoice, table: &str) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    server.count(&some(0)).await;
    let clickhouse = &stage.databases.clickhouse;
    let rename = async |from: &str, to: &str| {
        clickhouse.execute(clickhouse.query(&format!("RENAME TABLE {from} TO {to}"))).await.expect("renames");
    };
    rename(table, "taken_away").await;
    let mixed: Vec<_> = some(0).into_iter().chain(some(50)).chain([event("nobody", "1")]).collect();
    let answer = server.ingest(&mixed).await.ok();
    assert_eq!(answer["summary"]["accepted"], 101);
    recovers(&server).await;
    assert!(uncommitted(&stage).await > 0, "what is not stored is not committed");
    rename("taken_away", table).await;
    server.drained().await;
    check(&server).await;
    server.count(&some(50)).await;
    check(&server).await;
    assert_eq!(server.dead_letters(&[("reason", "unknown_tenant")]).await.len(), 1);
}

/// Records that metering has not committed, asked of the log itself: the store is not there to be asked.
async fn uncommitted(stage: &Stage) -> u64 {
    let log = stage.platform().await.log.clone();
    let ends = log.end_offsets(topic::USAGE).await.expect("the log answers");
    let committed = log.committed(talea_metering::GROUP, topic::USAGE).await.expect("the log answers");
    ends.iter().zip(committed).map(|(end, done)| end - done).sum()
}

/// Waits until metering has tried again.
async fn recovers(server: &TestServer) {
    eventually("metering tries again", async || match server.metric("talea_metering_recoveries_total").await {
        recoveries if recoveries >= 2 => Ok(()),
        recoveries => Err(format!("{recoveries} recoveries")),
    })
    .await;
}

async fn check(server: &TestServer) {
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("4950".to_owned(), 100, 0));
}

pub async fn events_that_could_not_be_stored_count_once_later(log: LogChoice) {
    survives_the_loss_of(log, "usage_events").await;
}

/// The events are stored and what is derived from them is not.
pub async fn identities_that_could_not_be_stored_are_written_later(log: LogChoice) {
    survives_the_loss_of(log, "usage_identities").await;
}

pub async fn dead_letters_that_could_not_be_stored_are_written_later(log: LogChoice) {
    survives_the_loss_of(log, "dead_letters").await;
}

/// Alive, reading and stuck: a server that stores nothing is not ready, each time it is asked, and is again when it can.
pub async fn a_metering_that_cannot_write_is_not_ready(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.count(&some(0)).await;
    let clickhouse = &stage.databases.clickhouse;
    clickhouse.execute(clickhouse.query("RENAME TABLE usage_events TO taken_away")).await.expect("renames");
    server.ingest(&some(50)).await.ok();
    recovers(&server).await;
    for _ in 0..50 {
        let answer = server.get("/readyz", &[]).await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert_ne!(answer.json()["metering"], "ok");
    }
    assert_eq!(server.get("/healthz", &[]).await.status, 200);
    clickhouse.execute(clickhouse.query("RENAME TABLE taken_away TO usage_events")).await.expect("renames");
    server.drained().await;
    eventually("the server is ready again", async || match server.get("/readyz", &[]).await {
        answer if answer.status == 200 => Ok(()),
        answer => Err(answer.text),
    })
    .await;
}
