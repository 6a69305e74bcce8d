//! However many runs there are, at once or one after another, a moment is billed once and numbers have no gap.

use super::support::{open, subscribe};
use crate::harness::{LogChoice, Stage};
use std::collections::BTreeSet;
use talea_billing::{Billing, Trigger};
use talea_platform::postgres::OwnerPool;
use talea_platform::projections;

const TENANTS: usize = 30;

/// Runs of several processes at once over the same subscriptions, then a rebuild from the journal.
pub async fn runs_at_once_issue_each_document_once(log: LogChoice) {
    let stage = Stage::new(log).await;
    {
        let server = stage.serve().await;
        open(&server).await;
        for n in 0..TENANTS {
            let tenant = format!("t{n}");
            stage.tenant(&tenant).await;
            // After this server's time, so that its worker leaves them to the runs below.
            subscribe(&server, &tenant, "flat", "2026-10-16", "").await;
        }
    }
    let mut runs = Vec::new();
    for _ in 0..3 {
        let platform = stage.platform().await;
        platform.clock.advance("2026-12-20T00:00:00Z".parse().expect("a time")).expect("goes forward");
        let billing = Billing::new((*platform).clone());
        let as_of = platform.clock.now();
        runs.push(tokio::spawn(async move { billing.run(as_of, Trigger::Clock).await }));
    }
    let mut issued = 0;
    for run in runs {
        issued += run.await.expect("ends").expect("runs").finalized;
    }
    // Two moments each: the first of November and of December.
    assert_eq!(issued, 2 * TENANTS as u64);
    let server = stage.serve().await;
    let page = server.get("/v1/invoices", &[("limit", "1000")]).await.ok();
    let numbers: BTreeSet<String> = page["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["number"].as_str().expect("issued").to_owned())
        .collect();
    let expected: BTreeSet<String> = (1..=2 * TENANTS).map(|n| format!("INV-{n:06}")).collect();
    assert_eq!(numbers, expected, "no gap and no repeat");
    let owner = OwnerPool::new(&stage.databases.target).expect("a pool");
    let report = projections::rebuild(&owner).await.expect("rebuilds");
    assert!(report.agrees(), "{report:?}");
}
