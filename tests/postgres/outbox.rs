//! The outbox: in order, at least once, never past what the log refused.

use super::fixtures::{connect, created, desired, tenant};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Mutex;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::TenantState;
use talea_platform::journal::{Recorded, append};
use talea_platform::log::{AppendError, Consumer, Log, LogError, LogRecord, NewRecord, Position, TopicSpec};
use talea_platform::outbox::{OutboxError, publish};
use talea_platform::postgres::Target;

/// Takes records until it has `room`, then refuses.
struct SmallLog {
    room: Mutex<usize>,
    taken: Mutex<Vec<Bytes>>,
}

#[async_trait]
impl Log for SmallLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<u32, LogError> {
        Ok(spec.partitions)
    }
    async fn append(&self, _topic: &str, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        let (room, mut taken) = (*self.room.lock().expect("no panic"), self.taken.lock().expect("no panic"));
        let mut answers = Vec::new();
        for record in records {
            if taken.len() >= room {
                answers.push(Err(AppendError::QueueFull));
                continue;
            }
            answers.push(Ok(Position { partition: 0, offset: taken.len() as u64 }));
            taken.push(record.value);
        }
        answers
    }
    async fn subscribe(&self, _group: &str, topic: &str) -> Result<Box<dyn Consumer>, LogError> {
        Err(LogError::Topic { topic: topic.to_owned(), problem: "has no readers".to_owned() })
    }
    async fn read(&self, _topic: &str, _partition: u32, _from: u64, _limit: usize) -> Result<Vec<LogRecord>, LogError> {
        Ok(Vec::new())
    }
    async fn end_offsets(&self, _topic: &str) -> Result<Vec<u64>, LogError> {
        Ok(vec![self.taken.lock().expect("no panic").len() as u64])
    }
    async fn committed(&self, _group: &str, _topic: &str) -> Result<Vec<u64>, LogError> {
        Ok(vec![0])
    }
    async fn warnings(&self, _topic: &str) -> Vec<String> {
        Vec::new()
    }
}

/// States only; the time tells them apart.
fn map(recorded: &Recorded) -> Option<NewRecord> {
    let JournalEvent::TenantStateDesired(desired) = &recorded.event else { return None };
    let value = Bytes::from(desired.at.to_rfc3339());
    Some(NewRecord { key: Bytes::from(recorded.tenant.to_string()), value, headers: Vec::new() })
}

pub async fn decisions_are_published_in_order_and_none_is_passed_over(target: &Target) {
    let databases = connect(target).await;
    let acme = tenant("acme");
    let log = SmallLog { room: Mutex::new(3), taken: Mutex::new(Vec::new()) };
    let publish = || publish(&databases.worker, &log, "test", "talea.tenants.v1", map);
    assert_eq!(publish().await.expect("nothing is there"), 0);

    let mut tx = databases.worker.begin().await.expect("begins");
    let states = (1..=5).map(|second| desired(&acme, TenantState::Active, second));
    append(&mut tx, std::iter::once(created(&acme)).chain(states).collect()).await.expect("appends");
    tx.commit().await.expect("commits");

    let error = publish().await.expect_err("the log is full after three");
    assert!(matches!(error, OutboxError::Log { position: 5, .. }), "{error}");
    *log.room.lock().expect("no panic") = 100;
    assert_eq!(publish().await.expect("goes on at the refused one"), 2);
    assert_eq!(publish().await.expect("is at the head"), 0);
    let taken: Vec<String> =
        log.taken.lock().expect("no panic").iter().map(|v| String::from_utf8_lossy(v).into_owned()).collect();
    let seconds: Vec<&str> = taken.iter().map(|text| &text[17..19]).collect();
    assert_eq!(seconds, ["01", "02", "03", "04", "05"]);
}
