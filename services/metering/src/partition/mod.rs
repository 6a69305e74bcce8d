//! The owner of one partition: recovers, then turns records into blocks, one being prepared while one is written.
//!
//! Whatever goes wrong (a failed insert, an outcome that is unknown, a lost fence) has one answer: recover anew and judge
//! again what was not committed. Nothing is dropped and nothing is counted twice, because recovery reads what is stored.

mod block;
mod encode;
mod memory;
mod prepare;
mod recover;
mod totals;
mod voiding;
mod waiting;
mod write;

use crate::committer::Committer;
use crate::context::Context;
use block::Block;
use memory::Memory;
use std::sync::Arc;
use std::time::Duration;
use talea_platform::health::Pulse;
use talea_platform::log::LogRecord;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use totals::PartitionTotals;
use waiting::Waiting;

/// The pauses between two recoveries: the shortest after a block that was written, longer each time none was.
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How often an idle partition looks whether the plans limit other meters.
const LOOK_AT_LIMITS: Duration = Duration::from_secs(1);

pub struct Partition {
    pub number: u32,
    /// The offset that the group will read next.
    pub committed: u64,
    /// Closed when the partition is revoked or the process stops.
    pub inbox: mpsc::Receiver<Vec<LogRecord>>,
    pub committer: Committer,
    pub pulse: Pulse,
}

/// How a spell of ownership ended.
enum End {
    /// The inbox is closed and everything received is committed.
    Closed,
    /// These records were received and not committed.
    Trouble(anyhow::Error, Vec<LogRecord>),
}

impl Partition {
    /// Runs until the inbox is closed. Behind a closed inbox no trouble is mended: another owner may be at work, and to recover
    /// would take the partition from it. What is not committed then, the next owner reads again.
    pub async fn run(mut self, context: Arc<Context>) {
        let mut held: Vec<LogRecord> = Vec::new();
        let mut backoff = MIN_BACKOFF;
        while !self.inbox.is_closed() {
            let before = self.committed;
            let end = match recover::recover(&context, self.number, self.committed).await {
                Ok(owner) => {
                    if held.is_empty() {
                        self.pulse.beat();
                    }
                    Owner::new(&context, &mut self, owner).work(std::mem::take(&mut held)).await
                }
                Err(error) => End::Trouble(error, std::mem::take(&mut held)),
            };
            let End::Trouble(error, records) = end else { return };
            held = records;
            tracing::warn!(partition = self.number, error = format!("{error:#}"), "metering.recovering");
            metrics::counter!("talea_metering_recoveries_total").increment(1);
            self.pulse.trouble(format!("{error:#}"));
            backoff = if self.committed > before { MIN_BACKOFF } else { (backoff * 2).min(MAX_BACKOFF) };
            tokio::time::sleep(backoff).await;
        }
    }
}

/// A block that was not written whole, and why.
type Failed = (anyhow::Error, Box<Block>);
type Written = Result<Block, Failed>;

/// What recovery hands to the new owner.
pub(crate) struct Recovered {
    pub fence: talea_platform::usage::insert::Fence,
    pub memory: Memory,
    pub totals: PartitionTotals,
}

/// One spell of ownership, under one epoch.
struct Owner<'p> {
    context: &'p Arc<Context>,
    partition: &'p mut Partition,
    fence: Arc<talea_platform::usage::insert::Fence>,
    memory: Memory,
    totals: PartitionTotals,
    attempt: u64,
    writing: Option<JoinHandle<Written>>,
}

impl<'p> Owner<'p> {
    fn new(context: &'p Arc<Context>, partition: &'p mut Partition, recovered: Recovered) -> Self {
        Self {
            context,
            partition,
            fence: Arc::new(recovered.fence),
            memory: recovered.memory,
            totals: recovered.totals,
            attempt: 0,
            writing: None,
        }
    }

    async fn work(mut self, held: Vec<LogRecord>) -> End {
        let mut waiting = Waiting::of(held);
        loop {
            let open = match self.gather(&mut waiting).await {
                Ok(open) => open,
                Err((error, block)) => return self.trouble(error, vec![*block], waiting).await,
            };
            if waiting.is_empty() {
                debug_assert!(!open, "an open inbox yields records");
                return match self.settle().await {
                    Ok(()) => End::Closed,
                    Err((error, block)) => self.trouble(error, vec![*block], waiting).await,
                };
            }
            let records = waiting.take_block(self.context.settings.block_events);
            let block = match prepare::prepare(self.context, &self.fence, &mut self.memory, records).await {
                Ok(block) => block,
                Err((error, records)) => {
                    let waiting = Waiting::of(waiting.behind(records));
                    return self.trouble(error, Vec::new(), waiting).await;
                }
            };
            if let Err((error, failed)) = self.settle().await {
                return self.trouble(error, vec![*failed, block], waiting).await;
            }
            self.start(block);
        }
    }

    /// Waits until there is a block's worth of records: full, or lingering long enough while nothing is being written.
    /// False when the inbox is closed.
    async fn gather(&mut self, waiting: &mut Waiting) -> Result<bool, Failed> {
        let linger = tokio::time::sleep(self.context.settings.linger);
        tokio::pin!(linger);
        let mut lingering = !waiting.is_empty();
        let mut look = tokio::time::interval(LOOK_AT_LIMITS);
        while !waiting.is_full(self.context.settings.block_events) {
            tokio::select! {
                biased;
                written = async { self.writing.as_mut().expect("guarded: only polled while a block is written").await }, if self.writing.is_some() => {
                    self.writing = None;
                    self.finish(flatten(written)?).await;
                }
                received = self.partition.inbox.recv() => match received {
                    Some(records) => {
                        if waiting.is_empty() {
                            linger.as_mut().reset(tokio::time::Instant::now() + self.context.settings.linger);
                            lingering = true;
                        }
                        waiting.push(records);
                    }
                    None => return Ok(false),
                },
                () = &mut linger, if lingering && self.writing.is_none() => return Ok(true),
                // While a block is written, what is stored is in between; `finish` looks then.
                _ = look.tick(), if self.writing.is_none() => {
                    if self.totals.is_outdated(&self.context.totals) {
                        self.renew_totals().await;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Waits for the block under way, if any.
    async fn settle(&mut self) -> Result<(), Failed> {
        if let Some(writing) = self.writing.take() {
            self.finish(flatten(writing.await)?).await;
        }
        Ok(())
    }

    fn start(&mut self, block: Block) {
        self.attempt += 1;
        let (context, fence, attempt) = (self.context.clone(), self.fence.clone(), self.attempt);
        self.writing = Some(tokio::spawn(async move {
            match write::write(&context, &fence, attempt, &block).await {
                Ok(()) => Ok(block),
                Err(error) => Err((error, Box::new(block))),
            }
        }));
    }

    /// A block is durable: publish its totals, then let the group go on behind it.
    async fn finish(&mut self, block: Block) {
        self.memory.written(&block);
        if self.totals.is_outdated(&self.context.totals) {
            // What is stored holds this block's events already.
            self.renew_totals().await;
        } else {
            self.totals.add(self.context, self.fence.epoch, &block.counted);
            if !block.reopened.is_empty() {
                self.recount_totals(&block).await;
            }
        }
        block.measure(self.context.clock().now());
        self.partition.committed = block.next_offset;
        self.partition.committer.commit(self.partition.number, block.next_offset).await;
        if !block.dirty.is_empty() {
            self.context.buckets_changed.notify_one();
        }
        self.partition.pulse.beat();
    }

    /// A total that lost events is read anew: an extreme or a value that went away is not told from the total alone.
    async fn recount_totals(&mut self, block: &Block) {
        let buckets: Vec<_> = block.reopened.iter().cloned().collect();
        if let Err(error) = self.totals.recount(self.context, self.fence.epoch, &buckets).await {
            tracing::warn!(error = format!("{error:#}"), "metering.totals_not_recounted");
        }
    }

    /// The plans limit other meters now.
    async fn renew_totals(&mut self) {
        if let Err(error) = self.totals.renew(self.context, self.fence.epoch).await {
            tracing::warn!(error = format!("{error:#}"), "metering.totals_not_renewed");
        }
    }

    /// Collects every record that is not committed, in order.
    async fn trouble(mut self, error: anyhow::Error, failed: Vec<Block>, waiting: Waiting) -> End {
        let mut records = Vec::new();
        if let Some(writing) = self.writing.take() {
            match flatten(writing.await) {
                Ok(block) => self.finish(block).await,
                Err((_, block)) => records.extend(block.into_records()),
            }
        }
        records.extend(failed.into_iter().flat_map(Block::into_records));
        End::Trouble(error, waiting.behind(records))
    }
}

fn flatten<T>(joined: Result<Result<T, Failed>, tokio::task::JoinError>) -> Result<T, Failed> {
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
