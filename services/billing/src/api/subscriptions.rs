//! Subscriptions: started, also in the past; changed; cancelled at once or when their period ends.

mod changes;
mod coupons;
mod instant;
mod start;

pub use changes::{__path_change, change};
pub use coupons::{
    __path_apply_coupon, __path_list_coupons, __path_remove_coupon, apply_coupon, list_coupons, remove_coupon,
};
pub use start::{__path_start, start};

use super::reading;
use crate::context::Context;
use crate::run::find_one;
use axum::extract::State;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::id::{SubscriptionId, TenantId};
use talea_domain::journal::{CancelMode, JournalEvent};
use talea_domain::subscription::{
    Clock, ShownStretch, Subscription, SubscriptionCommand, SubscriptionError, decide, evolve,
};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::http::{Caller, Json, Page, PageQuery, Path, Problem, Query};
use talea_platform::journal::{self, AppendError, Decision};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SubscriptionParameters {
    pub tenant_id: Option<TenantId>,
    /// Rows of this page, 1 to 1000 (default 100).
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A subscription as it stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BilledSubscription {
    #[serde(flatten)]
    pub subscription: Subscription,
    /// The last bill moment that is closed.
    pub billed_until: Option<DateTime<Utc>>,
}

/// A subscription as it stands, with its times.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ShownSubscription {
    #[serde(flatten)]
    pub billed: BilledSubscription,
    /// What holds from when to when, scheduled changes among it: for usage, limits and what is switched on.
    pub stretches: Vec<ShownStretch>,
    /// The same for recurring charges, as proration moved them; absent where it is no different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charged_stretches: Option<Vec<ShownStretch>>,
}

/// Subscriptions by tenant and id.
#[utoipa::path(get, path = "/v1/subscriptions", tag = "subscriptions", params(SubscriptionParameters),
    responses((status = 200, body = Page<BilledSubscription>), (status = 404, body = Problem)))]
pub async fn list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Query(asked): Query<SubscriptionParameters>,
) -> Result<Json<Page<BilledSubscription>>, Problem> {
    const LIST: &str = "SELECT document, billed_until FROM subscriptions WHERE ($1::text IS NULL OR tenant_id = $1) \
        AND (tenant_id, id) > ($2, $3) ORDER BY tenant_id, id LIMIT $4";
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, asked.tenant_id.as_ref()).await?;
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor };
    let limit = page.limit()?;
    let (tenant, id) = page.after::<(String, String)>()?.unwrap_or_default();
    let rows: Vec<(String, Option<DateTime<Utc>>)> = sqlx::query_as(LIST)
        .bind(asked.tenant_id.as_ref().map(TenantId::as_str))
        .bind(tenant)
        .bind(id)
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let views = rows.into_iter().map(|(document, until)| view(&document, until)).collect::<Result<Vec<_>, _>>()?;
    Page::of(views, limit, |it| (it.subscription.tenant.clone(), it.subscription.id.clone())).map(Json)
}

/// One subscription.
#[utoipa::path(get, path = "/v1/subscriptions/{id}", tag = "subscriptions", params(("id" = String, Path)),
    responses((status = 200, body = ShownSubscription), (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<SubscriptionId>,
) -> Result<Json<ShownSubscription>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let row = find_one(&mut tx, &id).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
    let billed = view(&row.document, row.billed_until)?;
    let [stretches, charged] = [Clock::Effective, Clock::Charged].map(|clock| billed.subscription.shown(clock));
    let charged_stretches = (charged != stretches).then_some(charged);
    Ok(Json(ShownSubscription { billed, stretches, charged_stretches }))
}

#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    /// `now`: at once, with exact proration; `period_end`: when the running period ends.
    pub mode: CancelMode,
}

/// Ends a subscription. Asking again for an end that stands already changes nothing.
#[utoipa::path(post, path = "/v1/subscriptions/{id}/cancel", tag = "subscriptions", params(("id" = String, Path)),
    request_body = Cancellation,
    responses((status = 200, body = BilledSubscription), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn cancel(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<SubscriptionId>,
    Json(asked): Json<Cancellation>,
) -> Result<Json<BilledSubscription>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let row = find_one(&mut tx, &id).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
    drop(tx);
    let state: Subscription = serde_json::from_str(&row.document).map_err(Problem::internal)?;
    // As precise as what is stored, so that a moment is the same before and after.
    let now = context.now().trunc_subsecs(6);
    let command = SubscriptionCommand::Cancel { mode: asked.mode, billed_until: row.billed_until };
    let event = match decide(Some(&state), &command, now) {
        Ok(event) => event,
        // The end that was asked for stands already: a repeated request is answered as the first was.
        Err(SubscriptionError::EndsAlready { .. }) if asked.mode == CancelMode::PeriodEnd => {
            return Ok(Json(BilledSubscription { subscription: state, billed_until: row.billed_until }));
        }
        Err(error) => return Err(problem(error)),
    };
    let decision = Decision {
        tenant: TenantScope::from(&state.tenant),
        expected_version: Some(row.version),
        event: event.clone(),
        effective_at: ends_at(&event).unwrap_or(now),
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    let mut tx = context.platform.databases.app.tenant(&state.tenant).await.map_err(Problem::internal)?;
    append(&mut tx, decision).await?;
    tx.commit().await.map_err(Problem::internal)?;
    context.wake.notify_one();
    let subscription =
        evolve(Some(state), &event).ok_or_else(|| Problem::internal("a cancelled subscription vanished"))?;
    Ok(Json(BilledSubscription { subscription, billed_until: row.billed_until }))
}

fn ends_at(event: &JournalEvent) -> Option<DateTime<Utc>> {
    match event {
        JournalEvent::SubscriptionCancelled(cancelled) => Some(cancelled.at),
        _ => None,
    }
}

async fn append(tx: &mut talea_platform::postgres::Tx, decision: Decision) -> Result<(), Problem> {
    match journal::append(tx, vec![decision]).await {
        Ok(_) => Ok(()),
        Err(conflict @ AppendError::Conflict { .. }) => Err(Problem::conflict(conflict.to_string())),
        Err(error) => Err(Problem::internal(error)),
    }
}

fn view(document: &str, billed_until: Option<DateTime<Utc>>) -> Result<BilledSubscription, Problem> {
    let subscription = serde_json::from_str(document).map_err(Problem::internal)?;
    Ok(BilledSubscription { subscription, billed_until })
}

fn problem(error: SubscriptionError) -> Problem {
    match error {
        SubscriptionError::Field(field) => field.into(),
        SubscriptionError::Period(error) => Problem::unprocessable(error.to_string()),
        SubscriptionError::Timeline(error) => Problem::unprocessable(error.to_string()),
        SubscriptionError::Unknown => Problem::not_found(),
        other => Problem::conflict(other.to_string()),
    }
}
