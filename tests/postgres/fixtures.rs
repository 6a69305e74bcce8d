//! Decisions to record.

use chrono::{DateTime, Duration, TimeZone, Utc};
use talea_domain::id::TenantId;
use talea_domain::journal::{JournalEvent, TenantStateDesired};
use talea_domain::tenant::{StateCause, Tenant, TenantScope, TenantState};
use talea_platform::journal::Decision;
use talea_platform::postgres::{Databases, PoolSettings, Target};

/// Enough connections for the concurrent tests, and short waits so that a hang fails soon.
pub async fn connect(target: &Target) -> Databases {
    let settings = PoolSettings { max_connections: 8, ..PoolSettings::default() };
    Databases::connect_to(target, &settings).await.expect("connects")
}

pub fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("is a key")
}

pub fn at(second: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).single().expect("exists") + Duration::seconds(second)
}

pub fn decision(scope: TenantScope, event: JournalEvent) -> Decision {
    Decision {
        tenant: scope,
        expected_version: None,
        event,
        effective_at: at(0),
        recorded_at: at(1),
        actor: "test".to_owned(),
        idempotency_key: None,
    }
}

pub fn created(id: &TenantId) -> Decision {
    let tenant =
        Tenant { tenant_id: id.clone(), zone: chrono_tz::Asia::Kathmandu, party_version: 1, created_at: at(0) };
    decision(TenantScope::from(id), JournalEvent::TenantCreated(tenant))
}

pub fn desired(id: &TenantId, state: TenantState, second: i64) -> Decision {
    let desired = TenantStateDesired { tenant_id: id.clone(), state, cause: StateCause::Requested, at: at(second) };
    decision(TenantScope::from(id), JournalEvent::TenantStateDesired(desired))
}
