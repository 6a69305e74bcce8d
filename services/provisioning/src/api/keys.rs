//! API keys: bound to a tenant, or to none. A secret is in the answer that makes it, and nowhere after that.

use crate::key_view::{KeyCreated, Keys, read};
use crate::onboarding::WantedKey;
use crate::shared::Shared;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::sync::Arc;
use talea_domain::id::{ApiKeyId, TenantId};
use talea_domain::journal::{ApiKeyRevoked, JournalEvent};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::http::{Caller, Json, Path, Problem};
use talea_platform::journal::{self, Decision};
use talea_platform::keys::new_key;
use talea_platform::postgres::Tx;
use talea_platform::random;

/// Make an API key that is bound to a tenant.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant_id}/keys",
    tag = "keys",
    params(("tenant_id" = String, Path, description = "The tenant")),
    request_body = WantedKey,
    responses(
        (status = 201, description = "The key and, this once, its secret", body = KeyCreated),
        (status = 400, description = "A field is at fault", body = Problem),
        (status = 404, description = "No such tenant for this key", body = Problem),
    )
)]
pub async fn post_tenant_key(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
    body: Result<Json<WantedKey>, Problem>,
) -> Result<(StatusCode, Json<KeyCreated>), Problem> {
    let tenant = caller.tenant(&tenant)?;
    caller.require(Scope::Admin)?;
    let Json(wanted) = body?;
    wanted.check("")?;
    let mut tx = begin(&shared, Some(&tenant)).await?;
    require_tenant(&mut tx, &tenant).await?;
    create(&shared, &caller, tx, Some(TenantId::clone(&tenant)), wanted).await
}

/// Make an API key that is bound to no tenant.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "keys",
    request_body = WantedKey,
    responses(
        (status = 201, description = "The key and, this once, its secret", body = KeyCreated),
        (status = 400, description = "A field is at fault", body = Problem),
        (status = 403, description = "Needs the scope admin and a key that is bound to no tenant", body = Problem),
    )
)]
pub async fn post_key(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    body: Result<Json<WantedKey>, Problem>,
) -> Result<(StatusCode, Json<KeyCreated>), Problem> {
    caller.require(Scope::Admin)?;
    caller.require_unbound()?;
    let Json(wanted) = body?;
    wanted.check("")?;
    let tx = begin(&shared, None).await?;
    create(&shared, &caller, tx, None, wanted).await
}

/// A tenant's API keys, revoked ones among them. Never their secrets.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant_id}/keys",
    tag = "keys",
    params(("tenant_id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "By age", body = Keys),
        (status = 404, description = "No such tenant for this key", body = Problem),
    )
)]
pub async fn list_tenant_keys(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(tenant): Path<TenantId>,
) -> Result<Json<Keys>, Problem> {
    let tenant = caller.tenant(&tenant)?;
    caller.require(Scope::Admin)?;
    let mut tx = begin(&shared, Some(&tenant)).await?;
    require_tenant(&mut tx, &tenant).await?;
    Ok(Json(Keys { data: read(&mut tx, &TenantScope::from(&*tenant)).await? }))
}

/// The API keys that are bound to no tenant, revoked ones among them. Never their secrets.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "keys",
    responses(
        (status = 200, description = "By age", body = Keys),
        (status = 403, description = "Needs the scope admin and a key that is bound to no tenant", body = Problem),
    )
)]
pub async fn list_keys(State(shared): State<Arc<Shared>>, caller: Caller) -> Result<Json<Keys>, Problem> {
    caller.require(Scope::Admin)?;
    caller.require_unbound()?;
    let mut tx = begin(&shared, None).await?;
    Ok(Json(Keys { data: read(&mut tx, &TenantScope::Global).await? }))
}

/// Revoke a tenant's API key. It stops working within five seconds.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{tenant_id}/keys/{key_id}",
    tag = "keys",
    params(("tenant_id" = String, Path, description = "The tenant"), ("key_id" = String, Path, description = "The key's id")),
    responses(
        (status = 204, description = "The key is revoked"),
        (status = 404, description = "No such tenant or key for this key", body = Problem),
    )
)]
pub async fn delete_tenant_key(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((tenant, key)): Path<(TenantId, ApiKeyId)>,
) -> Result<StatusCode, Problem> {
    let tenant = caller.tenant(&tenant)?;
    caller.require(Scope::Admin)?;
    let tx = begin(&shared, Some(&tenant)).await?;
    revoke(&shared, &caller, tx, TenantScope::from(&*tenant), key).await
}

/// Revoke an API key that is bound to no tenant. It stops working within five seconds.
#[utoipa::path(
    delete,
    path = "/v1/keys/{key_id}",
    tag = "keys",
    params(("key_id" = String, Path, description = "The key's id")),
    responses(
        (status = 204, description = "The key is revoked"),
        (status = 403, description = "Needs the scope admin and a key that is bound to no tenant", body = Problem),
        (status = 404, description = "No such key", body = Problem),
    )
)]
pub async fn delete_key(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(key): Path<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Admin)?;
    caller.require_unbound()?;
    let tx = begin(&shared, None).await?;
    revoke(&shared, &caller, tx, TenantScope::Global, key).await
}

async fn begin(shared: &Shared, tenant: Option<&TenantId>) -> Result<Tx, Problem> {
    let app = &shared.platform.databases.app;
    match tenant {
        Some(tenant) => app.tenant(tenant).await,
        None => app.global().await,
    }
    .map_err(Problem::internal)
}

async fn create(
    shared: &Shared,
    caller: &Caller,
    mut tx: Tx,
    tenant: Option<TenantId>,
    wanted: WantedKey,
) -> Result<(StatusCode, Json<KeyCreated>), Problem> {
    let now = shared.platform.clock.now();
    let scope = tenant.as_ref().map_or(TenantScope::Global, TenantScope::from);
    let key = new_key(random::bits128(), &random::secret256(), wanted.label, wanted.scopes, tenant, now);
    let event = JournalEvent::ApiKeyCreated(key.created.clone());
    journal::append(&mut tx, vec![decision(scope, event, now, caller)]).await.map_err(Problem::internal)?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok((StatusCode::CREATED, Json(KeyCreated::shown_once(key))))
}

async fn revoke(
    shared: &Shared,
    caller: &Caller,
    mut tx: Tx,
    scope: TenantScope,
    key_id: ApiKeyId,
) -> Result<StatusCode, Problem> {
    let now = shared.platform.clock.now();
    let keys = read(&mut tx, &scope).await?;
    let key = keys.into_iter().find(|key| key.key_id == key_id).ok_or_else(Problem::not_found)?;
    if key.revoked_at.is_none() {
        let event = JournalEvent::ApiKeyRevoked(ApiKeyRevoked { key_id, revoked_at: now });
        journal::append(&mut tx, vec![decision(scope, event, now, caller)]).await.map_err(Problem::internal)?;
        tx.commit().await.map_err(Problem::internal)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn decision(tenant: TenantScope, event: JournalEvent, now: DateTime<Utc>, caller: &Caller) -> Decision {
    Decision {
        tenant,
        expected_version: None,
        event,
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    }
}

/// 404 where there is no such tenant.
async fn require_tenant(connection: &mut PgConnection, tenant: &TenantId) -> Result<(), Problem> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = $1)")
        .bind(tenant.as_str())
        .fetch_one(connection)
        .await
        .map_err(Problem::internal)?;
    if exists { Ok(()) } else { Err(Problem::not_found()) }
}
