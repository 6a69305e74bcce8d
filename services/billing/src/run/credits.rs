//! Wallets in a run: what is issued takes credits in the transaction that issues it, and grants end once everything that they
//! may pay is billed.

use super::Run;
use super::due::{candidate, of_tenant};
use super::reissue::tenants_owing;
use crate::catalogue::Catalogue;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use talea_domain::credit::{CreditError, WalletState, expire, pay};
use talea_domain::id::{GrantId, TenantId};
use talea_domain::invoice::Invoice;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::TenantScope;
use talea_platform::credits::{self, StoredWallet};
use talea_platform::journal::{self, AppendError, Decision};

/// Grants that are looked at together.
const PAGE: i64 = 500;

/// The wallets of some tenants, with the versions of their streams as they were read. Whoever else decides about one of them
/// meanwhile makes the append a conflict, so that no credit is spent twice.
#[derive(Default)]
pub struct Purses(BTreeMap<TenantId, Purse>);

#[derive(Default)]
struct Purse {
    states: Vec<WalletState>,
    /// Of each wallet, in their order: what the next decision expects.
    versions: Vec<i64>,
}

/// A decision about a wallet, and the version that it expects of its stream.
pub struct Decided {
    pub event: JournalEvent,
    pub expected_version: i64,
}

impl Purses {
    pub async fn load<'a>(
        connection: &mut PgConnection,
        tenants: impl Iterator<Item = &'a TenantId>,
    ) -> anyhow::Result<Self> {
        let tenants: BTreeSet<&str> = tenants.map(TenantId::as_str).collect();
        let stored = credits::of_tenants(connection, &tenants.into_iter().collect::<Vec<_>>()).await?;
        let mut purses = Self::default();
        for StoredWallet { state, version } in stored {
            let purse = purses.0.entry(state.wallet.tenant.clone()).or_default();
            purse.states.push(state);
            purse.versions.push(version);
        }
        Ok(purses)
    }

    /// Pays an invoice as far as the wallets of its tenant can; what is paid is gone for the next one.
    pub fn pay(&mut self, invoice: &mut Invoice, at: DateTime<Utc>) -> Result<Vec<Decided>, CreditError> {
        match self.0.get_mut(&invoice.tenant) {
            Some(purse) => {
                let events = pay(invoice, &mut purse.states, at)?;
                Ok(purse.decided(events))
            }
            None => pay(invoice, &mut [], at).map(|_| Vec::new()),
        }
    }
}

impl Purse {
    fn decided(&mut self, events: Vec<JournalEvent>) -> Vec<Decided> {
        let mut decided = Vec::with_capacity(events.len());
        for event in events {
            let stream = event.stream();
            if let Some(place) = self.states.iter().position(|state| state.wallet.id.as_str() == stream.id) {
                decided.push(Decided { event, expected_version: self.versions[place] });
                self.versions[place] += 1;
            }
        }
        decided
    }
}

#[derive(sqlx::FromRow)]
struct Expired {
    tenant_id: String,
    wallet_id: String,
    id: String,
    expires_at: DateTime<Utc>,
}

/// Ends the grants that have expired as of the run and pay nothing any more.
pub async fn end_grants(run: &mut Run<'_>) -> anyhow::Result<()> {
    // What is voided and not billed anew yet may be paid by any of the tenant's grants.
    let owing = tenants_owing(run).await?;
    let mut after: Option<Expired> = None;
    loop {
        let page = expired(run, after.as_ref()).await?;
        let mut by_tenant: BTreeMap<&str, Vec<&Expired>> = BTreeMap::new();
        for grant in &page {
            by_tenant.entry(&grant.tenant_id).or_default().push(grant);
        }
        for (tenant, grants) in by_tenant {
            let tenant = TenantId::parse(tenant)?;
            if !owing.contains(&tenant) {
                end(run, &tenant, &grants).await?;
            }
        }
        let is_last = (page.len() as i64) < PAGE;
        match page.into_iter().next_back() {
            Some(last) if !is_last => after = Some(last),
            _ => return Ok(()),
        }
    }
}

async fn expired(run: &Run<'_>, after: Option<&Expired>) -> anyhow::Result<Vec<Expired>> {
    const EXPIRED: &str = "SELECT tenant_id, wallet_id, id, expires_at FROM credit_grants \
        WHERE remaining_millionths > 0 AND expires_at <= $1 \
            AND ($2::timestamptz IS NULL OR (expires_at, tenant_id, wallet_id, id) > ($2, $3, $4, $5)) \
        ORDER BY expires_at, tenant_id, wallet_id, id LIMIT $6";
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let rows = sqlx::query_as(EXPIRED)
        .bind(run.as_of)
        .bind(after.map(|it| it.expires_at))
        .bind(after.map(|it| it.tenant_id.as_str()))
        .bind(after.map(|it| it.wallet_id.as_str()))
        .bind(after.map(|it| it.id.as_str()))
        .bind(PAGE)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(rows)
}

/// One transaction for a tenant. What somebody else decides meanwhile leaves it to the next run.
async fn end(run: &mut Run<'_>, tenant: &TenantId, grants: &[&Expired]) -> anyhow::Result<()> {
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let last = grants.iter().map(|grant| grant.expires_at).max().unwrap_or(run.as_of);
    let unbilled = first_unbilled(&mut tx, &run.catalogue, tenant, last).await?;
    let mut purses = Purses::load(&mut tx, std::iter::once(tenant)).await?;
    let Some(purse) = purses.0.get_mut(tenant) else { return Ok(()) };
    let mut decisions = Vec::new();
    for grant in grants.iter().filter(|grant| unbilled.is_none_or(|moment| grant.expires_at < moment)) {
        let id = GrantId::parse(&grant.id)?;
        let Some(place) = purse.states.iter().position(|state| state.wallet.id.as_str() == grant.wallet_id) else {
            continue;
        };
        let events = expire(&mut purse.states[place], &id, run.as_of)?;
        decisions.extend(purse.decided(events).into_iter().map(|decided| decision(run, tenant, decided)));
    }
    if decisions.is_empty() {
        return Ok(());
    }
    match journal::append(&mut tx, decisions).await {
        Ok(appended) => {
            tx.commit().await?;
            tracing::info!(tenant.id = %tenant, decisions = appended.recorded.len(), "billing.grants_ended");
            Ok(())
        }
        Err(AppendError::Conflict { .. }) => Ok(tx.rollback().await?),
        Err(error) => Err(error.into()),
    }
}

/// The earliest bill moment of a tenant that is not closed, as far as there is one up to an instant. A subscription that
/// cannot be read may have any.
async fn first_unbilled(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    tenant: &TenantId,
    until: DateTime<Utc>,
) -> anyhow::Result<Option<DateTime<Utc>>> {
    let rows = of_tenant(connection, tenant, until).await?;
    let moments = rows.iter().filter_map(|row| match candidate(catalogue, row) {
        Ok(candidate) => candidate.map(|candidate| candidate.moment.at),
        Err(_) => Some(DateTime::<Utc>::MIN_UTC),
    });
    Ok(moments.min())
}

fn decision(run: &Run<'_>, tenant: &TenantId, decided: Decided) -> Decision {
    Decision {
        tenant: TenantScope::from(tenant),
        expected_version: Some(decided.expected_version),
        event: decided.event,
        effective_at: run.as_of,
        recorded_at: run.now,
        actor: run.actor.clone(),
        idempotency_key: None,
    }
}
