//! The catalogue as it stands: meters and plans, read from their projections. Global: it belongs to no tenant.

use crate::postgres::DatabaseError;
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, PgConnection};
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

/// What a table of the catalogue holds: every version of every key, as a document.
struct Kind {
    what: &'static str,
    table: &'static str,
}

const METER: Kind = Kind { what: "meter", table: "meters" };
const PLAN: Kind = Kind { what: "plan", table: "plan_versions" };

/// Every version of every meter, by key and version.
pub async fn meters(connection: &mut PgConnection) -> Result<Vec<MeterDefinition>, CatalogueError> {
    METER.all(connection).await
}

/// The newest version of every meter, by key.
pub async fn newest_meters(connection: &mut PgConnection) -> Result<Vec<MeterDefinition>, CatalogueError> {
    METER.newest(connection).await
}

/// One meter: the version asked for, else the newest.
pub async fn meter(
    connection: &mut PgConnection,
    key: &MeterKey,
    version: Option<u32>,
) -> Result<Option<MeterDefinition>, CatalogueError> {
    METER.find(connection, key.as_str(), version).await
}

/// Every version of every plan, by key and version.
pub async fn plans(connection: &mut PgConnection) -> Result<Vec<PlanVersion>, CatalogueError> {
    PLAN.all(connection).await
}

/// One plan: the version asked for, else the newest.
pub async fn plan(
    connection: &mut PgConnection,
    key: &PlanKey,
    version: Option<u32>,
) -> Result<Option<PlanVersion>, CatalogueError> {
    PLAN.find(connection, key.as_str(), version).await
}

/// The newest version of every meter that some plan limits: what live totals are kept for.
pub async fn limited_meters(connection: &mut PgConnection) -> Result<Vec<MeterDefinition>, CatalogueError> {
    let plans = plans(connection).await?;
    let limited: BTreeSet<&MeterKey> = plans.iter().flat_map(|plan| &plan.limits).map(|limit| &limit.meter).collect();
    let mut meters = newest_meters(connection).await?;
    meters.retain(|meter| limited.contains(&meter.key));
    Ok(meters)
}

impl Kind {
    async fn all<T: DeserializeOwned>(&self, connection: &mut PgConnection) -> Result<Vec<T>, CatalogueError> {
        self.many(connection, format!("SELECT key, version, document FROM {} ORDER BY key, version", self.table)).await
    }

    async fn newest<T: DeserializeOwned>(&self, connection: &mut PgConnection) -> Result<Vec<T>, CatalogueError> {
        let newest = "SELECT DISTINCT ON (key) key, version, document FROM";
        self.many(connection, format!("{newest} {} ORDER BY key, version DESC", self.table)).await
    }

    async fn many<T: DeserializeOwned>(
        &self,
        connection: &mut PgConnection,
        query: String,
    ) -> Result<Vec<T>, CatalogueError> {
        // Only the name of a table is put in, and it is one of the constants above.
        let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await?;
        rows.into_iter().map(|row| self.decode(row)).collect()
    }

    async fn find<T: DeserializeOwned>(
        &self,
        connection: &mut PgConnection,
        key: &str,
        version: Option<u32>,
    ) -> Result<Option<T>, CatalogueError> {
        let query = format!(
            "SELECT key, version, document FROM {} WHERE key = $1 AND version = coalesce($2, version) \
             ORDER BY version DESC LIMIT 1",
            self.table
        );
        let version = version.map(|version| i32::try_from(version).unwrap_or(i32::MAX));
        let row: Option<Row> =
            sqlx::query_as(AssertSqlSafe(query)).bind(key).bind(version).fetch_optional(connection).await?;
        row.map(|row| self.decode(row)).transpose()
    }

    fn decode<T: DeserializeOwned>(&self, (key, version, document): Row) -> Result<T, CatalogueError> {
        let what = self.what;
        serde_json::from_str(&document).map_err(|source| CatalogueError::Document { what, key, version, source })
    }
}
