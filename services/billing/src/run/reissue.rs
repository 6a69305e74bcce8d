//! Voided invoices that are owed again: each is billed anew, from what is known now, before anything else of its subscription.

use super::close::issue;
use super::corrections::give_revisions;
use super::document::assemble_all;
use super::due::{Cursor, PAGE, SubscriptionRow, refusal};
use super::measure::measure;
use super::{Candidate, Run, Trigger};
use std::collections::HashSet;
use std::sync::Arc;
use talea_domain::id::TenantId;
use talea_domain::invoice::Invoice;
use talea_domain::subscription::{Subscription, reissued};

#[derive(sqlx::FromRow)]
struct Owed {
    #[sqlx(flatten)]
    subscription: SubscriptionRow,
    invoice: String,
}

/// Bills everything anew that voids left owed, of each subscription one invoice after the other.
pub async fn reissue(run: &mut Run<'_>) -> anyhow::Result<()> {
    // A run that was asked for stands on everything that the log held when it was asked.
    if run.trigger == Trigger::Asked && !run.consumed.covers(run.now) {
        return Ok(());
    }
    while wave(run).await? > 0 {}
    Ok(())
}

/// The earliest one of every subscription. Answers how many were billed anew, with or without an invoice.
async fn wave(run: &mut Run<'_>) -> anyhow::Result<usize> {
    let (mut done, mut after) = (0, Cursor::default());
    loop {
        let rows = owed(run, &after).await?;
        let next = (rows.len() as i64 == PAGE).then(|| rows.last()).flatten().map(|row| Cursor {
            tenant: row.subscription.tenant_id.clone(),
            subscription: row.subscription.id.clone(),
        });
        done += page(run, rows).await?;
        match next {
            Some(next) => after = next,
            None => return Ok(done),
        }
    }
}

async fn owed(run: &Run<'_>, after: &Cursor) -> anyhow::Result<Vec<Owed>> {
    const OWED: &str = "SELECT o.tenant_id, o.id, o.document, o.billed_until, o.billed_changes, v.version, v.recorded_at, \
            o.invoice \
        FROM (SELECT DISTINCT ON (s.tenant_id, s.id) s.tenant_id, s.id, s.document, s.billed_until, s.billed_changes, \
                i.document AS invoice \
            FROM invoice_states t JOIN invoices i ON i.tenant_id = t.tenant_id AND i.id = t.invoice_id \
                JOIN subscriptions s ON s.tenant_id = i.tenant_id AND s.id = i.subscription_id \
            WHERE t.voided = 'owed' AND (s.tenant_id, s.id) > ($1, $2) \
            ORDER BY s.tenant_id, s.id, i.billed_at, i.revision LIMIT $3) o \
        CROSS JOIN LATERAL (SELECT max(j.version) AS version, min(j.recorded_at) AS recorded_at \
            FROM journal j WHERE j.tenant_id = o.tenant_id AND j.stream = 'subscription/' || o.id) v \
        ORDER BY o.tenant_id, o.id";
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let rows =
        sqlx::query_as(OWED).bind(&after.tenant).bind(&after.subscription).bind(PAGE).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(rows)
}

async fn page(run: &mut Run<'_>, rows: Vec<Owed>) -> anyhow::Result<usize> {
    let mut candidates = Vec::new();
    for row in rows {
        match candidate(run, &row) {
            Ok(candidate) if run.is_refused(&candidate.subscription) => {}
            Ok(candidate) => candidates.push(candidate),
            Err(reason) => run.refuse_all(refusal(&row.subscription, reason).into_iter().collect()),
        }
    }
    if candidates.is_empty() {
        return Ok(0);
    }
    give_revisions(run, &mut candidates).await?;
    let cut = run.consumed.cut.clone();
    let measured = measure(run.context, &run.catalogue, &candidates, &cut).await?;
    let documents = assemble_all(run.context, &run.catalogue, &candidates, measured).await?;
    Ok(issue(run, candidates, documents).await?.len())
}

fn candidate(run: &Run<'_>, row: &Owed) -> Result<Candidate, String> {
    let unreadable = |error: serde_json::Error| format!("its document cannot be read: {error}");
    let SubscriptionRow { document, billed_until, version, recorded_at, .. } = &row.subscription;
    let subscription: Subscription = serde_json::from_str(document).map_err(unreadable)?;
    let voided: Invoice = serde_json::from_str(&row.invoice).map_err(unreadable)?;
    let until = billed_until.ok_or("nothing of it is billed")?;
    // The revision is given with those of the others.
    let moment = reissued(&subscription, &run.catalogue, &voided, until, 1).map_err(|error| error.to_string())?;
    let plan = Arc::clone(run.catalogue.plan_before(&subscription, moment.at)?);
    Ok(Candidate { subscription, plan, moment, version: *version, recorded_at: *recorded_at })
}

/// The tenants of which something voided is not billed anew: what its grants may pay is not issued.
pub async fn tenants_owing(run: &Run<'_>) -> anyhow::Result<HashSet<TenantId>> {
    const TENANTS: &str = "SELECT DISTINCT tenant_id FROM invoice_states WHERE voided = 'owed'";
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let rows: Vec<String> = sqlx::query_scalar(TENANTS).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    rows.iter().map(|tenant| Ok(TenantId::parse(tenant)?)).collect()
}
