//! The check API: answers come from memory, in microseconds. And the one setting of a tenant's own: its amount of a limit.

use crate::book::Known;
use crate::shared::Shared;
use crate::terms::Feature;
use axum::extract::State;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;
use talea_domain::entitlement::{Decision, Entitlement, Standing, check};
use talea_domain::error::FieldError;
use talea_domain::id::{FeatureKey, TenantId};
use talea_domain::quantity::parse_quantity;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Path, Problem, Query};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes(shared: Arc<Shared>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(check_entitlement))
        .routes(routes!(list_entitlements))
        .routes(routes!(crate::history::list_signals))
        .routes(routes!(crate::own_limit::put_limit))
        .with_state(shared)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CheckQuery {
    /// How much is to be used: a decimal, zero or more. Default 1; 0 asks for the state alone.
    amount: Option<String>,
}

/// All entitlements of a tenant.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Entitlements {
    pub data: Vec<Decision>,
}

/// May this tenant use this feature now?
///
/// Answered from memory. A metered feature says what its limit is, what is used in the running period, what remains, when
/// it resets and as of when the figures are; figures that are too old follow the plan's `when_stale`.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant_id}/entitlements/{feature}",
    tag = "entitlements",
    params(("tenant_id" = String, Path, description = "The tenant"), ("feature" = String, Path, description = "The feature"), CheckQuery),
    responses(
        (status = 200, description = "The answer; `allowed` says yes or no", body = Decision),
        (status = 400, description = "The amount is no quantity", body = Problem),
        (status = 404, description = "No such tenant for this key, or no such feature in its plan", body = Problem),
    )
)]
async fn check_entitlement(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((tenant, feature)): Path<(TenantId, FeatureKey)>,
    Query(query): Query<CheckQuery>,
) -> Result<Json<Decision>, Problem> {
    let tenant = caller.tenant(&tenant)?;
    caller.require(Scope::Read)?;
    let amount = parse_amount(query.amount.as_deref())?;
    if let Some(decision) = decide(&shared, &tenant, &feature, amount)? {
        return Ok(Json(decision));
    }
    ready(&shared)?;
    Err(unknown_feature(&shared, &tenant, &feature)?)
}

/// Everything that a tenant's plan entitles it to, as a check of amount 0 would answer.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant_id}/entitlements",
    tag = "entitlements",
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "One entry a feature, by name", body = Entitlements),
        (status = 404, description = "No such tenant for this key", body = Problem),
    )
)]
async fn list_entitlements(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
) -> Result<Json<Entitlements>, Problem> {
    let tenant = caller.tenant(&tenant)?;
    caller.require(Scope::Read)?;
    ready(&shared)?;
    let now = shared.platform.clock.now();
    let features = shared.book().features(&tenant, now).map_err(Problem::internal)?;
    let features = features.ok_or_else(Problem::not_found)?;
    let mut data = Vec::with_capacity(features.len());
    for feature in &features {
        data.extend(decide(&shared, &tenant, feature, Decimal::ZERO)?);
    }
    Ok(Json(Entitlements { data }))
}

fn decide(
    shared: &Shared,
    tenant: &TenantId,
    feature: &FeatureKey,
    amount: Decimal,
) -> Result<Option<Decision>, Problem> {
    let started = Instant::now();
    let now = shared.platform.clock.now();
    let known = shared.book().ask(tenant, feature, now).map_err(Problem::internal)?;
    let Known::Feature { feature, used } = known else { return Ok(None) };
    let entitlement = match &feature {
        Feature::Static(fixed) => Entitlement::Static(fixed),
        Feature::Metered(metered) => {
            let as_of = shared.as_of();
            let default = shared.platform.config.quota.stale_after_seconds;
            let standing = used.zip(as_of).map(|(used, as_of)| Standing {
                used,
                resets_at: metered.period.end,
                as_of: as_of.at,
                age_seconds: as_of.seen.elapsed().as_secs(),
                stale_after_seconds: metered.limit.stale_after_seconds.unwrap_or(default),
            });
            Entitlement::Metered { limit: &metered.limit, standing }
        }
    };
    let decision = check(&entitlement, amount);
    metrics::histogram!("talea_quota_check_seconds").record(started.elapsed());
    Ok(Some(decision))
}

fn parse_amount(text: Option<&str>) -> Result<Decimal, Problem> {
    let wrong = |reason: &str| {
        let way_out = "send a decimal of zero or more, for example amount=12.5, or leave it out for 1";
        Problem::from(FieldError::new("amount", reason, way_out))
    };
    let amount = parse_quantity(text.unwrap_or("1")).ok_or_else(|| wrong("is not an exact quantity"))?;
    if amount < Decimal::ZERO { Err(wrong("is negative")) } else { Ok(amount) }
}

/// Before the terms are read nobody can say what a tenant has.
fn ready(shared: &Shared) -> Result<(), Problem> {
    if shared.terms_known.is_reached() {
        return Ok(());
    }
    Err(Problem::unavailable("the plans are being read; ask again in a second"))
}

fn unknown_feature(shared: &Shared, tenant: &TenantId, feature: &FeatureKey) -> Result<Problem, Problem> {
    let features = shared.book().features(tenant, shared.platform.clock.now()).map_err(Problem::internal)?;
    let Some(features) = features else { return Ok(Problem::not_found()) };
    let names: Vec<&str> = features.iter().map(FeatureKey::as_str).collect();
    let has = if names.is_empty() { "none at the moment".to_owned() } else { names.join(", ") };
    Ok(Problem::not_found().with_detail(format!(
        "the tenant's plan has no feature `{feature}`; it has {has}. Use one of these, or add a limit or an entitlement to the plan"
    )))
}
