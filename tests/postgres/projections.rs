//! Projections: written with the decision, and the same when they are rebuilt from the journal alone.

use super::fixtures::{connect, created, decision, desired, tenant};
use sqlx::Row;
use talea_domain::id::TenantId;
use talea_domain::invoice::Invoice;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::{TenantScope, TenantState};
use talea_platform::journal::{self, Decision, append};
use talea_platform::postgres::{Databases, OwnerPool, Target};
use talea_platform::projections::{RebuildReport, TABLES, rebuild};

/// One of each type, in an order in which they can happen.
const GOLDEN: [(&str, &str); 41] = [
    ("topic.created.v1", include_str!("../../schemas/golden/journal/topic.created.v1.json")),
    ("meter.defined.v1", include_str!("../../schemas/golden/journal/meter.defined.v1.json")),
    ("plan.published.v1", include_str!("../../schemas/golden/journal/plan.published.v1.json")),
    ("invoice.settings_changed.v1", include_str!("../../schemas/golden/journal/invoice.settings_changed.v1.json")),
    ("tenant.created.v1", include_str!("../../schemas/golden/journal/tenant.created.v1.json")),
    ("api_key.created.v1", include_str!("../../schemas/golden/journal/api_key.created.v1.json")),
    ("subscription.started.v1", include_str!("../../schemas/golden/journal/subscription.started.v1.json")),
    ("quota.limit_changed.v1", include_str!("../../schemas/golden/journal/quota.limit_changed.v1.json")),
    ("quota.signalled.v1", include_str!("../../schemas/golden/journal/quota.signalled.v1.json")),
    ("tenant.state_desired.v1", include_str!("../../schemas/golden/journal/tenant.state_desired.v1.json")),
    ("coupon.created.v1", include_str!("../../schemas/golden/journal/coupon.created.v1.json")),
    ("coupon.applied.v1", include_str!("../../schemas/golden/journal/coupon.applied.v1.json")),
    ("tax_rates.changed.v1", include_str!("../../schemas/golden/journal/tax_rates.changed.v1.json")),
    ("tenant.tax_profile_changed.v1", include_str!("../../schemas/golden/journal/tenant.tax_profile_changed.v1.json")),
    ("invoice.drafted.v1", include_str!("../../schemas/golden/journal/invoice.drafted.v1.json")),
    ("invoice.finalized.v1", include_str!("../../schemas/golden/journal/invoice.finalized.v1.json")),
    ("period.closed.v1", include_str!("../../schemas/golden/journal/period.closed.v1.json")),
    ("invoice.payment_recorded.v1", include_str!("../../schemas/golden/journal/invoice.payment_recorded.v1.json")),
    ("invoice.payment_reversed.v1", include_str!("../../schemas/golden/journal/invoice.payment_reversed.v1.json")),
    ("credit_note.issued.v1", include_str!("../../schemas/golden/journal/credit_note.issued.v1.json")),
    ("dunning.step_reached.v1", include_str!("../../schemas/golden/journal/dunning.step_reached.v1.json")),
    (
        "tenant.billing_terms_changed.v1",
        include_str!("../../schemas/golden/journal/tenant.billing_terms_changed.v1.json"),
    ),
    ("tenant.credit_refunded.v1", include_str!("../../schemas/golden/journal/tenant.credit_refunded.v1.json")),
    ("invoice.voided.v1", include_str!("../../schemas/golden/journal/invoice.voided.v1.json")),
    (
        "invoice.marked_uncollectible.v1",
        include_str!("../../schemas/golden/journal/invoice.marked_uncollectible.v1.json"),
    ),
    ("wallet.created.v1", include_str!("../../schemas/golden/journal/wallet.created.v1.json")),
    ("credit.granted.v1", include_str!("../../schemas/golden/journal/credit.granted.v1.json")),
    ("credit.consumed.v1", include_str!("../../schemas/golden/journal/credit.consumed.v1.json")),
    ("credit.top_up_ordered.v1", include_str!("../../schemas/golden/journal/credit.top_up_ordered.v1.json")),
    ("credit.returned.v1", include_str!("../../schemas/golden/journal/credit.returned.v1.json")),
    ("credit.rolled_over.v1", include_str!("../../schemas/golden/journal/credit.rolled_over.v1.json")),
    ("credit.expired.v1", include_str!("../../schemas/golden/journal/credit.expired.v1.json")),
    ("coupon.removed.v1", include_str!("../../schemas/golden/journal/coupon.removed.v1.json")),
    ("wallet.top_up_changed.v1", include_str!("../../schemas/golden/journal/wallet.top_up_changed.v1.json")),
    ("subscription.cancelled.v1", include_str!("../../schemas/golden/journal/subscription.cancelled.v1.json")),
    ("plan.migration_started.v1", include_str!("../../schemas/golden/journal/plan.migration_started.v1.json")),
    ("plan.migration_advanced.v1", include_str!("../../schemas/golden/journal/plan.migration_advanced.v1.json")),
    ("charge.added.v1", include_str!("../../schemas/golden/journal/charge.added.v1.json")),
    ("charge.withdrawn.v1", include_str!("../../schemas/golden/journal/charge.withdrawn.v1.json")),
    ("charge.invoiced.v1", include_str!("../../schemas/golden/journal/charge.invoiced.v1.json")),
    ("api_key.revoked.v1", include_str!("../../schemas/golden/journal/api_key.revoked.v1.json")),
];

/// Decisions whose scope is everybody's.
const GLOBAL: [&str; 6] = ["topic.", "meter.", "plan.", "invoice.settings", "coupon.created", "tax_rates."];

fn golden() -> Vec<Decision> {
    let one_of_each = GOLDEN.iter().map(|(type_name, payload)| {
        let event = JournalEvent::decode(type_name, payload.trim_end()).expect(type_name);
        let global = GLOBAL.iter().any(|prefix| type_name.starts_with(prefix));
        decision(if global { TenantScope::Global } else { TenantScope::from(&tenant("acme")) }, event)
    });
    one_of_each.collect()
}

/// An issued invoice that a coupon discounts.
fn discounted() -> Decision {
    let result = include_str!("../../schemas/golden/simulation/513-discount-and-tax.json");
    let result: serde_json::Value = serde_json::from_str(result).expect("JSON");
    let mut invoice: Invoice = serde_json::from_value(result["views"][0]["invoices"][0].clone()).expect("an invoice");
    invoice.number = Some("INV-000513".to_owned());
    decision(TenantScope::from(&tenant("acme")), JournalEvent::InvoiceFinalized(invoice))
}

/// API keys are no matter of workers, so that each decision goes in through its own scope.
async fn record_one_by_one(databases: &Databases) {
    for decision in golden() {
        let begun = match &decision.tenant {
            TenantScope::Tenant(id) => databases.app.tenant(id).await,
            TenantScope::Global => databases.app.global().await,
        };
        let mut tx = begun.expect("begins");
        append(&mut tx, vec![decision]).await.expect("appends");
        tx.commit().await.expect("commits");
    }
}

async fn rebuilt(target: &Target) -> RebuildReport {
    rebuild(&OwnerPool::new(target).expect("parses")).await.expect("rebuilds")
}

pub async fn every_projection_is_rebuilt_to_the_same_bytes(target: &Target) {
    let databases = connect(target).await;
    record_one_by_one(&databases).await;
    let mut tx = databases.worker.begin().await.expect("begins");
    append(&mut tx, vec![discounted()]).await.expect("appends");
    tx.commit().await.expect("commits");
    let report = rebuilt(target).await;
    assert!(report.agrees(), "{report:#?}");
    assert_eq!((report.position, report.tables.len()), (GOLDEN.len() as i64 + 1, TABLES.len()));
    for table in &report.tables {
        assert!(table.rows > 0 && table.bytes > 0, "{} was not projected", table.table);
        assert_eq!(table.md5, table.md5_before, "{}", table.table);
    }
}

pub async fn one_append_projects_as_many_do(target: &Target) {
    let databases = connect(target).await;
    let (keys, others): (Vec<Decision>, Vec<Decision>) =
        golden().into_iter().partition(|d| d.event.type_name().starts_with("api_key."));
    let mut tx = databases.worker.begin().await.expect("begins");
    append(&mut tx, others).await.expect("appends");
    tx.commit().await.expect("commits");
    let mut tx = databases.app.tenant(&tenant("acme")).await.expect("begins");
    append(&mut tx, keys).await.expect("appends");
    tx.commit().await.expect("commits");
    let report = rebuilt(target).await;
    assert!(report.agrees(), "{report:#?}");
}

pub async fn a_projection_says_what_was_decided(target: &Target) {
    let databases = connect(target).await;
    record_one_by_one(&databases).await;
    let mut tx = databases.app.tenant(&tenant("acme")).await.expect("begins");
    let invoice = sqlx::query("SELECT number, status, total_minor, document FROM invoices")
        .fetch_one(&mut *tx)
        .await
        .expect("one");
    let document: String = invoice.get("document");
    assert_eq!(document, include_str!("../../schemas/golden/journal/invoice.finalized.v1.json").trim_end());
    let read: Invoice = serde_json::from_str(&document).expect("is read");
    assert_eq!(invoice.get::<i64, _>("total_minor"), read.total.minor);
    assert_eq!((invoice.get::<&str, _>("number"), invoice.get::<&str, _>("status")), ("INV-000001", "finalized"));
    let lines: i64 = sqlx::query_scalar("SELECT count(*) FROM invoice_lines").fetch_one(&mut *tx).await.expect("reads");
    assert_eq!(lines as usize, read.lines.len());
    let total: Option<i64> = sqlx::query_scalar("SELECT sum(amount_minor)::bigint FROM invoice_lines")
        .fetch_one(&mut *tx)
        .await
        .expect("reads");
    assert_eq!(total, Some(read.subtotal.minor));

    let windows: Vec<Vec<i64>> = sqlx::query_scalar("SELECT cut FROM billed_periods ORDER BY period_start")
        .fetch_all(&mut *tx)
        .await
        .expect("reads");
    assert_eq!(windows, [[120, 98, 0, 131], [120, 98, 0, 131]], "the window that closed, and the one measured again");
    let (ended, mode): (bool, String) = sqlx::query_as("SELECT ends_at = billed_until, cancel_mode FROM subscriptions")
        .fetch_one(&mut *tx)
        .await
        .expect("one");
    assert_eq!((ended, mode.as_str()), (true, "period_end"));
    let state: String = sqlx::query_scalar("SELECT state FROM tenants").fetch_one(&mut *tx).await.expect("one");
    assert_eq!(state, "suspended");

    let changed = sqlx::query("UPDATE invoices SET total_minor = 0").execute(&mut *tx).await.expect_err("is issued");
    assert!(changed.to_string().contains("never edited"), "{changed}");
}

pub async fn a_rebuild_finds_and_mends_what_was_altered(target: &Target) {
    let databases = connect(target).await;
    record_one_by_one(&databases).await;
    let mut owner = OwnerPool::new(target).expect("parses").connect().await.expect("connects");
    for alteration in [
        "UPDATE tenants SET zone = 'UTC'",
        "DELETE FROM invoice_lines WHERE line = 1",
        "INSERT INTO quota_limits VALUES ('acme', 'invented', 1, '{}', 1)",
    ] {
        sqlx::raw_sql(alteration).execute(&mut owner).await.expect("alters");
    }
    let report = rebuilt(target).await;
    let found: Vec<(&str, i64, i64)> = report
        .tables
        .iter()
        .filter(|t| t.missing + t.unexpected > 0)
        .map(|t| (t.table, t.missing, t.unexpected))
        .collect();
    assert_eq!(found, [("tenants", 1, 1), ("invoice_lines", 1, 0), ("quota_limits", 0, 1)]);
    assert!(rebuilt(target).await.agrees(), "everything was put in its place");
}

/// Appends go on while a rebuild runs: they wait, none is lost, and what it replaced is current.
pub async fn appends_wait_for_a_rebuild(target: &Target) {
    const APPENDS: i64 = 60;
    let databases = connect(target).await;
    let acme = tenant("acme");
    let mut tx = databases.worker.begin().await.expect("begins");
    append(&mut tx, vec![created(&acme)]).await.expect("appends");
    tx.commit().await.expect("commits");
    let appends = async {
        for second in 0..APPENDS {
            let mut tx = databases.worker.begin().await.expect("begins");
            append(&mut tx, vec![desired(&acme, TenantState::Suspended, second)]).await.expect("appends");
            tx.commit().await.expect("commits");
        }
    };
    let rebuilds = async {
        for _ in 0..5 {
            assert!(rebuilt(target).await.agrees());
        }
    };
    futures::join!(appends, rebuilds);
    let mut tx = databases.worker.begin().await.expect("begins");
    assert_eq!(journal::head(&mut tx).await.expect("reads"), APPENDS + 1);
    drop(tx);
    assert!(rebuilt(target).await.agrees());
}

/// An invoice run appends thousands of documents; the figure is printed, the rule is that they arrive whole.
pub async fn invoices_are_recorded_in_bulk(target: &Target) {
    const INVOICES: u32 = 2_000;
    let databases = connect(target).await;
    let payload = include_str!("../../schemas/golden/journal/invoice.finalized.v1.json").trim_end();
    let decisions: Vec<Decision> = (0..INVOICES).map(|n| invoice_of(payload, &tenant(&format!("t{n}")), n)).collect();
    let started = std::time::Instant::now();
    let mut tx = databases.worker.begin().await.expect("begins");
    let first = journal::take_numbers(&mut tx, "INV", INVOICES).await.expect("takes");
    let appended = append(&mut tx, decisions).await.expect("appends");
    tx.commit().await.expect("commits");
    println!("{INVOICES} invoices in {:?}", started.elapsed());
    assert_eq!((first, appended.recorded.len() as u32), (1, INVOICES));
    let mut tx = databases.worker.begin().await.expect("begins");
    let (invoices, lines): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM invoices), (SELECT count(*) FROM invoice_lines)")
            .fetch_one(&mut *tx)
            .await
            .expect("counts");
    assert_eq!(invoices, i64::from(INVOICES));
    assert_eq!(lines % i64::from(INVOICES), 0);
    assert!(rebuilt(target).await.agrees());
}

fn invoice_of(payload: &str, id: &TenantId, n: u32) -> Decision {
    let JournalEvent::InvoiceFinalized(mut invoice) =
        JournalEvent::decode("invoice.finalized.v1", payload).expect("is read")
    else {
        unreachable!("the type name says what it is")
    };
    invoice.tenant = id.clone();
    invoice.number = Some(format!("INV-{:06}", n + 1));
    decision(TenantScope::from(id), JournalEvent::InvoiceFinalized(invoice))
}
