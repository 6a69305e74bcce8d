//! `subscriptions`: each as it stands, so that what is due is found by a query.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use talea_domain::journal::{CancelMode, JournalEvent, PeriodClosed};
use talea_domain::subscription::{Subscription, evolve};

/// Tenant and subscription.
type Key = (String, String);

struct Row {
    state: Subscription,
    mode: Option<CancelMode>,
    position: i64,
}

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let mut rows = stored(connection, &cancelled_only(recorded)).await?;
    for decision in recorded {
        let (id, mode) = match &decision.event {
            JournalEvent::SubscriptionStarted(started) => (&started.id, None),
            JournalEvent::SubscriptionCancelled(cancelled) => (&cancelled.subscription_id, Some(cancelled.mode)),
            _ => continue,
        };
        let key = (decision.tenant.as_str().to_owned(), id.to_string());
        let before = rows.remove(&key);
        let mode = mode.or(before.as_ref().and_then(|row| row.mode));
        if let Some(state) = evolve(before.map(|row| row.state), &decision.event) {
            rows.insert(key, Row { state, mode, position: decision.position });
        }
    }
    write(connection, &rows).await?;
    let closed = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::PeriodClosed(closed) => Some((r, closed)),
        _ => None,
    });
    close(connection, &last_of_each(closed, |(_, c)| (&c.tenant_id, &c.subscription_id))).await
}

/// The cancelled ones, whose start an earlier append recorded.
fn cancelled_only(recorded: &[Recorded]) -> Vec<Key> {
    let mut keys = BTreeMap::new();
    for decision in recorded {
        let (id, in_table) = match &decision.event {
            JournalEvent::SubscriptionStarted(started) => (&started.id, false),
            JournalEvent::SubscriptionCancelled(cancelled) => (&cancelled.subscription_id, true),
            _ => continue,
        };
        keys.entry((decision.tenant.as_str().to_owned(), id.to_string())).or_insert(in_table);
    }
    keys.into_iter().filter(|(_, in_table)| *in_table).map(|(key, _)| key).collect()
}

async fn stored(connection: &mut PgConnection, keys: &[Key]) -> Result<BTreeMap<Key, Row>, DatabaseError> {
    const STORED: &str = "SELECT s.tenant_id, s.id, s.document, s.position \
        FROM unnest($1::text[], $2::text[]) AS k(tenant_id, id) JOIN subscriptions s USING (tenant_id, id)";
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found: Vec<(String, String, String, i64)> = sqlx::query_as(STORED)
        .bind(keys.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let row = |(tenant, id, document, position): (String, String, String, i64)| {
        let state = serde_json::from_str(&document).map_err(unreadable)?;
        Ok(((tenant, id), Row { state, mode: None, position }))
    };
    found.into_iter().map(row).collect()
}

async fn write(connection: &mut PgConnection, rows: &BTreeMap<Key, Row>) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO subscriptions (tenant_id, id, plan_key, plan_version, starts_at, ends_at, cancel_mode, \
            document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], \
            $7::text[], $8::text[], $9::bigint[]) \
        ON CONFLICT (tenant_id, id) DO UPDATE SET plan_key = excluded.plan_key, plan_version = excluded.plan_version, \
            starts_at = excluded.starts_at, ends_at = excluded.ends_at, cancel_mode = excluded.cancel_mode, \
            document = excluded.document, position = excluded.position";
    if rows.is_empty() {
        return Ok(());
    }
    let documents: Vec<String> =
        rows.values().map(|row| serde_json::to_string(&row.state).map_err(unreadable)).collect::<Result<_, _>>()?;
    sqlx::query(WRITE)
        .bind(rows.keys().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(rows.keys().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .bind(rows.values().map(|row| row.state.plan.as_str()).collect::<Vec<_>>())
        .bind(rows.values().map(|row| row.state.plan_version as i32).collect::<Vec<_>>())
        .bind(rows.values().map(|row| row.state.started_at).collect::<Vec<_>>())
        .bind(rows.values().map(|row| row.state.ended_at).collect::<Vec<_>>())
        .bind(rows.values().map(|row| row.mode.map(mode_name)).collect::<Vec<_>>())
        .bind(documents)
        .bind(rows.values().map(|row| row.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn close(connection: &mut PgConnection, closed: &[(&Recorded, &PeriodClosed)]) -> Result<(), DatabaseError> {
    const CLOSE: &str = "UPDATE subscriptions AS s SET billed_until = greatest(s.billed_until, c.billed_at), \
            position = greatest(s.position, c.position) \
        FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[]) \
            AS c(tenant_id, subscription_id, billed_at, position) \
        WHERE s.tenant_id = c.tenant_id AND s.id = c.subscription_id";
    if closed.is_empty() {
        return Ok(());
    }
    sqlx::query(CLOSE)
        .bind(closed.iter().map(|(_, c)| c.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(closed.iter().map(|(_, c)| c.subscription_id.as_str()).collect::<Vec<_>>())
        .bind(closed.iter().map(|(_, c)| c.billed_at).collect::<Vec<_>>())
        .bind(closed.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

fn unreadable(source: serde_json::Error) -> DatabaseError {
    DatabaseError::Document { table: "subscriptions", source }
}

fn mode_name(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::Now => "now",
        CancelMode::PeriodEnd => "period_end",
    }
}
