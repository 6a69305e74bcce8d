//! Taxes: the seller's rates, and what is known of each customer.

use super::{may_read_catalogue, reading, record_global};
use crate::context::Context;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use talea_domain::id::TenantId;
use talea_domain::journal::JournalEvent;
use talea_domain::tax::{TaxProfile, TaxProfileChanged, TaxSettings};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::http::{Caller, Json, Path, Problem};
use talea_platform::journal::{self, Decision};
use talea_platform::postgres::Tx;
use talea_platform::terms;

/// The profiles of a customer, each with its first day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TaxProfiles {
    pub tenant_id: TenantId,
    /// Earliest first; a line is taxed by the one that is valid at its tax point.
    pub profiles: Vec<TaxProfile>,
}

/// Replaces the tax rates, whole: a rate that changes is one entry that ends and one that begins. What is issued stays.
#[utoipa::path(put, path = "/v1/tax-rates", tag = "taxes", request_body = TaxSettings,
    responses((status = 200, body = TaxSettings), (status = 400, body = Problem), (status = 403, body = Problem)))]
pub async fn put_rates(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Json(settings): Json<TaxSettings>,
) -> Result<Json<TaxSettings>, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let faults = settings.validate();
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    if terms::tax_settings(&mut tx).await.map_err(Problem::internal)?.as_ref() == Some(&settings) {
        return Ok(Json(settings));
    }
    record_global(&context, &caller, tx, None, JournalEvent::TaxRatesChanged(settings.clone())).await?;
    Ok(Json(settings))
}

/// The tax rates; not there where no taxes are configured.
#[utoipa::path(get, path = "/v1/tax-rates", tag = "taxes",
    responses((status = 200, body = Option<TaxSettings>, description = "null where no taxes are configured")))]
pub async fn rates(State(context): State<Arc<Context>>, caller: Caller) -> Result<Json<Option<TaxSettings>>, Problem> {
    may_read_catalogue(&caller)?;
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    terms::tax_settings(&mut tx).await.map(Json).map_err(Problem::internal)
}

/// Says how a customer is taxed from a day on. The tax id stands with its party, which can be erased.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/tax", tag = "taxes", params(("tenant_id" = String, Path)),
    request_body = TaxProfile,
    responses((status = 200, body = TaxProfiles), (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub async fn put_profile(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
    Json(profile): Json<TaxProfile>,
) -> Result<Json<TaxProfiles>, Problem> {
    let tenant = caller.tenant(&tenant)?;
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let mut tx = context.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let before = profiles(&mut tx, &tenant).await?;
    let faults = profile.validate();
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    if before.profiles.contains(&profile) {
        return Ok(Json(before));
    }
    let now = context.now();
    let decision = Decision {
        tenant: TenantScope::from(&*tenant),
        expected_version: None,
        event: JournalEvent::TaxProfileChanged(TaxProfileChanged { tenant_id: TenantId::clone(&tenant), profile }),
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    journal::append(&mut tx, vec![decision]).await.map_err(Problem::internal)?;
    let after = profiles(&mut tx, &tenant).await?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok(Json(after))
}

/// How a customer is taxed.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/tax", tag = "taxes", params(("tenant_id" = String, Path)),
    responses((status = 200, body = TaxProfiles), (status = 404, body = Problem)))]
pub async fn profile(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
) -> Result<Json<TaxProfiles>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, Some(&tenant)).await?;
    profiles(&mut tx, &tenant).await.map(Json)
}

async fn profiles(tx: &mut Tx, tenant: &TenantId) -> Result<TaxProfiles, Problem> {
    let known: Option<i32> = sqlx::query_scalar("SELECT 1 FROM tenants WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(Problem::internal)?;
    known.ok_or_else(Problem::not_found)?;
    let mut found = terms::tax_profiles(tx, [tenant]).await.map_err(Problem::internal)?;
    Ok(TaxProfiles { tenant_id: tenant.clone(), profiles: found.remove(tenant).unwrap_or_default() })
}
