//! Reading the journal, whole or by stream.

use super::{ReadError, Recorded};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use talea_domain::journal::{JournalEvent, Stream};
use talea_domain::tenant::TenantScope;

/// The last position that is committed; 0 for an empty journal.
pub async fn head(connection: &mut PgConnection) -> Result<i64, ReadError> {
    Ok(sqlx::query_scalar("SELECT position FROM journal_head").fetch_one(connection).await?)
}

/// Up to `limit` decisions after `after`, in order, of the tenants that the connection may see. Positions are given and
/// committed in one order, so that none can turn up later below one that was read.
pub async fn read(connection: &mut PgConnection, after: i64, limit: u32) -> Result<Vec<Recorded>, ReadError> {
    const READ: &str = "SELECT position, tenant_id, stream, version, type, payload::text AS payload, effective_at, \
        recorded_at, actor, idempotency_key FROM journal WHERE position > $1 ORDER BY position LIMIT $2";
    let rows: Vec<Row> = sqlx::query_as(READ).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// The whole history of one stream, oldest first.
pub async fn read_stream(
    connection: &mut PgConnection,
    tenant: &TenantScope,
    stream: &Stream,
) -> Result<Vec<Recorded>, ReadError> {
    const READ: &str = "SELECT position, tenant_id, stream, version, type, payload::text AS payload, effective_at, \
        recorded_at, actor, idempotency_key FROM journal WHERE tenant_id = $1 AND stream = $2 ORDER BY version";
    let rows: Vec<Row> =
        sqlx::query_as(READ).bind(tenant.as_str()).bind(stream.to_string()).fetch_all(connection).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// The decision that was recorded under an idempotency key.
pub async fn find(
    connection: &mut PgConnection,
    tenant: &TenantScope,
    idempotency_key: &str,
) -> Result<Option<Recorded>, ReadError> {
    const FIND: &str = "SELECT position, tenant_id, stream, version, type, payload::text AS payload, effective_at, \
        recorded_at, actor, idempotency_key FROM journal WHERE tenant_id = $1 AND idempotency_key = $2";
    let row: Option<Row> =
        sqlx::query_as(FIND).bind(tenant.as_str()).bind(idempotency_key).fetch_optional(connection).await?;
    row.map(Row::decode).transpose()
}

#[derive(sqlx::FromRow)]
struct Row {
    position: i64,
    tenant_id: String,
    stream: String,
    version: i64,
    r#type: String,
    payload: String,
    effective_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    actor: String,
    idempotency_key: Option<String>,
}

impl Row {
    fn decode(self) -> Result<Recorded, ReadError> {
        let position = self.position;
        let event = JournalEvent::decode(&self.r#type, &self.payload)
            .map_err(|source| ReadError::Decode { position, source })?;
        let tenant = TenantScope::parse(&self.tenant_id)
            .map_err(|_| ReadError::Tenant { position, text: self.tenant_id.clone() })?;
        Ok(Recorded {
            position,
            tenant,
            stream: self.stream,
            version: self.version,
            event,
            payload: self.payload,
            effective_at: self.effective_at,
            recorded_at: self.recorded_at,
            actor: self.actor,
            idempotency_key: self.idempotency_key,
        })
    }
}
