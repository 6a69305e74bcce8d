//! Numbers that only grow, each given once: the epochs of partition owners and the revisions of recomputed buckets. They
//! come from one `UPDATE … RETURNING`, never from the highest one seen plus one, which two could read at once.

use crate::postgres::{DatabaseError, Databases};

/// Stands in the topic's place for the revisions of buckets.
const BUCKET_REVISIONS: &str = "usage_buckets";

impl Databases {
    /// A new epoch for the owner of a partition: higher than every one given before.
    pub async fn next_epoch(&self, topic: &str, partition: u32) -> Result<u64, DatabaseError> {
        const NEXT: &str = "INSERT INTO metering_epochs AS e (topic, partition, epoch) VALUES ($1, $2, 1) \
            ON CONFLICT (topic, partition) DO UPDATE SET epoch = e.epoch + 1 RETURNING epoch";
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        let epoch: i64 = sqlx::query_scalar(NEXT).bind(topic).bind(partition).fetch_one(self.worker.pool()).await?;
        Ok(epoch.unsigned_abs())
    }

    /// A new revision for recomputed buckets.
    pub async fn next_revision(&self) -> Result<u64, DatabaseError> {
        self.next_epoch(BUCKET_REVISIONS, 0).await
    }
}
