//! `wallets`, `credit_grants`, `credit_orders`, `ledger_entries`: wallets as they stand, and every movement. The domain's own
//! fold makes the balances, so that what is stored is what was decided upon.

use crate::credits::{WalletKey, document, states};
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use talea_domain::credit::{GrantState, LedgerEntry, LedgerTransaction, TopUpOrder, WalletState, evolve, movement};
use talea_domain::id::GrantId;
use talea_domain::journal::JournalEvent;

/// A wallet that decisions of this batch are about.
struct Touched {
    state: WalletState,
    /// The grants that changed, with the position of the last change.
    grants: BTreeMap<GrantId, i64>,
    position: i64,
}

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let about: Vec<(&Recorded, WalletKey)> = recorded.iter().filter_map(|r| Some((r, wallet_of(r)?))).collect();
    if about.is_empty() {
        return Ok(());
    }
    let keys: BTreeSet<&WalletKey> = about.iter().map(|(_, key)| key).collect();
    let mut before = states(connection, &keys.into_iter().cloned().collect::<Vec<_>>()).await?;
    let mut touched: BTreeMap<WalletKey, Touched> = BTreeMap::new();
    for (decision, key) in &about {
        let (state, mut grants) = match touched.remove(key) {
            Some(touched) => (Some(touched.state), touched.grants),
            None => (before.remove(key), BTreeMap::new()),
        };
        let entries = movement(&decision.event).into_iter().flat_map(|movement| &movement.entries);
        grants.extend(entries.map(|entry| (entry.grant.clone(), decision.position)));
        let state = evolve(state, &decision.event).map_err(|error| DatabaseError::Decision(error.to_string()))?;
        if let Some(state) = state {
            touched.insert(key.clone(), Touched { state, grants, position: decision.position });
        }
    }
    write_wallets(connection, &touched).await?;
    write_grants(connection, &touched).await?;
    write_orders(connection, recorded).await?;
    write_entries(connection, recorded).await
}

fn wallet_of(recorded: &Recorded) -> Option<WalletKey> {
    let stream = recorded.event.stream();
    (stream.kind == "wallet").then(|| (recorded.tenant.as_str().to_owned(), stream.id))
}

async fn write_wallets(
    connection: &mut PgConnection,
    touched: &BTreeMap<WalletKey, Touched>,
) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO wallets (tenant_id, id, name, unit, transactions, document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[]) \
        ON CONFLICT (tenant_id, id) DO UPDATE SET transactions = excluded.transactions, document = excluded.document, \
            position = excluded.position";
    let documents: Vec<String> = touched.values().map(|it| document(&it.state)).collect::<Result<_, _>>()?;
    sqlx::query(WRITE)
        .bind(touched.keys().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(touched.keys().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .bind(touched.values().map(|it| it.state.wallet.name.as_str()).collect::<Vec<_>>())
        .bind(touched.values().map(|it| it.state.wallet.unit.name()).collect::<Vec<_>>())
        .bind(touched.values().map(|it| it.state.transactions as i64).collect::<Vec<_>>())
        .bind(documents)
        .bind(touched.values().map(|it| it.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_grants(
    connection: &mut PgConnection,
    touched: &BTreeMap<WalletKey, Touched>,
) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO credit_grants (tenant_id, wallet_id, id, place, remaining_millionths, expires_at, \
            document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::timestamptz[], \
            $7::text[], $8::bigint[]) \
        ON CONFLICT (tenant_id, wallet_id, id) DO UPDATE SET remaining_millionths = excluded.remaining_millionths, \
            document = excluded.document, position = excluded.position";
    let mut rows: Vec<(&WalletKey, i32, &GrantState, i64)> = Vec::new();
    for (key, wallet) in touched {
        for (place, held) in (1..).zip(&wallet.state.grants) {
            rows.extend(wallet.grants.get(&held.grant.id).map(|position| (key, place, held, *position)));
        }
    }
    let unreadable = |source| DatabaseError::Document { table: "credit_grants", source };
    let documents: Vec<String> =
        rows.iter().map(|(_, _, held, _)| serde_json::to_string(held).map_err(unreadable)).collect::<Result<_, _>>()?;
    sqlx::query(WRITE)
        .bind(rows.iter().map(|(key, ..)| key.0.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(key, ..)| key.1.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, _, held, _)| held.grant.id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, place, ..)| *place).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, _, held, _)| held.remaining.millionths()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, _, held, _)| held.grant.expires_at).collect::<Vec<_>>())
        .bind(documents)
        .bind(rows.iter().map(|(.., position)| *position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// New orders, then the grants that answer them.
async fn write_orders(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    const ORDER: &str = "INSERT INTO credit_orders (tenant_id, wallet_id, id, ordered_at, document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[])";
    const ANSWER: &str = "UPDATE credit_orders AS o SET answered_by = a.grant_id, position = a.position \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) \
            AS a(tenant_id, wallet_id, id, grant_id, position) \
        WHERE o.tenant_id = a.tenant_id AND o.wallet_id = a.wallet_id AND o.id = a.id";
    let orders: Vec<(&Recorded, &TopUpOrder)> = recorded
        .iter()
        .filter_map(|r| match &r.event {
            JournalEvent::CreditTopUpOrdered(order) => Some((r, order)),
            _ => None,
        })
        .collect();
    if !orders.is_empty() {
        sqlx::query(ORDER)
            .bind(orders.iter().map(|(r, _)| r.tenant.as_str()).collect::<Vec<_>>())
            .bind(orders.iter().map(|(_, order)| order.wallet.as_str()).collect::<Vec<_>>())
            .bind(orders.iter().map(|(_, order)| order.id.as_str()).collect::<Vec<_>>())
            .bind(orders.iter().map(|(_, order)| order.ordered_at).collect::<Vec<_>>())
            .bind(orders.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
            .bind(orders.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    let answers: Vec<(&Recorded, &str, &str, &str)> = recorded
        .iter()
        .filter_map(|r| match &r.event {
            JournalEvent::CreditGranted(it) => {
                let order = it.grant.answers.as_ref()?;
                Some((r, it.grant.wallet.as_str(), order.as_str(), it.grant.id.as_str()))
            }
            _ => None,
        })
        .collect();
    if !answers.is_empty() {
        sqlx::query(ANSWER)
            .bind(answers.iter().map(|(r, ..)| r.tenant.as_str()).collect::<Vec<_>>())
            .bind(answers.iter().map(|(_, wallet, ..)| *wallet).collect::<Vec<_>>())
            .bind(answers.iter().map(|(_, _, order, _)| *order).collect::<Vec<_>>())
            .bind(answers.iter().map(|(.., grant)| *grant).collect::<Vec<_>>())
            .bind(answers.iter().map(|(r, ..)| r.position).collect::<Vec<_>>())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// All entries of a movement in one statement, which the database holds to their balance.
async fn write_entries(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO ledger_entries (tenant_id, wallet_id, number, entry, movement, at, invoice_id, account, \
            grant_id, unit, amount, position) \
        SELECT tenant_id, wallet_id, number, entry, movement, at, invoice_id, account, grant_id, unit, amount::numeric, \
            position \
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[], $5::text[], $6::timestamptz[], $7::text[], \
            $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[]) \
            AS e(tenant_id, wallet_id, number, entry, movement, at, invoice_id, account, grant_id, unit, amount, position)";
    let mut rows: Vec<(&Recorded, &LedgerTransaction, i32, &LedgerEntry)> = Vec::new();
    for decision in recorded {
        let Some(movement) = movement(&decision.event) else { continue };
        rows.extend((1..).zip(&movement.entries).map(|(number, entry)| (decision, movement, number, entry)));
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(WRITE)
        .bind(rows.iter().map(|(r, ..)| r.tenant.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, movement, ..)| movement.wallet.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, movement, ..)| movement.number as i64).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, _, number, _)| *number).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, movement, ..)| movement.movement.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, movement, ..)| movement.at).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, movement, ..)| movement.invoice.as_ref().map(|id| id.as_str())).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., entry)| entry.account.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., entry)| entry.grant.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., entry)| entry.unit.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., entry)| entry.amount.to_string()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(r, ..)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
