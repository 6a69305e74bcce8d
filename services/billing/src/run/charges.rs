//! One-off charges in a run: which document takes which, and the invoice that charges make at once.

use super::Candidate;
use super::credits::{Decided, Purses};
use crate::context::Context;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::BTreeSet;
use talea_domain::charge::Charge;
use talea_domain::id::{ChargeId, TenantId};
use talea_domain::invoice::InvoiceSettings;
use talea_domain::invoice::{Invoice, OneOffInput, assemble_charges, finalize, format_number};
use talea_domain::party::Party;
use talea_domain::period::TimeZone;
use talea_domain::tax::TaxTerms;
use talea_platform::charges::{self, StoredCharge};
use talea_platform::postgres::Tx;
use talea_platform::{journal, receivables, terms};

/// What waits for the documents of a batch. Each charge is taken by the first document that may have it.
pub struct Waiting(Vec<StoredCharge>);

impl Waiting {
    pub async fn load(connection: &mut PgConnection, candidates: &[Candidate]) -> anyhow::Result<Self> {
        let tenants: BTreeSet<&str> = candidates.iter().map(|it| it.subscription.tenant.as_str()).collect();
        Ok(Self(charges::pending(connection, &tenants.into_iter().collect::<Vec<_>>()).await?))
    }

    /// What the document of a candidate takes.
    pub fn take(&mut self, candidate: &Candidate) -> Vec<StoredCharge> {
        let of = &candidate.subscription;
        let is_for = |it: &mut StoredCharge| it.state.charge.is_for(&of.tenant, &of.id, of.currency);
        self.0.extract_if(.., is_for).collect()
    }
}

/// The decisions that say that these charges stand on an invoice. Somebody who withdraws one of them meanwhile makes the append a
/// conflict.
pub fn invoiced(charges: &[StoredCharge], invoice: &Invoice, at: DateTime<Utc>) -> anyhow::Result<Vec<Decided>> {
    let on_it: BTreeSet<&ChargeId> = invoice.charges().collect();
    let on_it = charges.iter().filter(|it| on_it.contains(&it.state.charge.id));
    on_it.map(|it| Ok(Decided { event: it.state.take(&invoice.id, at)?, expected_version: it.version })).collect()
}

/// Issues an invoice of charges alone, in a transaction of the tenant that holds the journal's lock. Answers it with the
/// decisions about wallets that follow.
pub async fn invoice_now(
    context: &Context,
    tx: &mut Tx,
    tenant: &TenantId,
    zone: TimeZone,
    charges: &[Charge],
    number: u64,
    now: DateTime<Utc>,
) -> anyhow::Result<Result<(Invoice, Vec<Decided>), String>> {
    let own = receivables::billing_terms(tx, &[tenant.as_str()]).await?.remove(tenant).unwrap_or_default();
    let due_days = own.due_days.unwrap_or(context.settings.due_days);
    let settings = InvoiceSettings { due_days, ..context.settings.clone() };
    let bill_to = super::billed::parties(tx, &[tenant.as_str()]).await?.remove(tenant);
    let bill_to = bill_to.unwrap_or_else(|| Party::named(tenant.as_str()));
    let rates = terms::tax_settings(tx).await?;
    let profiles = terms::tax_profiles(tx, std::iter::once(tenant)).await?.remove(tenant).unwrap_or_default();
    let mut purses = Purses::load(tx, std::iter::once(tenant)).await?;
    let Some(first) = charges.first() else { return Ok(Err("there is nothing to invoice".to_owned())) };
    let drafted = assemble_charges(&OneOffInput {
        tenant,
        zone,
        currency: first.currency,
        charges,
        at: now,
        settings: &settings,
        bill_to: &bill_to,
        taxes: rates.as_ref().map_or(TaxTerms::None, |settings| TaxTerms::Rates { settings, profiles: &profiles }),
    });
    let mut invoice = match drafted {
        Ok(invoice) => invoice,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let credits = purses.pay(&mut invoice, now)?;
    let number = format_number(&context.settings.series, None, number);
    Ok(finalize(invoice, number, now).map(|invoice| (invoice, credits)).map_err(|error| error.to_string()))
}

/// The next number of the series; it goes back with the transaction.
pub async fn next_number(context: &Context, tx: &mut Tx) -> anyhow::Result<u64> {
    Ok(u64::try_from(journal::take_numbers(tx, &context.settings.series, 1).await?)?)
}
