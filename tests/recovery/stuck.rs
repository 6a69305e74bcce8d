//! One partition that gets nowhere beside one that does: it is seen, it stops nobody, and it loses nothing.

use crate::events::ALWAYS;
use crate::harness::stage::PARTITIONS;
use crate::harness::{Event, LogChoice, Stage, event, eventually};
use talea_domain::event::identity_of;
use talea_domain::id::TenantId;
use talea_platform::log::{partitioner, topic};
use talea_platform::usage::fence;
use talea_platform::usage::insert::Fence;

/// Far above every epoch that is given.
const FAR: u64 = 1 << 40;

/// Some events whose home is the partition.
fn of_partition(partition: u32, from: u64, count: usize) -> Vec<Event> {
    let acme = TenantId::parse("acme").expect("a tenant id");
    let home = |n: &u64| {
        let identity = identity_of(&acme, "/api", &n.to_string());
        partitioner::partition_for(&identity.0.to_be_bytes(), PARTITIONS) == partition
    };
    (from..).filter(home).take(count).map(|n| event("acme", &n.to_string()).tokens(1)).collect()
}

pub async fn one_stuck_partition_is_seen_beside_one_that_works(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    server.count(&[of_partition(0, 0, 5), of_partition(1, 0, 5)].concat()).await;
    // Somebody who never gives up owns partition 0.
    let clickhouse = &stage.databases.clickhouse;
    let foreign = Fence { topic: topic::USAGE.to_owned(), partition: 0, epoch: FAR };
    fence::take(clickhouse, &foreign).await.expect("the partition is taken");
    server.ingest(&of_partition(0, 1000, 5)).await.ok();
    eventually("the server says that it is stuck", async || match server.get("/readyz", &[]).await {
        answer if answer.status == 503 => Ok(()),
        answer => Err(answer.text),
    })
    .await;
    for round in 0..20 {
        server.ingest(&of_partition(1, 2000 + 100 * round, 2)).await.ok();
        let answer = server.get("/readyz", &[]).await;
        assert_eq!(answer.status, 503, "round {round}: {}", answer.text);
        assert!(answer.text.contains("partition 0"), "{}", answer.text);
    }
    eventually("the other partition goes on", async || match server.total("acme", "tokens", ALWAYS).await {
        (_, 50, _) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    clickhouse.execute(clickhouse.query("TRUNCATE TABLE usage_fences")).await.expect("the other gives up");
    server.drained().await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("55".to_owned(), 55, 0));
    eventually("the server is ready again", async || match server.get("/readyz", &[]).await {
        answer if answer.status == 200 => Ok(()),
        answer => Err(answer.text),
    })
    .await;
}
