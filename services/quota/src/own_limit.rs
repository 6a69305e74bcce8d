//! `PUT …/entitlements/{feature}/limit`: one tenant's own amount of a limit, apart from its plan.

use crate::book::Known;
use crate::shared::Shared;
use crate::terms::Feature;
use axum::extract::State;
use rust_decimal::Decimal;
use serde::Deserialize;
use std::sync::Arc;
use talea_domain::entitlement::{LimitChanged, check_amount};
use talea_domain::error::FieldError;
use talea_domain::id::{FeatureKey, TenantId};
use talea_domain::journal::JournalEvent;
use talea_domain::quantity::parse_quantity;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::http::{Caller, Json, Path, Problem};
use talea_platform::journal::{self, AppendError, Decision};
use talea_platform::postgres::Tx;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnLimit {
    /// The tenant's amount, as a decimal in text, for example `"50000"`.
    amount: String,
}

/// Set one tenant's own amount of a limit.
///
/// It replaces the amount of the tenant's plan from now on; thresholds, period and kind stay the plan's. A signal tells
/// what holds under the new amount. Setting the amount that holds already changes nothing.
#[utoipa::path(
    put,
    path = "/v1/tenants/{tenant_id}/entitlements/{feature}/limit",
    tag = "entitlements",
    params(("tenant_id" = String, Path, description = "The tenant"), ("feature" = String, Path, description = "A metered feature of its plan")),
    request_body = OwnLimit,
    responses(
        (status = 200, description = "The amount holds", body = LimitChanged),
        (status = 400, description = "The amount is no quantity", body = Problem),
        (status = 403, description = "Needs the scope finance and a key that is bound to no tenant", body = Problem),
        (status = 404, description = "No such tenant for this key, or no such metered feature in its plan", body = Problem),
        (status = 409, description = "Somebody else changed it at the same time", body = Problem),
    )
)]
pub async fn put_limit(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((tenant, feature)): Path<(TenantId, FeatureKey)>,
    body: Result<Json<OwnLimit>, Problem>,
) -> Result<Json<LimitChanged>, Problem> {
    let tenant = caller.tenant(&tenant)?;
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let Json(wanted) = body?;
    let amount = parse(&wanted.amount)?;
    let now = shared.platform.clock.now();
    let known = shared.book().ask(&tenant, &feature, now).map_err(Problem::internal)?;
    let Known::Feature { feature: Feature::Metered(_), .. } = known else { return Err(Problem::not_found()) };
    let mut tx = shared.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let before = current(&mut tx, &tenant, &feature).await?;
    if let Some(before) = before.as_ref().filter(|before| before.amount == amount) {
        return Ok(Json(before.clone()));
    }
    let version = before.map_or(0, |before| before.version);
    let change =
        LimitChanged { tenant_id: TenantId::clone(&tenant), feature, amount, version: version + 1, changed_at: now };
    let decision = Decision {
        tenant: TenantScope::from(&*tenant),
        expected_version: Some(i64::from(version)),
        event: JournalEvent::LimitChanged(change.clone()),
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    match journal::append(&mut tx, vec![decision]).await {
        Ok(_) => {}
        Err(AppendError::Conflict { .. }) => {
            return Err(Problem::conflict("the limit was changed at the same time; read it and decide again"));
        }
        Err(error) => return Err(Problem::internal(error)),
    }
    tx.commit().await.map_err(Problem::internal)?;
    Ok(Json(change))
}

fn parse(text: &str) -> Result<Decimal, Problem> {
    let wrong =
        || FieldError::new("/amount", "is not an exact quantity", "send a decimal in text, for example \"50000\"");
    let amount = parse_quantity(text).ok_or_else(wrong)?;
    check_amount("/amount", amount)?;
    Ok(amount)
}

async fn current(tx: &mut Tx, tenant: &TenantId, feature: &FeatureKey) -> Result<Option<LimitChanged>, Problem> {
    let document: Option<String> =
        sqlx::query_scalar("SELECT document FROM quota_limits WHERE tenant_id = $1 AND feature = $2")
            .bind(tenant.as_str())
            .bind(feature.as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(Problem::internal)?;
    document.map(|document| serde_json::from_str(&document)).transpose().map_err(Problem::internal)
}
