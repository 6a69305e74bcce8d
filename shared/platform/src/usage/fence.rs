//! Taking a partition over: from the moment this returns, no older owner can write, and what is stored can be read.

use super::insert::Fence;
use crate::clickhouse::{ClickHouse, ClickHouseError, sql};

/// Writes the new owner's epoch, then ends the inserts of older owners that are still running. The order matters: an insert that
/// starts after the first step is refused, one that started before it is killed by the second. Running it again changes nothing.
///
/// # Errors
/// See [`ClickHouseError`]; nothing may be read for recovery until it succeeds.
pub async fn take(clickhouse: &ClickHouse, fence: &Fence) -> Result<(), ClickHouseError> {
    let statement = format!(
        "INSERT INTO usage_fences (topic, partition, epoch) SELECT {}, {}, {}",
        sql::text(&fence.topic),
        fence.partition,
        fence.epoch
    );
    clickhouse.execute(clickhouse.query(&statement)).await?;
    clickhouse.kill(&fence.query_prefix()).await
}
