//! Drafts: what an invoice would say, from the period's end on, while its grace runs. A moment is drafted once; one without
//! amount is not drafted.

use super::document::assembled;
use super::{Candidate, Refused, Run, billed};
use talea_domain::id::InvoiceId;
use talea_domain::invoice::{Invoice, invoice_id};
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::TenantScope;
use talea_platform::journal::{self, Decision};

/// Decisions of one append.
const CHUNK: usize = 500;

pub async fn draft(run: &mut Run<'_>, waiting: Vec<Candidate>) -> anyhow::Result<()> {
    let undrafted = undrafted(run, waiting).await?;
    let cut = run.consumed.cut.clone();
    let documents = assembled(run.context, &run.catalogue, &undrafted, &cut).await?;
    let mut drafts = Vec::new();
    for (candidate, document) in undrafted.iter().zip(documents) {
        match document {
            Ok(document) => {
                run.context.draft_tried(document.invoice.id.clone());
                if document.invoice.is_owed(&run.context.settings) {
                    drafts.push(document.invoice);
                }
            }
            Err(reason) => run.refuse(Refused::of(candidate, reason)),
        }
    }
    for chunk in drafts.chunks(CHUNK) {
        record(run, chunk).await?;
    }
    Ok(())
}

async fn undrafted(run: &Run<'_>, waiting: Vec<Candidate>) -> anyhow::Result<Vec<Candidate>> {
    let named = |it: Candidate| (invoice_id(&it.subscription.id, it.moment.at, it.moment.revision), it);
    let untried: Vec<(InvoiceId, Candidate)> =
        waiting.into_iter().map(named).filter(|(id, _)| !run.context.is_draft_tried(id)).collect();
    if untried.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let there = billed::existing(&mut tx, untried.iter().map(|(id, it)| (&it.subscription.tenant, id))).await?;
    tx.commit().await?;
    let is_new = |(id, it): &(InvoiceId, Candidate)| !there.contains(&(it.subscription.tenant.clone(), id.clone()));
    Ok(untried.into_iter().filter(is_new).map(|(_, it)| it).collect())
}

async fn record(run: &mut Run<'_>, drafts: &[Invoice]) -> anyhow::Result<()> {
    let decision = |invoice: &Invoice| Decision {
        tenant: TenantScope::from(&invoice.tenant),
        expected_version: None,
        event: JournalEvent::InvoiceDrafted(invoice.clone()),
        effective_at: invoice.billed_at,
        recorded_at: run.now,
        actor: run.actor.clone(),
        idempotency_key: Some(format!("draft/{}", invoice.id)),
    };
    let mut tx = run.context.platform.databases.worker.begin().await?;
    // Whoever issues one of them meanwhile holds the journal: what is issued then is not drafted any more.
    sqlx::query("SELECT position FROM journal_head FOR UPDATE").execute(&mut *tx).await?;
    let there = billed::existing(&mut tx, drafts.iter().map(|it| (&it.tenant, &it.id))).await?;
    let is_new = |it: &&Invoice| !there.contains(&(it.tenant.clone(), it.id.clone()));
    let decisions = drafts.iter().filter(is_new).map(decision).collect();
    let appended = journal::append_new(&mut tx, decisions).await?;
    tx.commit().await?;
    run.summary.drafted += appended.recorded.len() as u64;
    Ok(())
}
