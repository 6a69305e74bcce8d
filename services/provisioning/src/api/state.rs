//! Suspending and resuming a tenant by hand. What a person decides stands until a person or a newer quota signal decides
//! otherwise; usage is recorded in either state.

use crate::shared::Shared;
use crate::tenant_view::{self, TenantView};
use axum::extract::State;
use std::sync::Arc;
use talea_domain::id::TenantId;
use talea_domain::journal::{JournalEvent, TenantStateDesired};
use talea_domain::tenant::{Scope, StateCause, TenantScope, TenantState};
use talea_platform::http::{Caller, Json, Path, Problem};
use talea_platform::journal::{self, Decision};

/// Suspend a tenant. `tenant.suspended` is published; the app enforces it.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant_id}/suspend",
    tag = "tenants",
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "The tenant is suspended", body = TenantView),
        (status = 403, description = "Needs the scope admin and a key that is bound to no tenant", body = Problem),
        (status = 404, description = "No such tenant for this key", body = Problem),
    )
)]
pub async fn suspend_tenant(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
) -> Result<Json<TenantView>, Problem> {
    desire(&shared, &caller, &tenant, TenantState::Suspended).await
}

/// Resume a tenant. `tenant.resumed` is published.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant_id}/resume",
    tag = "tenants",
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "The tenant is active", body = TenantView),
        (status = 403, description = "Needs the scope admin and a key that is bound to no tenant", body = Problem),
        (status = 404, description = "No such tenant for this key", body = Problem),
    )
)]
pub async fn resume_tenant(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
) -> Result<Json<TenantView>, Problem> {
    desire(&shared, &caller, &tenant, TenantState::Active).await
}

async fn desire(
    shared: &Shared,
    caller: &Caller,
    tenant: &TenantId,
    state: TenantState,
) -> Result<Json<TenantView>, Problem> {
    let tenant = caller.tenant(tenant)?;
    caller.require(Scope::Admin)?;
    caller.require_unbound()?;
    let mut tx = shared.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let before = tenant_view::find(&mut tx, &tenant).await?.ok_or_else(Problem::not_found)?;
    // A tenant that a quota suspended can also be suspended by hand: then quota does not resume it.
    let taken_over = state == TenantState::Suspended && matches!(before.state_cause, StateCause::Quota { .. });
    if before.state == state && !taken_over {
        return Ok(Json(before));
    }
    let now = shared.platform.clock.now();
    let tenant_id = TenantId::clone(&tenant);
    let decision = Decision {
        tenant: TenantScope::from(&*tenant),
        expected_version: None,
        event: JournalEvent::TenantStateDesired(TenantStateDesired {
            tenant_id,
            state,
            cause: StateCause::Requested,
            at: now,
        }),
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    journal::append(&mut tx, vec![decision]).await.map_err(Problem::internal)?;
    let after = tenant_view::find(&mut tx, &tenant).await?.ok_or_else(Problem::not_found)?;
    tx.commit().await.map_err(Problem::internal)?;
    shared.recorded.notify_one();
    Ok(Json(after))
}
