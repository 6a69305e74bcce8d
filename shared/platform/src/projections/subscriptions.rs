//! `subscriptions`: each as it stands, so that what is due is found by a query.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use talea_domain::journal::{CancelMode, JournalEvent, PeriodClosed};
use talea_domain::subscription::{Progress, Subscription, evolve};

/// Tenant and subscription.
type Key = (String, String);

struct Row {
    state: Subscription,
    mode: Option<CancelMode>,
    position: i64,
}

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let mut rows = stored(connection, &changed_only(recorded)).await?;
    for decision in recorded {
        let (id, mode) = match &decision.event {
            JournalEvent::SubscriptionStarted(started) => (&started.id, None),
            JournalEvent::SubscriptionCancelled(cancelled) => (&cancelled.subscription_id, Some(cancelled.mode)),
            JournalEvent::SubscriptionChanged(changed) => (&changed.subscription_id, None),
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
    let closed = last_of_each(closed, |(_, c)| (&c.tenant_id, &c.subscription_id));
    close(connection, &closed).await?;
    let closed = closed.iter().map(|(_, c)| (c.tenant_id.to_string(), c.subscription_id.to_string()));
    schedule(connection, &rows.into_keys().chain(closed).collect()).await
}

/// The changed and cancelled ones, whose start an earlier append recorded.
fn changed_only(recorded: &[Recorded]) -> Vec<Key> {
    let mut keys = BTreeMap::new();
    for decision in recorded {
        let (id, in_table) = match &decision.event {
            JournalEvent::SubscriptionStarted(started) => (&started.id, false),
            JournalEvent::SubscriptionCancelled(cancelled) => (&cancelled.subscription_id, true),
            JournalEvent::SubscriptionChanged(changed) => (&changed.subscription_id, true),
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
    // The plan that it is on, or is to be on by what was decided last.
    let plans: Vec<_> = rows.values().map(|row| row.state.plan_before(DateTime::<Utc>::MAX_UTC)).collect();
    sqlx::query(WRITE)
        .bind(rows.keys().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(rows.keys().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .bind(plans.iter().map(|(plan, _)| plan.as_str()).collect::<Vec<_>>())
        .bind(plans.iter().map(|(_, version)| *version as i32).collect::<Vec<_>>())
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
            billed_changes = greatest(s.billed_changes, c.changes), position = greatest(s.position, c.position) \
        FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::integer[]) \
            AS c(tenant_id, subscription_id, billed_at, position, changes) \
        WHERE s.tenant_id = c.tenant_id AND s.id = c.subscription_id";
    if closed.is_empty() {
        return Ok(());
    }
    sqlx::query(CLOSE)
        .bind(closed.iter().map(|(_, c)| c.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(closed.iter().map(|(_, c)| c.subscription_id.as_str()).collect::<Vec<_>>())
        .bind(closed.iter().map(|(_, c)| c.billed_at).collect::<Vec<_>>())
        .bind(closed.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .bind(closed.iter().map(|(_, c)| c.changes as i32).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps when each is due next, so that what is due is one range of an index. It may be early, never late.
async fn schedule(connection: &mut PgConnection, keys: &BTreeSet<Key>) -> Result<(), DatabaseError> {
    const BILLED: &str = "SELECT s.tenant_id, s.id, s.document, s.billed_until, s.billed_changes \
        FROM unnest($1::text[], $2::text[]) AS k(tenant_id, id) JOIN subscriptions s USING (tenant_id, id)";
    const SCHEDULE: &str = "UPDATE subscriptions AS s SET due_from = d.due_from \
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS d(tenant_id, id, due_from) \
        WHERE s.tenant_id = d.tenant_id AND s.id = d.id AND s.due_from IS DISTINCT FROM d.due_from";
    type Billed = (String, String, String, Option<DateTime<Utc>>, i32);
    if keys.is_empty() {
        return Ok(());
    }
    let rows: Vec<Billed> = sqlx::query_as(BILLED)
        .bind(keys.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    let mut due: Vec<Option<DateTime<Utc>>> = Vec::with_capacity(rows.len());
    for (_, _, document, until, changes) in &rows {
        let state: Subscription = serde_json::from_str(document).map_err(unreadable)?;
        let progress = Progress { until: *until, changes: usize::try_from(*changes).unwrap_or_default() };
        // Dates that cannot be counted are refused by the run, which has to see them for it.
        due.push(state.due_from(progress).unwrap_or(Some(state.started_at)));
    }
    sqlx::query(SCHEDULE)
        .bind(rows.iter().map(|row| row.0.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.1.as_str()).collect::<Vec<_>>())
        .bind(due)
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
