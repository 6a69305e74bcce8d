//! Reads the totals topic into the book. Every instance keeps all totals, so each reads all partitions, in a consumer
//! group of its own whose name is drawn at start: no instance takes records from another, and after a crash nobody waits
//! for a dead member to be missed.

use crate::shared::Shared;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use talea_domain::entitlement::TotalRecord;
use talea_domain::id::prefixed;
use talea_platform::health::Pulse;
use talea_platform::log::{Consumer, Delivery, LogRecord, topic};
use talea_platform::random;

/// A new group begins at the earliest record. Up to so many records a partition it just reads them: old totals do no harm.
/// Beyond, it is moved to the end.
const READ_THROUGH_RECORDS: u64 = 50_000;
/// How far before the end it is moved then: totals of blocks that were under way while the store was asked.
const OVERLAP_RECORDS: u64 = 5_000;
/// Records taken in under one lock of the book: some tens of microseconds, in which checks wait.
const CHUNK: usize = 128;
/// How often the group's offsets are stored. They only matter when the connection to the log is lost and made again.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// Without a delivery or a look for one for so long, the feed is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// How often an idle feed says that it is alive.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// The pause after an error of the log.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Runs until the process stops.
pub async fn run(shared: Arc<Shared>) {
    let pulse = Pulse::default();
    shared.platform.health.add("quota.feed", pulse.check(STUCK_AFTER));
    let stop = shared.platform.stop.clone();
    let group = prefixed("talea-quota", random::bits128());
    tokio::select! {
        () = stop.cancelled() => return,
        () = shared.terms_known.wait() => {}
    }
    while !stop.is_cancelled() {
        if let Err(error) = Feed::new(&shared, &pulse).run(&group).await {
            tracing::warn!(error = format!("{error:#}"), "quota.feed_failed");
            pulse.trouble(format!("{error:#}"));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    }
}

struct Feed<'a> {
    shared: &'a Arc<Shared>,
    pulse: &'a Pulse,
    /// The ends of the partitions before the store is asked.
    ends: Vec<u64>,
    assigned: HashSet<u32>,
    /// Partitions that were moved to their end: the group has to be joined anew to read from there.
    moved: bool,
    uncommitted: HashSet<u32>,
    committed_at: Instant,
}

impl<'a> Feed<'a> {
    fn new(shared: &'a Arc<Shared>, pulse: &'a Pulse) -> Self {
        Self {
            shared,
            pulse,
            ends: Vec::new(),
            assigned: HashSet::new(),
            moved: false,
            uncommitted: HashSet::new(),
            committed_at: Instant::now(),
        }
    }

    async fn run(&mut self, group: &str) -> anyhow::Result<()> {
        self.ends = self.shared.platform.log.end_offsets(topic::TOTALS).await?;
        let stop = self.shared.platform.stop.clone();
        let mut consumer = self.shared.platform.log.subscribe(group, topic::TOTALS).await?;
        let outcome = loop {
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                () = tokio::time::sleep(BEAT_EVERY) => self.pulse.beat(),
                delivery = consumer.next() => {
                    let delivery = match delivery {
                        Ok(delivery) => delivery,
                        Err(error) => break Err(error.into()),
                    };
                    if let Err(error) = self.take(consumer.as_mut(), delivery).await {
                        break Err(error);
                    }
                    if self.moved && self.assigned.len() == self.ends.len() {
                        break Ok(());
                    }
                }
            }
        };
        consumer.close().await;
        outcome
    }

    async fn take(&mut self, consumer: &mut dyn Consumer, delivery: Delivery) -> anyhow::Result<()> {
        self.pulse.beat();
        match delivery {
            Delivery::Assigned { partition, next_offset } => self.assign(consumer, partition, next_offset).await?,
            Delivery::Revoked { partition } => drop(self.assigned.remove(&partition)),
            Delivery::Records { partition, records } => {
                // What is read before the move would be read to no purpose.
                if !self.moved {
                    self.take_in(&records).await;
                    self.advance(partition, records.last().map_or(0, |last| last.offset + 1));
                    self.uncommitted.insert(partition);
                }
            }
        }
        if self.committed_at.elapsed() > COMMIT_EVERY {
            self.commit(consumer).await?;
        }
        Ok(())
    }

    async fn assign(&mut self, consumer: &mut dyn Consumer, partition: u32, next: u64) -> anyhow::Result<()> {
        self.assigned.insert(partition);
        let end = self.ends.get(partition as usize).copied().unwrap_or(0);
        if end.saturating_sub(next) > READ_THROUGH_RECORDS {
            consumer.commit(partition, end - OVERLAP_RECORDS).await?;
            self.moved = true;
        }
        self.advance(partition, next);
        if self.assigned.len() == self.ends.len() && !self.moved {
            self.shared.feed_fixed.reach();
            self.shared.totals_wanted.notify_one();
        }
        Ok(())
    }

    async fn commit(&mut self, consumer: &mut dyn Consumer) -> anyhow::Result<()> {
        self.committed_at = Instant::now();
        for partition in std::mem::take(&mut self.uncommitted) {
            let next = self.positions().get(partition as usize).copied().unwrap_or(0);
            consumer.commit(partition, next).await?;
        }
        Ok(())
    }

    async fn take_in(&self, records: &[LogRecord]) {
        for chunk in records.chunks(CHUNK) {
            let totals: Vec<TotalRecord> = chunk.iter().filter_map(decode).collect();
            let now = self.shared.platform.clock.now();
            let mut due = false;
            {
                let mut book = self.shared.book_mut();
                totals.iter().for_each(|total| due |= book.apply(total, now));
            }
            if due {
                self.shared.signals_due.notify_one();
            }
            metrics::counter!("talea_totals_taken_in_total").increment(totals.len() as u64);
            // A long backlog must not keep checks and signals waiting.
            tokio::task::yield_now().await;
        }
    }

    fn advance(&self, partition: u32, next: u64) {
        let mut positions = self.positions();
        let wanted = self.ends.len().max(partition as usize + 1);
        if positions.len() < wanted {
            positions.resize(wanted, 0);
        }
        positions[partition as usize] = next;
    }

    fn positions(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.shared.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record that cannot be read is passed over: totals repeat themselves, and the comparison with the store mends the rest.
fn decode(record: &LogRecord) -> Option<TotalRecord> {
    TotalRecord::decode(&record.value)
        .inspect_err(|error| {
            metrics::counter!("talea_totals_unreadable_total").increment(1);
            tracing::warn!(log.partition = record.partition, log.offset = record.offset, %error, "quota.total_unreadable");
        })
        .ok()
}
