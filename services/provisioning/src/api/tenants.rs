//! Reading tenants.

use crate::shared::Shared;
use crate::tenant_view::{self, TenantView};
use axum::extract::State;
use std::sync::Arc;
use talea_domain::id::TenantId;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Page, PageQuery, Path, Problem, Query};

/// List tenants by id; a key that is bound to a tenant sees that one.
#[utoipa::path(
    get,
    path = "/v1/tenants",
    tag = "tenants",
    params(PageQuery),
    responses((status = 200, description = "One page", body = Page<TenantView>))
)]
pub async fn list_tenants(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<TenantView>>, Problem> {
    caller.require(Scope::Read)?;
    let (limit, after) = (page.limit()?, page.after::<TenantId>()?);
    let databases = &shared.platform.databases;
    let tx = match caller.bound_tenant() {
        Some(tenant) => databases.app.tenant(tenant).await,
        None => databases.operator.begin(caller.all_tenants()?).await,
    };
    let mut tx = tx.map_err(Problem::internal)?;
    let rows = tenant_view::list(&mut tx, after.as_ref(), limit + 1).await?;
    Ok(Json(Page::of(rows, limit, |tenant| tenant.tenant_id.clone())?))
}

/// One tenant: its state, why, and its subscriptions.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant_id}",
    tag = "tenants",
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "The tenant", body = TenantView),
        (status = 404, description = "No such tenant for this key", body = Problem),
    )
)]
pub async fn get_tenant(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
) -> Result<Json<TenantView>, Problem> {
    let tenant = caller.tenant(&tenant)?;
    caller.require(Scope::Read)?;
    let mut tx = shared.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    tenant_view::find(&mut tx, &tenant).await?.map(Json).ok_or_else(Problem::not_found)
}
