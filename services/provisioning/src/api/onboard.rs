//! `POST /v1/tenants`.

use crate::key_view::{self, KeyCreated, KeyView};
use crate::onboarding::{Existing, Onboarding, WantedKey, key_bits, subscription_id};
use crate::shared::Shared;
use crate::tenant_view::{self, TenantView};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::journal::JournalEvent;
use talea_domain::plan::PlanVersion;
use talea_domain::subscription::{Subscription, SubscriptionError};
use talea_domain::tenant::{Scope, Tenant, TenantScope};
use talea_platform::http::{Caller, Json, Problem};
use talea_platform::journal::{self, AppendError, Decision};
use talea_platform::keys::{NewKey, new_key};
use talea_platform::postgres::Tx;
use talea_platform::{catalogue, parties, random};

/// A tenant that is ready.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Onboarded {
    pub tenant: TenantView,
    /// The keys that were asked for. Their secrets are shown this once; a repeated request does not show them again.
    pub keys: Vec<KeyCreated>,
}

/// Onboard a tenant: its subscription and its API keys, in one decision.
///
/// The tenant's id makes it idempotent: the same request again answers 200 and changes nothing, another request for the
/// same id is a conflict that names the field. Secrets of keys are only in the first answer.
#[utoipa::path(
    post,
    path = "/v1/tenants",
    tag = "tenants",
    request_body = Onboarding,
    responses(
        (status = 201, description = "The tenant is ready", body = Onboarded),
        (status = 200, description = "The tenant was onboarded by the same request before", body = Onboarded),
        (status = 400, description = "A field is at fault", body = Problem),
        (status = 403, description = "Needs the scope admin and a key that is bound to no tenant", body = Problem),
        (status = 409, description = "The tenant exists and is another; the problem names the field", body = Problem),
    )
)]
pub async fn post_tenant(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    body: Result<Json<Onboarding>, Problem>,
) -> Result<(StatusCode, Json<Onboarded>), Problem> {
    caller.require(Scope::Admin)?;
    caller.require_unbound()?;
    let Json(request) = body?;
    request.check().map_err(Problem::invalid)?;
    if let Some(answer) = repeated(&shared, &request).await? {
        return Ok((StatusCode::OK, Json(answer)));
    }
    match create(&shared, &caller, &request).await {
        Ok(answer) => Ok((StatusCode::CREATED, Json(answer))),
        // The same request may have been carried out meanwhile by another connection.
        Err(problem) => match repeated(&shared, &request).await? {
            Some(answer) => Ok((StatusCode::OK, Json(answer))),
            None => Err(problem),
        },
    }
}

/// The answer to a request that was carried out before; none when the tenant is new.
async fn repeated(shared: &Shared, request: &Onboarding) -> Result<Option<Onboarded>, Problem> {
    let mut tx = shared.platform.databases.app.tenant(&request.tenant_id).await.map_err(Problem::internal)?;
    let Some(tenant) = tenant_view::find(&mut tx, &request.tenant_id).await? else { return Ok(None) };
    let keys = key_view::read(&mut tx, &TenantScope::from(&request.tenant_id)).await?;
    let party = parties::find(&mut tx, &request.tenant_id, None).await.map_err(Problem::internal)?;
    let existing = Existing {
        zone: tenant.zone.parse().map_err(Problem::internal)?,
        party,
        subscription: onboarding_subscription(&mut tx, request).await?,
        keys: keys.iter().map(|key| (key.key_id.clone(), WantedKey::from(key))).collect(),
    };
    if let Some(field) = request.difference(&existing) {
        let id = &request.tenant_id;
        return Err(Problem::conflict(format!(
            "the tenant `{id}` exists, and `{field}` of this request differs; send the first request again, or use another tenant_id"
        )));
    }
    let mut wanted = keys;
    wanted.retain(|key| request.keys.iter().any(|asked| asked.label == key.label) && key.revoked_at.is_none());
    Ok(Some(Onboarded { tenant, keys: wanted.into_iter().map(KeyCreated::without_secret).collect() }))
}

async fn onboarding_subscription(tx: &mut Tx, request: &Onboarding) -> Result<Option<Subscription>, Problem> {
    let document: Option<String> =
        sqlx::query_scalar("SELECT document FROM subscriptions WHERE tenant_id = $1 AND id = $2")
            .bind(request.tenant_id.as_str())
            .bind(subscription_id(&request.tenant_id).as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(Problem::internal)?;
    document.map(|document| serde_json::from_str(&document)).transpose().map_err(Problem::internal)
}

async fn create(shared: &Shared, caller: &Caller, request: &Onboarding) -> Result<Onboarded, Problem> {
    let now = shared.platform.clock.now();
    let mut tx = shared.platform.databases.app.tenant(&request.tenant_id).await.map_err(Problem::internal)?;
    let plan = sold_plan(&mut tx, request).await?;
    let subscription = request.subscribe(&plan, now).map_err(refused)?;
    let party = request.party();
    let party_version = parties::record(&mut tx, &request.tenant_id, &party, now).await.map_err(Problem::internal)?;
    let keys: Vec<NewKey> = request.keys.iter().map(|wanted| make_key(request, wanted, now)).collect();
    let decisions = decisions(request, subscription, party_version, &keys, now, &caller.actor());
    match journal::append(&mut tx, decisions).await {
        Ok(_) => {}
        Err(AppendError::Conflict { .. }) => {
            return Err(Problem::conflict("the tenant was onboarded at the same time; send the request again"));
        }
        Err(error) => return Err(Problem::internal(error)),
    }
    let tenant = tenant_view::find(&mut tx, &request.tenant_id).await?;
    tx.commit().await.map_err(Problem::internal)?;
    shared.recorded.notify_one();
    tracing::info!(tenant.id = %request.tenant_id, plan.key = %request.plan, "provisioning.onboarded");
    let tenant = tenant.ok_or_else(|| Problem::internal("an onboarded tenant is not in its projection"))?;
    Ok(Onboarded { tenant, keys: keys.into_iter().map(KeyCreated::shown_once).collect() })
}

async fn sold_plan(tx: &mut Tx, request: &Onboarding) -> Result<PlanVersion, Problem> {
    let found = catalogue::plan(tx, &request.plan, request.plan_version).await.map_err(Problem::internal)?;
    found.ok_or_else(|| {
        let (field, way_out) = match request.plan_version {
            Some(_) => ("/plan_version", "leave it out for the newest, or name a version that was published"),
            None => ("/plan", "publish the plan first, or name one of the catalogue"),
        };
        FieldError::new(field, "names no plan", way_out).into()
    })
}

fn refused(error: SubscriptionError) -> Problem {
    match error {
        SubscriptionError::Field(field) => field.into(),
        other => Problem::unprocessable(other.to_string()),
    }
}

fn make_key(request: &Onboarding, wanted: &WantedKey, now: DateTime<Utc>) -> NewKey {
    let (tenant, label) = (request.tenant_id.clone(), wanted.label.clone());
    new_key(key_bits(&tenant, &label), &random::secret256(), label, wanted.scopes.clone(), Some(tenant), now)
}

fn decisions(
    request: &Onboarding,
    subscription: Subscription,
    party_version: u32,
    keys: &[NewKey],
    now: DateTime<Utc>,
    actor: &str,
) -> Vec<Decision> {
    let tenant = Tenant { tenant_id: request.tenant_id.clone(), zone: request.zone, party_version, created_at: now };
    let starts_at = subscription.started_at;
    let keys = keys.iter().map(|key| (JournalEvent::ApiKeyCreated(key.created.clone()), now));
    [(JournalEvent::TenantCreated(tenant), now), (JournalEvent::SubscriptionStarted(subscription), starts_at)]
        .into_iter()
        .chain(keys)
        .map(|(event, effective_at)| Decision {
            tenant: TenantScope::from(&request.tenant_id),
            // Each begins its stream: whoever comes second is told.
            expected_version: Some(0),
            event,
            effective_at,
            recorded_at: now,
            actor: actor.to_owned(),
            idempotency_key: None,
        })
        .collect()
}

impl From<&KeyView> for WantedKey {
    fn from(key: &KeyView) -> Self {
        Self { label: key.label.clone(), scopes: key.scopes.clone() }
    }
}
