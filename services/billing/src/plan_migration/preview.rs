//! What a migration would do: of each subscription when it would be on the new version and what its next invoice would be, by the
//! functions that move it and make its invoice, over the usage that is metered so far. Nothing is recorded.

use super::{Found, count, page};
use crate::catalogue::Catalogue;
use crate::context::Context;
use crate::run::{Candidate, assembled, candidate_of};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use talea_domain::id::{SubscriptionId, TenantId};
use talea_domain::money::{Currency, Money, MoneyError};
use talea_domain::subscription::{MigrationPlace, MigrationTerms};
use talea_platform::http::{Cursor, Problem};
use talea_platform::postgres::Tx;

/// A page of what a migration would do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MigrationPreview {
    pub data: Vec<PreviewedSubscription>,
    /// Of this page: subscriptions that would move,
    pub moves: u64,
    /// and that would stay, each for its reason.
    pub blocked: u64,
    /// Of this page, by currency.
    pub totals: Vec<PreviewedTotal>,
    /// Subscriptions up to the end of this page,
    pub done: i64,
    /// and of all pages.
    pub total: i64,
    /// Give it as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PreviewedSubscription {
    pub tenant_id: TenantId,
    pub subscription_id: SubscriptionId,
    /// The version that was decided for it last.
    pub from_version: u32,
    pub to_version: u32,
    /// From when on the new version would hold; absent where it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Why it stays, with the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_invoice: Option<PreviewedInvoice>,
    /// Why its next invoice cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_computed: Option<String>,
}

/// Totals of the next invoice over what is metered so far.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct PreviewedInvoice {
    pub as_it_is: Money,
    pub migrated: Money,
    pub difference: Money,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PreviewedTotal {
    pub currency: Currency,
    /// How many next invoices were compared.
    pub invoices: u64,
    pub as_it_is: Money,
    pub migrated: Money,
    pub difference: Money,
}

pub async fn preview(
    context: &Context,
    mut tx: Tx,
    terms: &MigrationTerms,
    after: Option<&MigrationPlace>,
    limit: u32,
) -> Result<MigrationPreview, Problem> {
    let now = context.now().trunc_subsecs(6);
    let catalogue = Catalogue::load(&mut tx).await.map_err(Problem::internal)?;
    let mut found = page(&mut tx, terms, now, after, i64::from(limit) + 1).await?;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let last = found.last().map(Found::place).or(after.cloned());
    let (done, total) = count(&mut tx, terms, now, last.as_ref()).await?;
    drop(tx);
    let next_cursor = last.filter(|_| has_more).map(|last| Cursor::encode(&(last.tenant, last.subscription)));
    let (mut data, mut pairs) = (Vec::with_capacity(found.len()), Vec::new());
    for Found { row, state } in found.iter().filter(|found| terms.is_about(&found.state, now)) {
        let (_, from_version) = state.plan_before(DateTime::<Utc>::MAX_UTC);
        let mut shown = PreviewedSubscription {
            tenant_id: state.tenant.clone(),
            subscription_id: state.id.clone(),
            from_version,
            to_version: terms.to_version,
            at: None,
            blocked: None,
            next_invoice: None,
            not_computed: None,
        };
        match terms.migrate(state, &catalogue, row.billed_until, now, now) {
            Ok(moved) => {
                shown.at = Some(moved.at);
                let before = candidate_of(&catalogue, state.clone(), row);
                let migrated = candidate_of(&catalogue, moved.after, row);
                match before.and_then(|before| Ok((before, migrated?))) {
                    Ok((Some(before), Some(migrated))) => pairs.push((data.len(), [before, migrated])),
                    Ok(_) => shown.not_computed = Some("no invoice is to come".to_owned()),
                    Err(reason) => shown.not_computed = Some(reason),
                }
            }
            Err(error) => shown.blocked = Some(error.to_string()),
        }
        data.push(shown);
    }
    compare(context, &catalogue, &mut data, pairs).await?;
    let moves = data.iter().filter(|shown| shown.at.is_some()).count() as u64;
    let blocked = data.iter().filter(|shown| shown.blocked.is_some()).count() as u64;
    let totals = totals(&data).map_err(|error| Problem::unprocessable(error.to_string()))?;
    Ok(MigrationPreview { data, moves, blocked, totals, done, total, next_cursor: next_cursor.transpose()? })
}

/// Makes both next invoices of each pair: all of them with the same few questions for usage.
async fn compare(
    context: &Context,
    catalogue: &Catalogue,
    data: &mut [PreviewedSubscription],
    pairs: Vec<(usize, [Candidate; 2])>,
) -> Result<(), Problem> {
    let consumed = context.marks.observe(&context.platform).await.map_err(Problem::internal)?;
    let (places, pairs): (Vec<usize>, Vec<[Candidate; 2]>) = pairs.into_iter().unzip();
    let candidates: Vec<Candidate> = pairs.into_iter().flatten().collect();
    let mut documents = assembled(context, catalogue, &candidates, &consumed.cut).await?.into_iter();
    for place in places {
        let mut total = || match documents.next() {
            Some(document) => document.map(|document| document.invoice.total),
            None => Err("it was not assembled".to_owned()),
        };
        let (before, migrated) = (total(), total());
        let compared = before.and_then(|as_it_is| {
            let migrated = migrated?;
            let difference = migrated.checked_sub(as_it_is).map_err(|error| error.to_string())?;
            Ok(PreviewedInvoice { as_it_is, migrated, difference })
        });
        match compared {
            Ok(compared) => data[place].next_invoice = Some(compared),
            Err(reason) => data[place].not_computed = Some(reason),
        }
    }
    Ok(())
}

fn totals(data: &[PreviewedSubscription]) -> Result<Vec<PreviewedTotal>, MoneyError> {
    let mut totals: BTreeMap<Currency, PreviewedTotal> = BTreeMap::new();
    for invoice in data.iter().filter_map(|shown| shown.next_invoice) {
        let currency = invoice.difference.currency;
        let zero = Money::zero(currency);
        let empty = || PreviewedTotal { currency, invoices: 0, as_it_is: zero, migrated: zero, difference: zero };
        let total = totals.entry(currency).or_insert_with(empty);
        total.invoices += 1;
        total.as_it_is = total.as_it_is.checked_add(invoice.as_it_is)?;
        total.migrated = total.migrated.checked_add(invoice.migrated)?;
        total.difference = total.difference.checked_add(invoice.difference)?;
    }
    Ok(totals.into_values().collect())
}
