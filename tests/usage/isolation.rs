//! A tenant's query sees that tenant alone, even when it forgets to say so.

use super::support::{Dice, at, dirty_of, event, meter, own_all, place, store, tenant};
use talea_domain::meter::Aggregation;
use talea_platform::clickhouse::{ClickHouse, TENANT_TABLES};
use talea_platform::usage::buckets::recompute;

/// A query without any condition on the tenant, in every tenant table, in subqueries, joins and with FINAL.
pub async fn a_forgotten_condition_shows_one_tenant(clickhouse: &ClickHouse) {
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z"));
    let mut dice = Dice(5);
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    let mut events: Vec<_> = (0..60).map(|n| event(&mut dice, &acme, n, from, to)).collect();
    events.extend((0..40).map(|n| event(&mut dice, &beta, n, from, to)));
    let rows = place(events, &mut [0; 4], to);
    own_all(clickhouse).await;
    store(clickhouse, &rows, 1).await;
    let mut all = meter(&mut dice, "m", Aggregation::Count);
    all.filters.clear();
    recompute(clickhouse, &[all], &dirty_of(&rows), 1).await.expect("recomputed");
    for table in ["usage_voids", "usage_repeats", "dead_letters"] {
        let insert = format!("INSERT INTO {table} (tenant_id, offset) VALUES ('acme', 1), ('beta', 2), ('', 3)");
        clickhouse.execute(clickhouse.query(&insert)).await.expect("inserted");
    }
    for table in TENANT_TABLES {
        for forgetful in [
            format!("SELECT tenant_id FROM {table}"),
            format!("SELECT x.tenant_id FROM (SELECT * FROM {table}) AS x"),
            format!("WITH y AS (SELECT tenant_id FROM {table}) SELECT tenant_id FROM y"),
            format!(
                "SELECT b.tenant_id FROM (SELECT 1 AS one) AS a INNER JOIN (SELECT 1 AS one, tenant_id FROM {table}) AS b USING (one)"
            ),
        ] {
            let seen: Vec<String> = clickhouse.rows(clickhouse.tenant_query(&beta, &forgetful)).await.expect("rows");
            assert!(!seen.is_empty() && seen.iter().all(|tenant| tenant == "beta"), "{forgetful}: {seen:?}");
            let everyone: Vec<String> = clickhouse.rows(clickhouse.query(&forgetful)).await.expect("rows");
            assert!(everyone.iter().any(|tenant| tenant == "acme"), "the test has something to hide in {table}");
        }
    }
    let kept: Vec<u64> =
        clickhouse.rows(clickhouse.tenant_query(&beta, "SELECT count() FROM usage_events")).await.expect("a count");
    assert_eq!(kept, [40], "a count without reading rows is filtered too");
}

/// Every table with a tenant column is in the list of filtered tables.
pub async fn every_tenant_table_is_filtered(clickhouse: &ClickHouse) {
    let query =
        "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'tenant_id' ORDER BY table";
    let tables: Vec<String> = clickhouse.rows(clickhouse.query(query)).await.expect("tables");
    let mut listed: Vec<&str> = TENANT_TABLES.to_vec();
    listed.sort_unstable();
    assert_eq!(tables, listed);
}

/// A second migration changes nothing.
pub async fn migrating_again_does_nothing(clickhouse: &ClickHouse) {
    assert_eq!(clickhouse.migrate().await.expect("migrated"), 0);
}
