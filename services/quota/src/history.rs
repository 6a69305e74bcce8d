//! The signals that were given, for whoever missed them on the topic.

use crate::shared::Shared;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use talea_domain::entitlement::Signal;
use talea_domain::id::TenantId;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Page, PageQuery, Problem, Query};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SignalParameters {
    /// May be left out: then the key's tenant, or all tenants for a key that is bound to none.
    tenant_id: Option<TenantId>,
    /// Rows of this page, 1 to 1000 (default 100).
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Quota signals, the latest first.
#[utoipa::path(get, path = "/v1/quota-signals", tag = "entitlements", params(SignalParameters),
    responses((status = 200, body = Page<Signal>), (status = 404, body = Problem)))]
pub async fn list_signals(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Query(asked): Query<SignalParameters>,
) -> Result<Json<Page<Signal>>, Problem> {
    const LIST: &str = "SELECT position, document FROM quota_signals \
        WHERE tenant_id = coalesce($1, tenant_id) AND position < $2 ORDER BY position DESC LIMIT $3";
    caller.require(Scope::Read)?;
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor };
    let limit = page.limit()?;
    let tenant = caller.tenant_or_all(asked.tenant_id.as_ref())?;
    let databases = &shared.platform.databases;
    let mut tx = match &tenant {
        Some(tenant) => databases.app.tenant(tenant).await,
        None => databases.operator.begin(caller.all_tenants()?).await,
    }
    .map_err(Problem::internal)?;
    let rows: Vec<(i64, String)> = sqlx::query_as(LIST)
        .bind(tenant.as_ref().map(|tenant| tenant.as_str().to_owned()))
        .bind(page.after::<i64>()?.unwrap_or(i64::MAX))
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let page = Page::of(rows, limit, |(position, _)| *position)?;
    let read = |(_, document): (i64, String)| serde_json::from_str(&document).map_err(Problem::internal);
    Ok(Json(Page { data: page.data.into_iter().map(read).collect::<Result<_, _>>()?, next_cursor: page.next_cursor }))
}
