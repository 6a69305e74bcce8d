//! Closing: documents are issued in bulk. One transaction takes the numbers, records the invoices and closes their moments,
//! so that a number is never lost and a crash leaves either all of it or nothing.

use super::charges::invoiced;
use super::credits::{Decided, Purses};
use super::document::{Assembled, assembled};
use super::{Candidate, Refused, Run, billed};
use std::collections::HashSet;
use talea_domain::id::TenantId;
use talea_domain::invoice::{Invoice, finalize, format_number};
use talea_domain::journal::{JournalEvent, PeriodClosed};
use talea_domain::tenant::TenantScope;
use talea_platform::journal::{self, AppendError, Decision};

/// Moments of one transaction: large enough to be fast, small enough that others get at the journal.
const CHUNK: usize = 500;

/// Measures, assembles and closes. Answers the closed moments' invoices, where they have one.
pub async fn close(run: &mut Run<'_>, candidates: Vec<Candidate>) -> anyhow::Result<Vec<Option<Invoice>>> {
    let cut = run.consumed.cut.clone();
    let documents = assembled(run.context, &run.catalogue, &candidates, &cut).await?;
    issue(run, candidates, documents).await
}

/// Closes moments whose documents are there.
pub async fn issue(
    run: &mut Run<'_>,
    candidates: Vec<Candidate>,
    documents: Vec<Result<Assembled, String>>,
) -> anyhow::Result<Vec<Option<Invoice>>> {
    let mut closings = Vec::with_capacity(candidates.len());
    for (candidate, document) in candidates.into_iter().zip(documents) {
        match document {
            Ok(document) => closings.push(Closing { candidate, document, issued: false }),
            Err(reason) => run.refuse(Refused::of(&candidate, reason)),
        }
    }
    decide_whether_issued(run, &mut closings).await?;
    let mut closed = Vec::with_capacity(closings.len());
    while !closings.is_empty() {
        let rest = closings.split_off(closings.len().min(CHUNK));
        closed.extend(write(run, closings).await?);
        closings = rest;
    }
    Ok(closed)
}

struct Closing {
    candidate: Candidate,
    document: Assembled,
    /// Whether there is an invoice.
    issued: bool,
}

/// A moment without amount makes no invoice, unless the setting says so; one that was drafted is issued in any case, because
/// somebody may have read its draft.
async fn decide_whether_issued(run: &Run<'_>, closings: &mut [Closing]) -> anyhow::Result<()> {
    for closing in closings.iter_mut() {
        closing.issued = closing.document.invoice.is_owed(&run.context.settings);
    }
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let empty = closings.iter().filter(|closing| !closing.issued).map(|closing| &closing.document.invoice);
    let drafted = billed::existing(&mut tx, empty.map(|invoice| (&invoice.tenant, &invoice.id))).await?;
    tx.commit().await?;
    for closing in closings.iter_mut() {
        let invoice = &closing.document.invoice;
        closing.issued |= drafted.contains(&(invoice.tenant.clone(), invoice.id.clone()));
    }
    Ok(())
}

/// One transaction. Moments that somebody else closed, or whose subscription changed meanwhile, are left out and the rest is
/// done again: numbers that were taken go back with the rollback.
async fn write(run: &mut Run<'_>, mut closings: Vec<Closing>) -> anyhow::Result<Vec<Option<Invoice>>> {
    while !closings.is_empty() {
        let mut tx = run.context.platform.databases.worker.begin().await?;
        let mut purses = Purses::load(&mut tx, closings.iter().map(Closing::tenant)).await?;
        let (invoices, credits) = number(run, &mut tx, &closings, &mut purses).await?;
        let (decisions, owners) = decisions(run, &closings, &invoices, credits);
        match journal::append(&mut tx, decisions).await {
            Ok(_) => {
                tx.commit().await?;
                let issued = invoices.iter().flatten().count() as u64;
                run.summary.finalized += issued;
                run.summary.closed_without_amount += invoices.len() as u64 - issued;
                tracing::debug!(closed = invoices.len(), issued, "billing.chunk_closed");
                return Ok(invoices);
            }
            Err(AppendError::AlreadyRecorded(already)) => {
                tx.rollback().await?;
                let done: HashSet<usize> = already.iter().map(|already| owners[already.index]).collect();
                closings = without(closings, |index, _| done.contains(&index));
            }
            // Somebody spent credits or granted some meanwhile: the same documents are paid anew.
            Err(AppendError::Conflict { stream, .. }) if stream.starts_with("wallet/") => tx.rollback().await?,
            Err(AppendError::Conflict { stream, .. }) => {
                tx.rollback().await?;
                let before = closings.len();
                closings = without(closings, |_, closing| closing.is_stream(&stream));
                anyhow::ensure!(closings.len() < before, "a conflict in {stream}, which is not of this run");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Vec::new())
}

impl Closing {
    fn tenant(&self) -> &TenantId {
        &self.candidate.subscription.tenant
    }

    fn is_stream(&self, stream: &str) -> bool {
        let (kind, id) = stream.split_once('/').unwrap_or_default();
        if kind == "charge" {
            return self.document.charges.iter().any(|it| it.state.charge.id.as_str() == id);
        }
        (kind == "subscription" && id == self.candidate.subscription.id.as_str())
            || (kind == "invoice" && id == self.document.invoice.id.as_str())
    }
}

fn without(closings: Vec<Closing>, leave_out: impl Fn(usize, &Closing) -> bool) -> Vec<Closing> {
    closings.into_iter().enumerate().filter(|(index, it)| !leave_out(*index, it)).map(|(_, it)| it).collect()
}

/// Issues the documents, paid with credits as far as there are any, with the decisions about wallets and charges: numbers first, because the series is locked before the
/// journal.
async fn number(
    run: &Run<'_>,
    tx: &mut sqlx::PgConnection,
    closings: &[Closing],
    purses: &mut Purses,
) -> anyhow::Result<(Vec<Option<Invoice>>, Vec<Vec<Decided>>)> {
    let issued = closings.iter().filter(|closing| closing.issued).count();
    let series = &run.context.settings.series;
    let first = match u32::try_from(issued)? {
        0 => 0,
        count => u64::try_from(journal::take_numbers(tx, series, count).await?)?,
    };
    let mut numbers = first..;
    let (mut invoices, mut credits) = (Vec::with_capacity(closings.len()), Vec::with_capacity(closings.len()));
    for closing in closings {
        let number = if closing.issued { numbers.next() } else { None };
        let number = number.map(|number| format_number(series, None, number));
        let Some(number) = number else {
            invoices.push(None);
            credits.push(Vec::new());
            continue;
        };
        let mut draft = closing.document.invoice.clone();
        let mut decided = purses.pay(&mut draft, run.as_of)?;
        let invoice = finalize(draft, number, run.as_of)?;
        decided.extend(invoiced(&closing.document.charges, &invoice, run.as_of)?);
        credits.push(decided);
        invoices.push(Some(invoice));
    }
    Ok((invoices, credits))
}

/// The decisions, and for each of them which closing it belongs to.
fn decisions(
    run: &Run<'_>,
    closings: &[Closing],
    invoices: &[Option<Invoice>],
    credits: Vec<Vec<Decided>>,
) -> (Vec<Decision>, Vec<usize>) {
    let (mut decisions, mut owners) = (Vec::new(), Vec::new());
    for (index, ((closing, invoice), credits)) in closings.iter().zip(invoices).zip(credits).enumerate() {
        let decision = |event, key, expected_version| Decision {
            tenant: TenantScope::from(&closing.candidate.subscription.tenant),
            expected_version,
            event,
            effective_at: run.as_of,
            recorded_at: run.now,
            actor: run.actor.clone(),
            idempotency_key: key,
        };
        if let Some(invoice) = invoice {
            let key = format!("invoice/{}", invoice.id);
            decisions.push(decision(JournalEvent::InvoiceFinalized(invoice.clone()), Some(key), None));
            owners.push(index);
        }
        for Decided { event, expected_version } in credits {
            decisions.push(decision(event, None, Some(expected_version)));
            owners.push(index);
        }
        // The same id whether there is an invoice or not: a moment is closed once.
        let key = format!("close/{}", closing.document.invoice.id);
        let closed = JournalEvent::PeriodClosed(closed(run, closing));
        decisions.push(decision(closed, Some(key), Some(closing.candidate.version)));
        owners.push(index);
    }
    (decisions, owners)
}

fn closed(run: &Run<'_>, closing: &Closing) -> PeriodClosed {
    let Candidate { subscription, moment, .. } = &closing.candidate;
    PeriodClosed {
        tenant_id: subscription.tenant.clone(),
        subscription_id: subscription.id.clone(),
        billed_at: moment.at,
        revision: moment.revision,
        invoice_id: closing.issued.then(|| closing.document.invoice.id.clone()),
        closed: moment.closes.map(|period| period.served),
        remeasured: closing.document.remeasured.clone(),
        changes: subscription.changes.len(),
        cut: run.consumed.cut.0.clone(),
        closed_at: run.now,
    }
}
