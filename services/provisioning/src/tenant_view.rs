//! A tenant as the API shows it, read from the projections.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::HashMap;
use talea_domain::id::{PlanKey, SubscriptionId, TenantId};
use talea_domain::party::Party;
use talea_domain::subscription::Subscription;
use talea_domain::tenant::{StateCause, TenantState};
use talea_platform::http::Problem;

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TenantView {
    pub tenant_id: TenantId,
    /// Of its bill-to party; absent once that was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub zone: String,
    pub state: TenantState,
    pub state_cause: StateCause,
    pub state_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub subscriptions: Vec<SubscriptionView>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SubscriptionView {
    pub id: SubscriptionId,
    /// The plan that it is on, or is to be on by what was decided last.
    pub plan: PlanKey,
    pub plan_version: u32,
    pub currency: String,
    pub started_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
}

type Row = (String, String, DateTime<Utc>, String, String, DateTime<Utc>, Option<String>);

/// One tenant, where the connection may see it.
pub async fn find(connection: &mut PgConnection, tenant: &TenantId) -> Result<Option<TenantView>, Problem> {
    const FIND: &str = "SELECT t.tenant_id, t.zone, t.created_at, t.state, t.state_cause, t.state_at, p.document \
        FROM tenants t LEFT JOIN party p ON p.tenant_id = t.tenant_id AND p.version = t.party_version \
        WHERE t.tenant_id = $1";
    let rows: Vec<Row> =
        sqlx::query_as(FIND).bind(tenant.as_str()).fetch_all(&mut *connection).await.map_err(Problem::internal)?;
    Ok(views(connection, rows).await?.pop())
}

/// Up to `limit` tenants after `after`, by id, of those that the connection may see.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<&TenantId>,
    limit: u32,
) -> Result<Vec<TenantView>, Problem> {
    const LIST: &str = "SELECT t.tenant_id, t.zone, t.created_at, t.state, t.state_cause, t.state_at, p.document \
        FROM tenants t LEFT JOIN party p ON p.tenant_id = t.tenant_id AND p.version = t.party_version \
        WHERE t.tenant_id COLLATE \"C\" > $1 ORDER BY t.tenant_id COLLATE \"C\" LIMIT $2";
    let rows: Vec<Row> = sqlx::query_as(LIST)
        .bind(after.map_or("", TenantId::as_str))
        .bind(i64::from(limit))
        .fetch_all(&mut *connection)
        .await
        .map_err(Problem::internal)?;
    views(connection, rows).await
}

async fn views(connection: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<TenantView>, Problem> {
    const SUBSCRIPTIONS: &str =
        "SELECT tenant_id, document FROM subscriptions WHERE tenant_id = ANY($1) ORDER BY tenant_id, starts_at, id";
    let ids: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    let documents: Vec<(String, String)> =
        sqlx::query_as(SUBSCRIPTIONS).bind(ids).fetch_all(connection).await.map_err(Problem::internal)?;
    let mut subscriptions: HashMap<String, Vec<SubscriptionView>> = HashMap::new();
    for (tenant, document) in documents {
        let subscription: Subscription = serde_json::from_str(&document).map_err(Problem::internal)?;
        subscriptions.entry(tenant).or_default().push(SubscriptionView::of(subscription));
    }
    rows.into_iter().map(|row| view(row, &mut subscriptions)).collect()
}

fn view(row: Row, subscriptions: &mut HashMap<String, Vec<SubscriptionView>>) -> Result<TenantView, Problem> {
    let (tenant_id, zone, created_at, state, cause, state_at, party) = row;
    let party: Option<Party> =
        party.map(|document| serde_json::from_str(&document)).transpose().map_err(Problem::internal)?;
    let state = TenantState::parse(&state)
        .ok_or_else(|| Problem::internal(format!("tenant {tenant_id} has the unknown state `{state}`")))?;
    Ok(TenantView {
        subscriptions: subscriptions.remove(&tenant_id).unwrap_or_default(),
        tenant_id: TenantId::parse(&tenant_id).map_err(Problem::internal)?,
        name: party.map(|party| party.name),
        zone,
        state,
        state_cause: serde_json::from_str(&cause).map_err(Problem::internal)?,
        state_at,
        created_at,
    })
}

impl SubscriptionView {
    fn of(subscription: Subscription) -> Self {
        let (plan, plan_version) = subscription.plan_before(DateTime::<Utc>::MAX_UTC);
        Self {
            id: subscription.id,
            plan,
            plan_version,
            currency: subscription.currency.to_string(),
            started_at: subscription.started_at,
            ended_at: subscription.ended_at,
        }
    }
}
