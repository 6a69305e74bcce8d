//! What is due, found by query: page by page over the subscriptions, with the domain's own answer to when their next bill
//! moment is. The projection keeps from when on each can be due, so that a run between two month ends reads one range of an
//! index.

use super::{Candidate, Refused, Run};
use crate::catalogue::Catalogue;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::sync::Arc;
use talea_domain::id::{SubscriptionId, TenantId};
use talea_domain::subscription::{Progress, Subscription, next_moment};

/// Subscriptions of one page: what is measured and closed together.
pub const PAGE: i64 = 2_000;
/// Where a page begins: after this tenant and subscription.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    pub tenant: String,
    pub subscription: String,
}

pub struct DuePage {
    /// Subscriptions with a bill moment that is due.
    pub found: Vec<Candidate>,
    pub unreadable: Vec<Refused>,
    /// None on the last page.
    pub next: Option<Cursor>,
}

/// A subscription as it stands, and how far it is billed.
#[derive(sqlx::FromRow)]
pub struct SubscriptionRow {
    pub tenant_id: String,
    pub id: String,
    pub document: String,
    pub billed_until: Option<DateTime<Utc>>,
    pub billed_changes: i32,
    pub version: i64,
    pub recorded_at: DateTime<Utc>,
}

impl SubscriptionRow {
    pub fn progress(&self) -> Progress {
        Progress { until: self.billed_until, changes: usize::try_from(self.billed_changes).unwrap_or_default() }
    }
}

pub async fn page(run: &Run<'_>, after: &Cursor) -> anyhow::Result<DuePage> {
    const DUE: &str = "SELECT s.tenant_id, s.id, s.document, s.billed_until, s.billed_changes, v.version, v.recorded_at \
        FROM subscriptions s CROSS JOIN LATERAL (SELECT max(j.version) AS version, min(j.recorded_at) AS recorded_at \
            FROM journal j WHERE j.tenant_id = s.tenant_id AND j.stream = 'subscription/' || s.id) v \
        WHERE s.due_from <= $1 AND (s.tenant_id, s.id) > ($2, $3) ORDER BY s.tenant_id, s.id LIMIT $4";
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let rows: Vec<SubscriptionRow> = sqlx::query_as(DUE)
        .bind(run.as_of)
        .bind(&after.tenant)
        .bind(&after.subscription)
        .bind(PAGE)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(sort(run, rows))
}

fn sort(run: &Run<'_>, rows: Vec<SubscriptionRow>) -> DuePage {
    let next = (rows.len() as i64 == PAGE).then(|| rows.last()).flatten();
    let next = next.map(|row| Cursor { tenant: row.tenant_id.clone(), subscription: row.id.clone() });
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for row in rows {
        match candidate(&run.catalogue, &row) {
            Ok(Some(candidate)) if candidate.moment.at <= run.as_of => found.push(candidate),
            Ok(_) => {}
            Err(reason) => unreadable.extend(refusal(&row, reason)),
        }
    }
    DuePage { found, unreadable, next }
}

/// The subscription with its next moment, whenever that is; none when everything is billed.
pub fn candidate(catalogue: &Catalogue, row: &SubscriptionRow) -> Result<Option<Candidate>, String> {
    let subscription: Subscription =
        serde_json::from_str(&row.document).map_err(|error| format!("its document cannot be read: {error}"))?;
    candidate_of(catalogue, subscription, row)
}

/// The same of another state of the subscription, billed as far as this one.
pub fn candidate_of(
    catalogue: &Catalogue,
    subscription: Subscription,
    row: &SubscriptionRow,
) -> Result<Option<Candidate>, String> {
    let moment = next_moment(&subscription, catalogue, row.progress()).map_err(|error| error.to_string())?;
    let Some(moment) = moment else { return Ok(None) };
    let plan = Arc::clone(catalogue.plan_before(&subscription, moment.at)?);
    let (version, recorded_at) = (row.version, row.recorded_at);
    Ok(Some(Candidate { subscription, plan, moment, version, recorded_at }))
}

/// One subscription of the tenants that the connection may see.
pub async fn one(connection: &mut PgConnection, id: &SubscriptionId) -> Result<Option<SubscriptionRow>, sqlx::Error> {
    const ONE: &str = "SELECT s.tenant_id, s.id, s.document, s.billed_until, s.billed_changes, v.version, v.recorded_at \
        FROM subscriptions s CROSS JOIN LATERAL (SELECT max(j.version) AS version, min(j.recorded_at) AS recorded_at \
            FROM journal j WHERE j.tenant_id = s.tenant_id AND j.stream = 'subscription/' || s.id) v \
        WHERE s.id = $1 LIMIT 1";
    sqlx::query_as(ONE).bind(id.as_str()).fetch_optional(connection).await
}

/// The subscriptions of a tenant that can have a bill moment up to an instant.
pub async fn of_tenant(
    connection: &mut PgConnection,
    tenant: &TenantId,
    until: DateTime<Utc>,
) -> Result<Vec<SubscriptionRow>, sqlx::Error> {
    const OF_TENANT: &str = "SELECT s.tenant_id, s.id, s.document, s.billed_until, s.billed_changes, v.version, v.recorded_at \
        FROM subscriptions s CROSS JOIN LATERAL (SELECT max(j.version) AS version, min(j.recorded_at) AS recorded_at \
            FROM journal j WHERE j.tenant_id = s.tenant_id AND j.stream = 'subscription/' || s.id) v \
        WHERE s.tenant_id = $1 AND s.due_from <= $2";
    sqlx::query_as(OF_TENANT).bind(tenant.as_str()).bind(until).fetch_all(connection).await
}

/// Ids that this version cannot read have nobody to be told to; the row's document says so in the log.
pub fn refusal(row: &SubscriptionRow, reason: String) -> Option<Refused> {
    let ids = TenantId::parse(&row.tenant_id).and_then(|tenant| Ok((tenant, SubscriptionId::parse(&row.id)?)));
    match ids {
        Ok((tenant_id, subscription_id)) => {
            Some(Refused { tenant_id, subscription_id, billed_at: row.billed_until, reason })
        }
        Err(error) => {
            tracing::error!(tenant.id = row.tenant_id, subscription.id = row.id, error = %error, "billing.unreadable_id");
            None
        }
    }
}
