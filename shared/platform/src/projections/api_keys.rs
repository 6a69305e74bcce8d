//! `api_keys`: the hashes of the keys, and which of them are revoked. Keys are made one at a time.

use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::journal::JournalEvent;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    const CREATE: &str = "INSERT INTO api_keys (tenant_id, id, label, scopes, sha256, created_at, position) \
        VALUES ($1, $2, $3, $4, decode($5, 'hex'), $6, $7) ON CONFLICT (tenant_id, id) DO NOTHING";
    const REVOKE: &str = "UPDATE api_keys SET revoked_at = $3, position = $4 \
        WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
    for decision in recorded {
        let query = match &decision.event {
            JournalEvent::ApiKeyCreated(key) => sqlx::query(CREATE)
                .bind(decision.tenant.as_str())
                .bind(key.key_id.as_str())
                .bind(&key.label)
                .bind(key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>())
                .bind(&key.sha256)
                .bind(key.created_at)
                .bind(decision.position),
            JournalEvent::ApiKeyRevoked(key) => sqlx::query(REVOKE)
                .bind(decision.tenant.as_str())
                .bind(key.key_id.as_str())
                .bind(key.revoked_at)
                .bind(decision.position),
            _ => continue,
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
