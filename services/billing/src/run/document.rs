//! From measured usage to a document: the domain's pure function, fed.

use super::Candidate;
use super::billed;
use super::charges::Waiting;
use super::credits::Purses;
use super::measure::{Measured, measure};
use super::terms::Terms;
use crate::catalogue::Catalogue;
use crate::context::Context;
use talea_domain::charge::Charge;
use talea_domain::invoice::InvoiceSettings;
use talea_domain::invoice::{BillInput, BillTerms, BillingTerms, Invoice, InvoiceError, assemble, verify};
use talea_domain::party::Party;
use talea_domain::period::Period;
use talea_platform::charges::StoredCharge;
use talea_platform::receivables;
use talea_platform::usage::billing::Cut;

/// The document of a moment, not yet issued, and the closed periods that it measured again.
pub struct Assembled {
    pub invoice: Invoice,
    pub remeasured: Vec<Period>,
    /// The one-off charges that it takes.
    pub charges: Vec<StoredCharge>,
}

/// One answer for each candidate, in order; a refusal says why it has no document.
pub async fn assembled(
    context: &Context,
    catalogue: &Catalogue,
    candidates: &[Candidate],
    cut: &Cut,
) -> anyhow::Result<Vec<Result<Assembled, String>>> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let measured = measure(context, catalogue, candidates, cut).await?;
    assemble_all(context, catalogue, candidates, measured).await
}

/// Assembles what was measured. Each document shows what prepaid credits would pay of it, one after the other, and takes
/// nothing.
pub async fn assemble_all(
    context: &Context,
    catalogue: &Catalogue,
    candidates: &[Candidate],
    measured: Vec<Result<Measured, String>>,
) -> anyhow::Result<Vec<Result<Assembled, String>>> {
    let mut tx = context.platform.databases.worker.begin().await?;
    let tenants: Vec<&str> = candidates.iter().map(|it| it.subscription.tenant.as_str()).collect();
    let parties = billed::parties(&mut tx, &tenants).await?;
    let own_terms = receivables::billing_terms(&mut tx, &tenants).await?;
    let mut purses = Purses::load(&mut tx, candidates.iter().map(|it| &it.subscription.tenant)).await?;
    let terms = Terms::load(&mut tx, candidates).await?;
    let mut waiting = Waiting::load(&mut tx, candidates).await?;
    tx.commit().await?;
    let documents = candidates.iter().zip(measured).map(|(candidate, measured)| {
        let measured = measured?;
        let tenant = &candidate.subscription.tenant;
        let own = own_terms.get(tenant).cloned().unwrap_or_default().or(BillingTerms::of_plan(&candidate.plan));
        let bill_to = parties.get(tenant).cloned().unwrap_or_else(|| Party::named(tenant.as_str()));
        let charges = waiting.take(candidate);
        let taken: Vec<Charge> = charges.iter().map(|it| it.state.charge.clone()).collect();
        let terms = BillTerms { charges: &taken, ..terms.of(candidate) };
        let mut invoice = document(context, catalogue, candidate, &measured, &bill_to, &own, terms)
            .map_err(|error| error.to_string())?;
        purses.pay(&mut invoice, context.now()).map_err(|error| error.to_string())?;
        Ok(Assembled { invoice, remeasured: measured.remeasured.into_iter().collect(), charges })
    });
    Ok(documents.collect())
}

fn document(
    context: &Context,
    catalogue: &Catalogue,
    candidate: &Candidate,
    measured: &Measured,
    bill_to: &Party,
    own: &BillingTerms,
    terms: BillTerms<'_>,
) -> Result<Invoice, InvoiceError> {
    let due_days = own.due_days.unwrap_or(context.settings.due_days);
    let settings = InvoiceSettings { due_days, ..context.settings.clone() };
    let invoice = assemble(&BillInput {
        subscription: &candidate.subscription,
        plans: catalogue,
        moment: &candidate.moment,
        usage: &measured.usage,
        billed: &measured.billed,
        late: &measured.late,
        settings: &settings,
        bill_to,
        terms,
    })?;
    verify(&invoice)?;
    Ok(invoice)
}
