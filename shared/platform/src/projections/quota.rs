//! `quota_signals`, `quota_state`, `quota_limits`: what was signalled, what was signalled last, and the limits that differ
//! from the plan's.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::entitlement::{LimitChanged, Signal};
use talea_domain::journal::JournalEvent;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let signalled: Vec<(&Recorded, &Signal)> = recorded
        .iter()
        .filter_map(|r| match &r.event {
            JournalEvent::QuotaSignalled(signal) => Some((r, signal)),
            _ => None,
        })
        .collect();
    if !signalled.is_empty() {
        signals(connection, &last_of_each(signalled.iter().copied(), |(_, s)| (&s.tenant_id, &s.id))).await?;
        state(connection, &last_of_each(signalled, |(_, s)| (&s.tenant_id, &s.feature))).await?;
    }
    let changed = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::LimitChanged(change) => Some((r, change)),
        _ => None,
    });
    limits(connection, &last_of_each(changed, |(_, c)| (&c.tenant_id, &c.feature))).await
}

async fn signals(connection: &mut PgConnection, signals: &[(&Recorded, &Signal)]) -> Result<(), DatabaseError> {
    const SIGNAL: &str = "INSERT INTO quota_signals (tenant_id, id, feature, document, recorded_at, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[]) \
        ON CONFLICT (tenant_id, id) DO NOTHING";
    sqlx::query(SIGNAL)
        .bind(signals.iter().map(|(_, s)| s.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|(_, s)| s.id.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|(_, s)| s.feature.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|(r, _)| r.recorded_at).collect::<Vec<_>>())
        .bind(signals.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn state(connection: &mut PgConnection, last: &[(&Recorded, &Signal)]) -> Result<(), DatabaseError> {
    const STATE: &str = "INSERT INTO quota_state (tenant_id, feature, signal_id, document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) \
        ON CONFLICT (tenant_id, feature) DO UPDATE SET signal_id = excluded.signal_id, document = excluded.document, \
            position = excluded.position";
    sqlx::query(STATE)
        .bind(last.iter().map(|(_, s)| s.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(last.iter().map(|(_, s)| s.feature.as_str()).collect::<Vec<_>>())
        .bind(last.iter().map(|(_, s)| s.id.as_str()).collect::<Vec<_>>())
        .bind(last.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(last.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn limits(connection: &mut PgConnection, changed: &[(&Recorded, &LimitChanged)]) -> Result<(), DatabaseError> {
    const CHANGE: &str = "INSERT INTO quota_limits (tenant_id, feature, version, document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[]) \
        ON CONFLICT (tenant_id, feature) DO UPDATE SET version = excluded.version, document = excluded.document, \
            position = excluded.position";
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query(CHANGE)
        .bind(changed.iter().map(|(_, c)| c.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, c)| c.feature.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, c)| i64::from(c.version)).collect::<Vec<_>>())
        .bind(changed.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
