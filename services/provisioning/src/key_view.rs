//! API keys as the API shows them, read from their projection. Never their secrets.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use talea_domain::id::{ApiKeyId, TenantId};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::http::Problem;
use talea_platform::keys::NewKey;

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct KeyView {
    pub key_id: ApiKeyId,
    pub label: String,
    pub scopes: Vec<Scope>,
    /// The only tenant it may act for; absent for every tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    pub created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key, and once its secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KeyCreated {
    #[serde(flatten)]
    pub key: KeyView,
    /// Send it as `Authorization: Bearer …`. Shown only by the request that made the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Keys {
    pub data: Vec<KeyView>,
}

impl KeyCreated {
    pub fn without_secret(key: KeyView) -> Self {
        Self { key, secret: None }
    }

    pub fn shown_once(key: NewKey) -> Self {
        let created = key.created;
        let view = KeyView {
            key_id: created.key_id,
            label: created.label,
            scopes: created.scopes,
            tenant_id: created.tenant_id,
            created_at: created.created_at,
            revoked_at: None,
        };
        Self { key: view, secret: Some(key.shown.reveal().to_owned()) }
    }
}

type Row = (String, String, Vec<String>, DateTime<Utc>, Option<DateTime<Utc>>);

/// The keys of a scope, where the connection may see them, by age.
pub async fn read(connection: &mut PgConnection, scope: &TenantScope) -> Result<Vec<KeyView>, Problem> {
    const READ: &str =
        "SELECT id, label, scopes, created_at, revoked_at FROM api_keys WHERE tenant_id = $1 ORDER BY created_at, id";
    let rows: Vec<Row> =
        sqlx::query_as(READ).bind(scope.as_str()).fetch_all(connection).await.map_err(Problem::internal)?;
    let tenant_id = match scope {
        TenantScope::Tenant(tenant) => Some(tenant.clone()),
        TenantScope::Global => None,
    };
    rows.into_iter()
        .map(|(id, label, scopes, created_at, revoked_at)| {
            let scopes: Option<Vec<Scope>> = scopes.iter().map(|scope| Scope::parse(scope)).collect();
            Ok(KeyView {
                key_id: ApiKeyId::parse(&id).map_err(Problem::internal)?,
                label,
                scopes: scopes.ok_or_else(|| Problem::internal(format!("key {id} has an unknown scope")))?,
                tenant_id: tenant_id.clone(),
                created_at,
                revoked_at,
            })
        })
        .collect()
}
