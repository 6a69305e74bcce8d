//! `tenants`: who is a tenant, in which zone, and in which state it should be.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::journal::{JournalEvent, TenantStateDesired};
use talea_domain::tenant::{StateCause, Tenant, TenantState};

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let created = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::TenantCreated(tenant) => Some((r, tenant)),
        _ => None,
    });
    create(connection, &last_of_each(created, |(_, tenant)| &tenant.tenant_id)).await?;
    let desired = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::TenantStateDesired(desired) => Some((r, desired)),
        _ => None,
    });
    desire(connection, &last_of_each(desired, |(_, desired)| &desired.tenant_id)).await
}

async fn create(connection: &mut PgConnection, created: &[(&Recorded, &Tenant)]) -> Result<(), DatabaseError> {
    const CREATE: &str = "INSERT INTO tenants (tenant_id, zone, party_version, created_at, state, state_cause, state_at, \
            position) \
        SELECT t.tenant_id, t.zone, t.party_version, t.created_at, $5, $6, t.created_at, t.position \
        FROM unnest($1::text[], $2::text[], $3::integer[], $4::timestamptz[], $7::bigint[]) \
            AS t(tenant_id, zone, party_version, created_at, position) \
        ON CONFLICT (tenant_id) DO UPDATE SET zone = excluded.zone, party_version = excluded.party_version, \
            position = excluded.position";
    if created.is_empty() {
        return Ok(());
    }
    sqlx::query(CREATE)
        .bind(created.iter().map(|(_, t)| t.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, t)| t.zone.name()).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, t)| t.party_version as i32).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, t)| t.created_at).collect::<Vec<_>>())
        .bind(TenantState::Active.as_str())
        .bind(cause(&StateCause::Onboarded))
        .bind(created.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn desire(
    connection: &mut PgConnection,
    desired: &[(&Recorded, &TenantStateDesired)],
) -> Result<(), DatabaseError> {
    const DESIRE: &str = "UPDATE tenants SET state = d.state, state_cause = d.cause, state_at = d.at, \
            position = greatest(tenants.position, d.position) \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[]) \
            AS d(tenant_id, state, cause, at, position) \
        WHERE tenants.tenant_id = d.tenant_id";
    if desired.is_empty() {
        return Ok(());
    }
    sqlx::query(DESIRE)
        .bind(desired.iter().map(|(_, d)| d.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(desired.iter().map(|(_, d)| d.state.as_str()).collect::<Vec<_>>())
        .bind(desired.iter().map(|(_, d)| cause(&d.cause)).collect::<Vec<_>>())
        .bind(desired.iter().map(|(_, d)| d.at).collect::<Vec<_>>())
        .bind(desired.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

fn cause(cause: &StateCause) -> String {
    serde_json::to_string(cause).expect("an enum with text fields has a JSON form")
}
