//! One-off charges as they stand, read from their projection.

use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::charge::{ChargeStage, ChargeState};
use talea_domain::error::FieldError;
use talea_domain::id::{ChargeId, InvoiceId, TenantId};

/// A charge, and the version of its stream: what the next decision about it expects.
#[derive(Debug, Clone)]
pub struct StoredCharge {
    pub state: ChargeState,
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    document: String,
    stage: String,
    invoice_id: Option<String>,
    version: i64,
}

impl Row {
    fn decode(self) -> Result<StoredCharge, DatabaseError> {
        let unreadable = |reason: String| DatabaseError::Unreadable { table: "charges", reason };
        let read = |source| DatabaseError::Document { table: "charges", source };
        let stage = ChargeStage::parse(&self.stage).ok_or_else(|| unreadable(format!("stage {}", self.stage)))?;
        let invoice = self.invoice_id.as_deref().map(InvoiceId::parse).transpose();
        let invoice = invoice.map_err(|error: FieldError| unreadable(error.to_string()))?;
        let charge = serde_json::from_str(&self.document).map_err(read)?;
        Ok(StoredCharge { state: ChargeState { charge, stage, invoice }, version: self.version })
    }
}

fn decoded(rows: Vec<Row>) -> Result<Vec<StoredCharge>, DatabaseError> {
    rows.into_iter().map(Row::decode).collect()
}

/// What waits for an invoice of these tenants, in the order in which it was added.
pub async fn pending(connection: &mut PgConnection, tenants: &[&str]) -> Result<Vec<StoredCharge>, DatabaseError> {
    const PENDING: &str = "SELECT document, stage, invoice_id, version FROM charges \
        WHERE tenant_id = ANY($1) AND stage = 'pending' ORDER BY position";
    decoded(sqlx::query_as(PENDING).bind(tenants).fetch_all(connection).await?)
}

/// Those of a tenant's charges that are there, in the order in which they were added.
pub async fn some(
    connection: &mut PgConnection,
    tenant: &TenantId,
    ids: &[ChargeId],
) -> Result<Vec<StoredCharge>, DatabaseError> {
    const SOME: &str = "SELECT document, stage, invoice_id, version FROM charges \
        WHERE tenant_id = $1 AND id = ANY($2) ORDER BY position";
    let ids: Vec<&str> = ids.iter().map(ChargeId::as_str).collect();
    decoded(sqlx::query_as(SOME).bind(tenant.as_str()).bind(ids).fetch_all(connection).await?)
}

/// A page of a tenant's charges, by id.
pub async fn page(
    connection: &mut PgConnection,
    tenant: &TenantId,
    stage: Option<ChargeStage>,
    after: &str,
    limit: i64,
) -> Result<Vec<StoredCharge>, DatabaseError> {
    const PAGE: &str = "SELECT document, stage, invoice_id, version FROM charges \
        WHERE tenant_id = $1 AND ($2::text IS NULL OR stage = $2) AND id > $3 ORDER BY id LIMIT $4";
    let rows = sqlx::query_as(PAGE)
        .bind(tenant.as_str())
        .bind(stage.map(ChargeStage::as_str))
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    decoded(rows)
}
