//! Commits go through the task that owns the consumer: a partition only says how far it is.

use tokio::sync::mpsc;

/// Everything of the partition below the offset is done.
pub struct Commit {
    pub partition: u32,
    pub next_offset: u64,
}

#[derive(Clone)]
pub struct Committer(mpsc::Sender<Commit>);

impl Committer {
    /// A bounded channel: a partition waits when the consumer is behind with commits.
    pub fn channel() -> (Self, mpsc::Receiver<Commit>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(sender), receiver)
    }

    /// Hands the commit over. One that is lost with the process only costs a replay.
    pub async fn commit(&self, partition: u32, next_offset: u64) {
        if self.0.send(Commit { partition, next_offset }).await.is_err() {
            tracing::debug!(partition, next_offset, "metering.commit_after_end");
        }
    }
}
