//! A consumer that remembers what it heard, and checks on the way that nothing comes of a partition it does not own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use talea_platform::log::{Consumer, Delivery, Log, LogRecord};

const DEADLINE: Duration = Duration::from_secs(60);

pub struct Reader {
    pub consumer: Box<dyn Consumer>,
    /// Owned partitions, with the offset that their assignment named.
    pub owned: BTreeMap<u32, u64>,
    pub revoked: Vec<u32>,
    pub records: Vec<LogRecord>,
    next: BTreeMap<u32, u64>,
}

impl Reader {
    pub async fn join(log: &Arc<dyn Log>, group: &str, topic: &str) -> Self {
        let consumer = log.subscribe(group, topic).await.expect("the group is joined");
        Reader { consumer, owned: BTreeMap::new(), revoked: Vec::new(), records: Vec::new(), next: BTreeMap::new() }
    }

    /// Takes in the next delivery.
    pub async fn step(&mut self) {
        match self.consumer.next().await.expect("the log delivers") {
            Delivery::Assigned { partition, next_offset } => {
                let before = self.owned.insert(partition, next_offset);
                assert!(before.is_none(), "partition {partition} was assigned twice");
                self.next.insert(partition, next_offset);
            }
            Delivery::Revoked { partition } => {
                assert!(self.owned.remove(&partition).is_some(), "partition {partition} was not owned");
                self.revoked.push(partition);
            }
            Delivery::Records { partition, records } => {
                assert!(self.owned.contains_key(&partition), "records of {partition}, which is not owned");
                assert!(!records.is_empty(), "a delivery is never empty");
                for record in records {
                    assert_eq!(record.partition, partition);
                    let next = self.next.get_mut(&partition).expect("an owned partition has a next offset");
                    assert!(record.offset >= *next, "offset {} after {next}", record.offset);
                    *next = record.offset + 1;
                    self.records.push(record);
                }
            }
        }
    }

    /// Takes in deliveries until the condition holds.
    pub async fn until(&mut self, what: &str, done: impl Fn(&Reader) -> bool) {
        let reading = async {
            while !done(self) {
                self.step().await;
            }
        };
        if tokio::time::timeout(DEADLINE, reading).await.is_err() {
            panic!("waited in vain: {what}; owned {:?}, {} records", self.owned, self.records.len());
        }
    }

    pub async fn commit(&mut self, partition: u32, next_offset: u64) {
        self.consumer.commit(partition, next_offset).await.expect("the offset is committed");
    }

    /// Commits all that was read of the partitions that are owned.
    pub async fn commit_all(&mut self) {
        for (partition, next) in self.next.clone() {
            if self.owned.contains_key(&partition) {
                self.commit(partition, next).await;
            }
        }
    }

    pub fn positions(&self) -> BTreeSet<(u32, u64)> {
        self.records.iter().map(|record| (record.partition, record.offset)).collect()
    }
}

/// Lets both read until the condition holds.
pub async fn both_until(a: &mut Reader, b: &mut Reader, what: &str, done: impl Fn(&Reader, &Reader) -> bool) {
    let reading = async {
        while !done(a, b) {
            tokio::select! {
                () = a.step() => {}
                () = b.step() => {}
            }
        }
    };
    if tokio::time::timeout(DEADLINE, reading).await.is_err() {
        panic!("waited in vain: {what}; owned {:?} and {:?}", a.owned, b.owned);
    }
}
