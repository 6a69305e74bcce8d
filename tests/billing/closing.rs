//! When a period closes: after its grace, and never before metering has consumed what the log held then.

use super::support::{bill, document, invoices, lines, open, store_twice, subscribe, totals, usage};
use crate::harness::{LogChoice, Stage, TestServer, eventually};
use bytes::Bytes;
use talea_billing::{Billing, Trigger};
use talea_domain::event::identity_of;
use talea_platform::log::{NewRecord, topic};

/// A subscription that started in the past is billed period by period, in order, in one run; doing it again changes nothing.
pub async fn a_backlog_is_billed_moment_after_moment(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    server.count(&usage("acme", "september", "2026-09-30T23:59:59.999999Z", &[7, 5])).await;
    server.count(&usage("acme", "october", "2026-10-01T00:00:00Z", &[1])).await;
    subscribe(&server, "acme", "metered", "2026-09-15", "").await;
    subscribe(&server, "acme", "flat", "2026-07-01", "").await;
    let summary = bill(&server, "2026-10-15T12:00:00Z").await;
    // The worker may have been first with the flat prices, which wait for nothing.
    assert_eq!((&summary["waiting_for_grace"], &summary["refused_count"]), (&0.into(), &0.into()), "{summary}");
    let rows = invoices(&server, "acme").await;
    let mut seen: Vec<_> =
        rows.iter().map(|row| (row["billed_at"].as_str(), row["total"]["amount"].as_str())).collect();
    seen.sort();
    let at = |month: &'static str, total: &'static str| (Some(month), Some(total));
    assert_eq!(
        seen,
        [
            at("2026-08-01T00:00:00Z", "31.00"),
            at("2026-09-01T00:00:00Z", "31.00"),
            at("2026-10-01T00:00:00Z", "1.20"),
            at("2026-10-01T00:00:00Z", "31.00"),
        ]
    );
    let mut numbers: Vec<_> = rows.iter().map(|row| row["number"].as_str().expect("issued")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["INV-000001", "INV-000002", "INV-000003", "INV-000004"]);
    assert!(rows.iter().all(|row| row["issue_date"] == "2026-10-15" && row["due_date"] == "2026-11-14"), "{rows:?}");
    let again = bill(&server, "2026-10-15T12:00:00Z").await;
    assert_eq!((&again["finalized"], &again["drafted"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(invoices(&server, "acme").await, rows);
}

/// The worker drafts at the period's end and issues when the grace is over; usage that comes in between is on the invoice.
/// What the upcoming invoice said last is what is issued.
pub async fn a_period_waits_for_its_grace(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant_in("acme", chrono_tz::Asia::Kathmandu).await;
    let server = stage.serve().await;
    open(&server).await;
    let id = subscribe(&server, "acme", "metered", "2026-10-10", "").await;
    server.count(&usage("acme", "before", "2026-10-15T12:00:00Z", &[10])).await;
    // The period ends at midnight in Kathmandu, 05:45 before UTC's.
    server.advance("2026-10-31T18:14:59Z").await;
    assert!(invoices(&server, "acme").await.is_empty());
    server.advance("2026-10-31T18:15:00Z").await;
    let status = |expected: &'static str| {
        let server = &server;
        async move {
            eventually(expected, async || {
                let rows = invoices(server, "acme").await;
                let seen = rows.first().map_or("none", |row| row["status"].as_str().unwrap_or_default());
                if seen == expected { Ok(()) } else { Err(seen.to_owned()) }
            })
            .await;
        }
    };
    status("draft").await;
    assert_eq!(totals(&invoices(&server, "acme").await), [("draft", "", "1.00")]);
    server.count(&usage("acme", "in-the-grace", "2026-10-31T18:14:59.999Z", &[20])).await;
    server.count(&usage("acme", "next", "2026-10-31T18:15:00Z", &[40])).await;
    let summary = bill(&server, "2026-10-31T18:15:00Z").await;
    assert_eq!((&summary["waiting_for_grace"], &summary["finalized"]), (&1.into(), &0.into()), "{summary}");
    let upcoming = server.get(&format!("/v1/subscriptions/{id}/upcoming-invoice"), &[]).await.ok();
    server.advance("2026-11-01T18:15:00Z").await;
    status("finalized").await;
    let rows = invoices(&server, "acme").await;
    assert_eq!(totals(&rows), [("finalized", "INV-000001", "3.00")]);
    let issued = document(&server, &rows[0]).await;
    assert_eq!((&issued["lines"], &issued["total"]), (&upcoming["lines"], &upcoming["total"]));
    assert_eq!(issued["issue_date"], "2026-11-02", "the day in Kathmandu");
    assert_eq!(lines(&issued), [("usage".into(), "30".into(), "3.00".into())]);
}

/// While metering is behind, an invoice waits; it is never short.
pub async fn a_lag_delays_an_invoice_and_never_shortens_it(log: LogChoice) {
    let stage = Stage::new(log).await;
    let acme = stage.tenant("acme").await;
    {
        let server = stage.serve().await;
        open(&server).await;
        server.count(&usage("acme", "counted", "2026-09-20T00:00:00Z", &[1])).await;
        // The period ends with the subscription, so that its grace is over by the day on which the clock starts.
        subscribe(&server, "acme", "metered", "2026-09-01", "2026-10-01").await;
        server.kill9().await;
    }
    let platform = stage.platform().await;
    let billing = Billing::new((*platform).clone());
    let summary = billing.run(platform.clock.now(), Trigger::Clock).await.expect("runs");
    assert_eq!((summary.waiting_for_grace, summary.finalized), (1, 0), "it was recorded only now: {summary:?}");
    platform.clock.advance("2026-10-20T00:00:00Z".parse().expect("a time")).expect("goes forward");
    let late = usage("acme", "waiting", "2026-09-21T00:00:00Z", &[100]).remove(0);
    let identity = identity_of(&acme, "/api", "waiting-0");
    let record = NewRecord {
        key: Bytes::copy_from_slice(&identity.0.to_be_bytes()),
        value: late.bytes().into(),
        headers: Vec::new(),
    };
    for answer in platform.log.append(topic::USAGE, vec![record]).await {
        answer.expect("is acknowledged");
    }
    let summary = billing.run(platform.clock.now(), Trigger::Clock).await.expect("runs");
    assert_eq!((summary.waiting_for_metering, summary.finalized), (1, 0), "{summary:?}");
    let server = TestServer::start(&stage, &["ingest", "metering"]).await;
    server.drained().await;
    let summary = billing.run(platform.clock.now(), Trigger::Clock).await.expect("runs");
    assert_eq!((summary.waiting_for_metering, summary.finalized), (0, 1), "{summary:?}");
    drop(server);
    let server = stage.serve().await;
    assert_eq!(totals(&invoices(&server, "acme").await), [("finalized", "INV-000001", "10.10")]);
}

/// An event that is stored twice stops the invoice that would stand on it, and no other.
pub async fn a_double_in_the_store_stops_its_invoice_alone(log: LogChoice) {
    let stage = Stage::new(log).await;
    let platform = stage.platform().await;
    let server = stage.serve().await;
    open(&server).await;
    for tenant in ["acme", "beta", "gamma"] {
        stage.tenant(tenant).await;
        server.count(&usage(tenant, "one", "2026-09-20T00:00:00Z", &[10, 20])).await;
        subscribe(&server, tenant, "metered", "2026-09-01", "2026-10-01").await;
    }
    store_twice(&platform, "beta").await;
    let summary = bill(&server, "2026-10-15T12:00:00Z").await;
    assert_eq!((&summary["finalized"], &summary["refused_count"]), (&2.into(), &1.into()), "{summary}");
    assert_eq!(summary["refused"][0]["tenant_id"], "beta");
    assert!(summary["refused"][0]["reason"].as_str().expect("a reason").contains("more than once"), "{summary}");
    assert_eq!(totals(&invoices(&server, "gamma").await)[0].2, "3.00");
    assert!(invoices(&server, "beta").await.iter().all(|row| row["status"] == "draft"));
}

/// Finance may issue a draft before its grace is over.
pub async fn a_draft_is_issued_early_on_request(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    subscribe(&server, "acme", "metered", "2026-10-01", "").await;
    server.count(&usage("acme", "one", "2026-10-15T12:00:00Z", &[10])).await;
    server.advance("2026-11-01T00:00:01Z").await;
    let draft = eventually("a draft", async || {
        let rows = invoices(&server, "acme").await;
        rows.into_iter().next().ok_or("none".to_owned())
    })
    .await;
    let path = format!("/v1/invoices/{}/finalize", draft["id"].as_str().expect("an id"));
    let issued = server.post(&path, &serde_json::json!({})).await.ok();
    assert_eq!((&issued["status"], &issued["number"]), (&"finalized".into(), &"INV-000001".into()));
    assert_eq!(server.post(&path, &serde_json::json!({})).await.ok(), issued, "asking again answers the same document");
    assert_eq!(document(&server, &draft).await, issued);
}
