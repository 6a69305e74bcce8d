//! The consumer of the usage log: hands records to one task per owned partition and commits what they finished.

use crate::committer::{Commit, Committer};
use crate::context::{Context, GROUP};
use crate::partition::Partition;
use crate::vitals::Vitals;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use talea_platform::health::Pulse;
use talea_platform::log::{Consumer, Delivery, LogError, LogRecord, topic};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Deliveries that a partition may have waiting before the log is paused for it.
const INBOX_DELIVERIES: usize = 8;
/// A consumer that has failed is well again when it ran for this long.
const WELL_AFTER: Duration = Duration::from_secs(5);

struct Owned {
    inbox: mpsc::Sender<Vec<LogRecord>>,
    task: JoinHandle<()>,
    /// What the inbox had no room for; the partition is paused meanwhile.
    overflow: VecDeque<Vec<LogRecord>>,
    pulse: Pulse,
    /// The offset behind the last record that was handed out, and the one that the partition has finished.
    delivered: u64,
    finished: u64,
}

/// Runs until the process stops; joins the group again whenever the log fails.
pub async fn run(context: Arc<Context>) {
    let vitals = Vitals::default();
    context.platform.health.add("metering", vitals.check());
    let stop = context.platform.stop.clone();
    while !stop.is_cancelled() {
        if let Err(error) = consume(&context, &vitals).await {
            tracing::warn!(error = format!("{error:#}"), "metering.consumer_failed");
            vitals.consumer.trouble(format!("{error:#}"));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}

async fn consume(context: &Arc<Context>, vitals: &Vitals) -> anyhow::Result<()> {
    let mut consumer = context.platform.log.subscribe(GROUP, topic::USAGE).await?;
    let (committer, mut commits) = Committer::channel();
    let mut owned: HashMap<u32, Owned> = HashMap::new();
    let joined = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let result = loop {
        tokio::select! {
            biased;
            Some(commit) = commits.recv() => {
                if let Some(owned) = owned.get_mut(&commit.partition) {
                    owned.finished = owned.finished.max(commit.next_offset);
                }
                if let Err(error) = store(consumer.as_mut(), commit).await { break Err(error) }
            }
            () = context.platform.stop.cancelled() => break Ok(()),
            delivery = consumer.next() => match delivery {
                Ok(delivery) => deliver(context, consumer.as_mut(), &mut owned, &committer, vitals, delivery),
                Err(error) => break Err(error.into()),
            },
            _ = tick.tick() => {
                drain_overflow(consumer.as_mut(), &mut owned);
                owned.values().filter(|owned| owned.is_idle()).for_each(|owned| owned.pulse.rest());
                if joined.elapsed() >= WELL_AFTER { vitals.consumer.beat() } else { vitals.consumer.rest() }
                if let Some((number, _)) = owned.iter().find(|(_, owned)| owned.task.is_finished()) {
                    break Err(anyhow::anyhow!("the task of partition {number} ended; joining the group again"));
                }
            }
        }
    };
    vitals.forget_all();
    finish(consumer, owned, committer, commits).await;
    result
}

/// Lets every partition finish what it has, commits it, and leaves the group.
async fn finish(
    mut consumer: Box<dyn Consumer>,
    owned: HashMap<u32, Owned>,
    committer: Committer,
    mut commits: mpsc::Receiver<Commit>,
) {
    let mut tasks = Vec::new();
    for (_, owned) in owned {
        drop(owned.inbox);
        tasks.push(owned.task);
    }
    drop(committer);
    while let Some(commit) = commits.recv().await {
        if let Err(error) = store(consumer.as_mut(), commit).await {
            tracing::warn!(error = format!("{error:#}"), "metering.last_commit_failed");
        }
    }
    for task in tasks {
        if task.await.is_err() {
            tracing::error!("metering.partition_panicked");
        }
    }
    consumer.close().await;
}

async fn store(consumer: &mut dyn Consumer, commit: Commit) -> anyhow::Result<()> {
    match consumer.commit(commit.partition, commit.next_offset).await {
        // Somebody else owns it now; what was written stays, the fence guards the rest.
        Ok(()) | Err(LogError::Lost { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn deliver(
    context: &Arc<Context>,
    consumer: &mut dyn Consumer,
    owned: &mut HashMap<u32, Owned>,
    committer: &Committer,
    vitals: &Vitals,
    delivery: Delivery,
) {
    match delivery {
        Delivery::Assigned { partition, next_offset } => {
            let (sender, inbox) = mpsc::channel(INBOX_DELIVERIES);
            let pulse = vitals.partition(partition);
            let worker = Partition {
                number: partition,
                committed: next_offset,
                inbox,
                committer: committer.clone(),
                pulse: pulse.clone(),
            };
            let task = tokio::spawn(worker.run(context.clone()));
            let (delivered, finished) = (next_offset, next_offset);
            owned.insert(
                partition,
                Owned { inbox: sender, task, overflow: VecDeque::new(), pulse, delivered, finished },
            );
        }
        Delivery::Revoked { partition } => {
            // Dropping the inbox ends the task after its last block; the new owner's fence does not wait for it.
            owned.remove(&partition);
            vitals.forget(partition);
        }
        Delivery::Records { partition, records } => {
            let Some(owned) = owned.get_mut(&partition) else { return };
            owned.delivered = records.last().map_or(owned.delivered, |record| record.offset + 1);
            owned.overflow.push_back(records);
            if !owned.flush() {
                consumer.pause(partition);
            }
        }
    }
}

fn drain_overflow(consumer: &mut dyn Consumer, owned: &mut HashMap<u32, Owned>) {
    for (partition, owned) in owned.iter_mut().filter(|(_, owned)| !owned.overflow.is_empty()) {
        if owned.flush() {
            consumer.resume(*partition);
        }
    }
}

impl Owned {
    /// Whether everything that was handed out is finished.
    fn is_idle(&self) -> bool {
        self.finished >= self.delivered
    }

    /// Moves what fits into the inbox; true when nothing is left over.
    fn flush(&mut self) -> bool {
        while let Some(records) = self.overflow.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(records) | mpsc::error::TrySendError::Closed(records)) =
                self.inbox.try_send(records)
            {
                self.overflow.push_front(records);
                return false;
            }
        }
        true
    }
}
