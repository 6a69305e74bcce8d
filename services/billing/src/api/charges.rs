//! One-off charges: added to the next invoice or invoiced at once, read, withdrawn.

mod add;

pub use add::{__path_add, add};

use super::deciding::append;
use super::reading;
use crate::context::Context;
use axum::extract::State;
use chrono::SubsecRound;
use serde::Deserialize;
use std::sync::Arc;
use talea_domain::charge::{ChargeStage, ChargeState};
use talea_domain::id::{ChargeId, TenantId};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::charges::{self, StoredCharge};
use talea_platform::http::{Caller, Json, Page, PageQuery, Path, Problem, Query};
use talea_platform::journal::Decision;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChargeParameters {
    /// `pending`, `invoiced` or `withdrawn`.
    pub stage: Option<ChargeStage>,
    /// Rows of this page, 1 to 1000 (default 100).
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A tenant's one-off charges, by id.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/charges", tag = "charges",
    params(("tenant_id" = String, Path), ChargeParameters),
    responses((status = 200, body = Page<ChargeState>), (status = 404, body = Problem)))]
pub async fn list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(tenant_id): Path<TenantId>,
    Query(asked): Query<ChargeParameters>,
) -> Result<Json<Page<ChargeState>>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = super::terms::of_tenant(&context, &caller, &tenant_id).await?;
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor };
    let (limit, after) = (page.limit()?, page.after::<String>()?.unwrap_or_default());
    let rows = charges::page(&mut tx, &tenant_id, asked.stage, &after, i64::from(limit) + 1).await;
    let states = rows.map_err(Problem::internal)?.into_iter().map(|it| it.state).collect();
    Ok(Json(Page::of(states, limit, |it: &ChargeState| it.charge.id.to_string())?))
}

/// Withdraws a charge that waits. What stands on an invoice is taken back by a credit note.
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/charges/{charge}", tag = "charges",
    params(("tenant_id" = String, Path), ("charge" = String, Path)),
    responses((status = 200, body = ChargeState), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn withdraw(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path((tenant_id, charge)): Path<(TenantId, ChargeId)>,
) -> Result<Json<ChargeState>, Problem> {
    caller.require(Scope::Finance)?;
    // What a tenant owes is not for its own key to decide.
    caller.require_unbound()?;
    drop(reading(&context, &caller, Some(&tenant_id)).await?);
    let mut tx = context.platform.databases.app.tenant(&tenant_id).await.map_err(Problem::internal)?;
    let found = charges::some(&mut tx, &tenant_id, &[charge]).await.map_err(Problem::internal)?;
    let StoredCharge { state, version } = found.into_iter().next().ok_or_else(Problem::not_found)?;
    let now = context.now().trunc_subsecs(6);
    let Some(event) = state.withdraw(now).map_err(|error| Problem::conflict(error.to_string()))? else {
        return Ok(Json(state));
    };
    let withdrawn = state.evolve(&event);
    let decision = Decision {
        tenant: TenantScope::from(&tenant_id),
        expected_version: Some(version),
        event,
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    append(&mut tx, decision).await?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok(Json(withdrawn))
}
