//! Wallets as they stand, read for whoever decides about them.

use crate::postgres::DatabaseError;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use talea_domain::credit::{
    Account, GrantState, LedgerEntry, LedgerTransaction, Movement, Ordered, TopUpOrder, Wallet, WalletState,
};
use talea_domain::id::{GrantId, InvoiceId, TenantId, WalletId};

/// Tenant and wallet.
pub type WalletKey = (String, String);

/// What the table keeps of a wallet beside its grants.
#[derive(Serialize, Deserialize)]
struct Document {
    wallet: Wallet,
    transactions: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_order: Option<TopUpOrder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordered: Option<Ordered>,
}

/// A wallet with the version of its stream: to decide about it, expect that version.
#[derive(Debug, Clone)]
pub struct StoredWallet {
    pub state: WalletState,
    pub version: i64,
}

/// The document of a wallet's row.
pub fn document(state: &WalletState) -> Result<String, DatabaseError> {
    let WalletState { wallet, grants: _, transactions, open_order, ordered } = state.clone();
    serde_json::to_string(&Document { wallet, transactions, open_order, ordered }).map_err(unreadable)
}

/// These wallets, as far as they are there.
pub async fn states(
    connection: &mut PgConnection,
    keys: &[WalletKey],
) -> Result<BTreeMap<WalletKey, WalletState>, DatabaseError> {
    const STATES: &str = "SELECT w.tenant_id, w.id, w.document, 0::bigint \
        FROM unnest($1::text[], $2::text[]) AS k(tenant_id, id) JOIN wallets w USING (tenant_id, id)";
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, String, String, i64)> = sqlx::query_as(STATES)
        .bind(keys.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    let stored = with_grants(connection, rows).await?;
    Ok(stored.into_iter().map(|(key, stored)| (key, stored.state)).collect())
}

/// Every wallet of these tenants, in the order of their ids.
pub async fn of_tenants(connection: &mut PgConnection, tenants: &[&str]) -> Result<Vec<StoredWallet>, DatabaseError> {
    // The version comes in the same statement as the wallet, before its grants: a decision in between leaves a version that
    // is too low, which the append refuses.
    const WALLETS: &str = "SELECT w.tenant_id, w.id, w.document, v.version FROM wallets w \
        CROSS JOIN LATERAL (SELECT coalesce(max(j.version), 0) AS version FROM journal j \
            WHERE j.tenant_id = w.tenant_id AND j.stream = 'wallet/' || w.id) v \
        WHERE w.tenant_id = ANY($1)";
    if tenants.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as(WALLETS).bind(tenants).fetch_all(&mut *connection).await?;
    Ok(with_grants(connection, rows).await?.into_values().collect())
}

/// One wallet of the tenants that the connection may see.
pub async fn one(connection: &mut PgConnection, id: &WalletId) -> Result<Option<StoredWallet>, DatabaseError> {
    const ONE: &str = "SELECT w.tenant_id, w.id, w.document, v.version FROM wallets w \
        CROSS JOIN LATERAL (SELECT coalesce(max(j.version), 0) AS version FROM journal j \
            WHERE j.tenant_id = w.tenant_id AND j.stream = 'wallet/' || w.id) v \
        WHERE w.id = $1 LIMIT 1";
    let rows = sqlx::query_as(ONE).bind(id.as_str()).fetch_all(&mut *connection).await?;
    Ok(with_grants(connection, rows).await?.into_values().next())
}

/// Every movement of credits about an invoice, in the order of wallets and numbers.
pub async fn movements(
    connection: &mut PgConnection,
    tenant: &TenantId,
    invoice: &InvoiceId,
) -> Result<Vec<LedgerTransaction>, DatabaseError> {
    const ENTRIES: &str = "SELECT wallet_id, number, movement, at, account, grant_id, unit, amount::text AS amount \
        FROM ledger_entries WHERE tenant_id = $1 AND invoice_id = $2 ORDER BY wallet_id, number, entry";
    let rows: Vec<EntryRow> =
        sqlx::query_as(ENTRIES).bind(tenant.as_str()).bind(invoice.as_str()).fetch_all(connection).await?;
    let mut movements: Vec<LedgerTransaction> = Vec::new();
    for row in rows {
        let unreadable =
            |what: &str| DatabaseError::Unreadable { table: "ledger_entries", reason: format!("{what} of {invoice}") };
        let wallet = WalletId::parse(&row.wallet_id).map_err(|_| unreadable("wallet"))?;
        let number = u64::try_from(row.number).map_err(|_| unreadable("number"))?;
        if movements.last().is_none_or(|last| (&last.wallet, last.number) != (&wallet, number)) {
            let movement = Movement::parse(&row.movement).ok_or_else(|| unreadable("movement"))?;
            let (invoice, entries) = (Some(invoice.clone()), Vec::new());
            movements.push(LedgerTransaction { wallet, number, movement, at: row.at, invoice, entries });
        }
        let entry = LedgerEntry {
            account: Account::parse(&row.account).ok_or_else(|| unreadable("account"))?,
            grant: GrantId::parse(&row.grant_id).map_err(|_| unreadable("grant"))?,
            unit: row.unit,
            amount: row.amount.parse().map_err(|_| unreadable("amount"))?,
        };
        if let Some(last) = movements.last_mut() {
            last.entries.push(entry);
        }
    }
    Ok(movements)
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    wallet_id: String,
    number: i64,
    movement: String,
    at: DateTime<Utc>,
    account: String,
    grant_id: String,
    unit: String,
    amount: String,
}

async fn with_grants(
    connection: &mut PgConnection,
    rows: Vec<(String, String, String, i64)>,
) -> Result<BTreeMap<WalletKey, StoredWallet>, DatabaseError> {
    const GRANTS: &str = "SELECT g.tenant_id, g.wallet_id, g.document \
        FROM unnest($1::text[], $2::text[]) AS k(tenant_id, wallet_id) JOIN credit_grants g USING (tenant_id, wallet_id) \
        ORDER BY g.tenant_id, g.wallet_id, g.place";
    let mut wallets = BTreeMap::new();
    for (tenant, id, document, version) in rows {
        let Document { wallet, transactions, open_order, ordered } =
            serde_json::from_str(&document).map_err(unreadable)?;
        let state = WalletState { wallet, grants: Vec::new(), transactions, open_order, ordered };
        wallets.insert((tenant, id), StoredWallet { state, version });
    }
    if wallets.is_empty() {
        return Ok(wallets);
    }
    let (tenants, ids): (Vec<&str>, Vec<&str>) =
        wallets.keys().map(|(tenant, id)| (tenant.as_str(), id.as_str())).unzip();
    let grants: Vec<(String, String, String)> =
        sqlx::query_as(GRANTS).bind(tenants).bind(ids).fetch_all(connection).await?;
    for (tenant, wallet, document) in grants {
        let grant: GrantState = serde_json::from_str(&document)
            .map_err(|source| DatabaseError::Document { table: "credit_grants", source })?;
        if let Some(stored) = wallets.get_mut(&(tenant, wallet)) {
            stored.state.grants.push(grant);
        }
    }
    Ok(wallets)
}

fn unreadable(source: serde_json::Error) -> DatabaseError {
    DatabaseError::Document { table: "wallets", source }
}
