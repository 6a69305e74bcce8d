//! Personal data, by version, in a table of its own that can be erased. Decisions refer to a version.

use crate::postgres::DatabaseError;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use talea_domain::id::TenantId;
use talea_domain::party::Party;

#[derive(Debug, thiserror::Error)]
pub enum PartyError {
    #[error("version {version} of the party of tenant {tenant} cannot be read or written as JSON: {source}")]
    Json { tenant: TenantId, version: u32, source: serde_json::Error },
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for PartyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Records the next version and answers its number, from 1. An unchanged party keeps its version. Two transactions that
/// record at once: the second fails on the key and may be tried again.
pub async fn record(
    connection: &mut PgConnection,
    tenant: &TenantId,
    party: &Party,
    now: DateTime<Utc>,
) -> Result<u32, PartyError> {
    const LAST: &str = "SELECT version, document FROM party WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1";
    const INSERT: &str = "INSERT INTO party (tenant_id, version, document, recorded_at) VALUES ($1, $2, $3, $4)";
    let last: Option<(i32, Option<String>)> =
        sqlx::query_as(LAST).bind(tenant.as_str()).fetch_optional(&mut *connection).await?;
    let (version, before) = last.map_or((0, None), |(version, document)| (version, document));
    let document = serde_json::to_string(party).map_err(|source| PartyError::Json {
        tenant: tenant.clone(),
        version: version.unsigned_abs() + 1,
        source,
    })?;
    if before.as_deref() == Some(document.as_str()) {
        return Ok(version.unsigned_abs());
    }
    sqlx::query(INSERT).bind(tenant.as_str()).bind(version + 1).bind(document).bind(now).execute(connection).await?;
    Ok(version.unsigned_abs() + 1)
}

/// One version; the newest where `version` is none. None when there is none or it was erased.
pub async fn find(
    connection: &mut PgConnection,
    tenant: &TenantId,
    version: Option<u32>,
) -> Result<Option<Party>, PartyError> {
    const FIND: &str = "SELECT version, document FROM party WHERE tenant_id = $1 AND version = coalesce($2, version) \
        ORDER BY version DESC LIMIT 1";
    let row: Option<(i32, Option<String>)> =
        sqlx::query_as(FIND).bind(tenant.as_str()).bind(version.map(i64::from)).fetch_optional(connection).await?;
    let Some((version, Some(document))) = row else { return Ok(None) };
    serde_json::from_str(&document).map(Some).map_err(|source| PartyError::Json {
        tenant: tenant.clone(),
        version: version.unsigned_abs(),
        source,
    })
}
