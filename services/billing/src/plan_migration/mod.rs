//! Subscriptions of a plan, moved to another version of it together: [`mod@preview`] shows what would become of each, [`work`] moves
//! them, page by page in the background. Which ones, and how each is changed, is the domain's own decision.

mod preview;
mod work;

pub use preview::{MigrationPreview, preview};
pub use work::pass;

use crate::run::SubscriptionRow;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use talea_domain::id::{SubscriptionId, TenantId};
use talea_domain::subscription::{MigrationPlace, MigrationTerms, Subscription};

/// A subscription that a migration may be about.
struct Found {
    row: SubscriptionRow,
    state: Subscription,
}

/// Whose plan, as it was decided last, is in a version that is migrated. What the domain leaves out beside is left out there.
const ABOUT: &str = "s.plan_key = $1 \
    AND (s.plan_version = ANY($2::integer[]) OR (cardinality($2::integer[]) = 0 AND s.plan_version < $3)) \
    AND (cardinality($4::text[]) = 0 OR s.tenant_id = ANY($4)) AND (cardinality($5::text[]) = 0 OR s.id = ANY($5)) \
    AND (s.ends_at IS NULL OR s.ends_at > $6)";

/// A page of them, in the order of tenants and ids.
async fn page(
    connection: &mut PgConnection,
    terms: &MigrationTerms,
    asked_at: DateTime<Utc>,
    after: Option<&MigrationPlace>,
    limit: i64,
) -> anyhow::Result<Vec<Found>> {
    let sql = format!(
        "SELECT s.tenant_id, s.id, s.document, s.billed_until, s.billed_changes, v.version, v.recorded_at \
        FROM subscriptions s CROSS JOIN LATERAL (SELECT max(j.version) AS version, min(j.recorded_at) AS recorded_at \
            FROM journal j WHERE j.tenant_id = s.tenant_id AND j.stream = 'subscription/' || s.id) v \
        WHERE {ABOUT} AND (s.tenant_id, s.id) > ($7, $8) ORDER BY s.tenant_id, s.id LIMIT $9"
    );
    let after = after.map_or(("", ""), |after| (after.tenant.as_str(), after.subscription.as_str()));
    let rows: Vec<SubscriptionRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(terms.plan.as_str())
        .bind(versions(terms)?)
        .bind(i32::try_from(terms.to_version)?)
        .bind(tenants(terms))
        .bind(subscriptions(terms))
        .bind(asked_at)
        .bind(after.0)
        .bind(after.1)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let found = rows.into_iter().map(|row| Ok(Found { state: serde_json::from_str(&row.document)?, row }));
    found.collect()
}

/// How many there are up to a place, and in all.
async fn count(
    connection: &mut PgConnection,
    terms: &MigrationTerms,
    asked_at: DateTime<Utc>,
    last: Option<&MigrationPlace>,
) -> anyhow::Result<(i64, i64)> {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE $7::text IS NULL OR (s.tenant_id, s.id) <= ($7, $8)), count(*) \
        FROM subscriptions s WHERE {ABOUT}"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(terms.plan.as_str())
        .bind(versions(terms)?)
        .bind(i32::try_from(terms.to_version)?)
        .bind(tenants(terms))
        .bind(subscriptions(terms))
        .bind(asked_at)
        .bind(last.map(|last| last.tenant.as_str()))
        .bind(last.map(|last| last.subscription.as_str()))
        .fetch_one(connection)
        .await?)
}

fn versions(terms: &MigrationTerms) -> anyhow::Result<Vec<i32>> {
    Ok(terms.from_versions.iter().map(|version| i32::try_from(*version)).collect::<Result<_, _>>()?)
}

fn tenants(terms: &MigrationTerms) -> Vec<&str> {
    terms.tenants.iter().map(TenantId::as_str).collect()
}

fn subscriptions(terms: &MigrationTerms) -> Vec<&str> {
    terms.subscriptions.iter().map(SubscriptionId::as_str).collect()
}

impl Found {
    fn place(&self) -> MigrationPlace {
        MigrationPlace { tenant: self.state.tenant.clone(), subscription: self.state.id.clone() }
    }
}
