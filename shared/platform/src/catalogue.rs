//! The catalogue as it stands: meters and plans, read from their projections. Global: it belongs to no tenant.

use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use std::collections::BTreeSet;
use talea_domain::id::{MeterKey, PlanKey};
use talea_domain::meter::MeterDefinition;
use talea_domain::plan::PlanVersion;

/// Why the catalogue could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the stored {what} {key} version {version} cannot be read: {source}; run `talea rebuild`")]
    Document { what: &'static str, key: String, version: i32, source: serde_json::Error },
}

impl From<sqlx::Error> for CatalogueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

type Row = (String, i32, String);

/// Every version of every meter, by key and version.
pub async fn meters(connection: &mut PgConnection) -> Result<Vec<MeterDefinition>, CatalogueError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT key, version, document FROM meters ORDER BY key, version").fetch_all(connection).await?;
    rows.into_iter().map(|row| decode("meter", row)).collect()
}

/// The newest version of every meter, by key.
pub async fn newest_meters(connection: &mut PgConnection) -> Result<Vec<MeterDefinition>, CatalogueError> {
    const NEWEST: &str = "SELECT DISTINCT ON (key) key, version, document FROM meters ORDER BY key, version DESC";
    let rows: Vec<Row> = sqlx::query_as(NEWEST).fetch_all(connection).await?;
    rows.into_iter().map(|row| decode("meter", row)).collect()
}

/// One meter: the version asked for, else the newest.
pub async fn meter(
    connection: &mut PgConnection,
    key: &MeterKey,
    version: Option<u32>,
) -> Result<Option<MeterDefinition>, CatalogueError> {
    const FIND: &str = "SELECT key, version, document FROM meters WHERE key = $1 AND version = coalesce($2, version) \
        ORDER BY version DESC LIMIT 1";
    let version = version.map(|version| i32::try_from(version).unwrap_or(i32::MAX));
    let row: Option<Row> = sqlx::query_as(FIND).bind(key.as_str()).bind(version).fetch_optional(connection).await?;
    row.map(|row| decode("meter", row)).transpose()
}

/// Every version of every plan, by key and version.
pub async fn plans(connection: &mut PgConnection) -> Result<Vec<PlanVersion>, CatalogueError> {
    let rows: Vec<Row> = sqlx::query_as("SELECT key, version, document FROM plan_versions ORDER BY key, version")
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|row| decode("plan", row)).collect()
}

/// One plan: the version asked for, else the newest.
pub async fn plan(
    connection: &mut PgConnection,
    key: &PlanKey,
    version: Option<u32>,
) -> Result<Option<PlanVersion>, CatalogueError> {
    const FIND: &str = "SELECT key, version, document FROM plan_versions WHERE key = $1 AND version = coalesce($2, version) \
        ORDER BY version DESC LIMIT 1";
    let version = version.map(|version| i32::try_from(version).unwrap_or(i32::MAX));
    let row: Option<Row> = sqlx::query_as(FIND).bind(key.as_str()).bind(version).fetch_optional(connection).await?;
    row.map(|row| decode("plan", row)).transpose()
}

/// The newest version of every meter that some plan limits: what live totals are kept for.
pub async fn limited_meters(connection: &mut PgConnection) -> Result<Vec<MeterDefinition>, CatalogueError> {
    let plans = plans(connection).await?;
    let limited: BTreeSet<&MeterKey> = plans.iter().flat_map(|plan| &plan.limits).map(|limit| &limit.meter).collect();
    let mut meters = newest_meters(connection).await?;
    meters.retain(|meter| limited.contains(&meter.key));
    Ok(meters)
}

fn decode<T: serde::de::DeserializeOwned>(
    what: &'static str,
    (key, version, document): Row,
) -> Result<T, CatalogueError> {
    serde_json::from_str(&document).map_err(|source| CatalogueError::Document { what, key, version, source })
}
