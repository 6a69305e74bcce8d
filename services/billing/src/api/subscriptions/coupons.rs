//! The coupons of a subscription: applied from an instant on, taken away, and how much of them is used.

use super::{append, instant};
use crate::api::reading;
use crate::context::Context;
use crate::run::find_one;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::discount::{AppliedCoupon, Coupon, CouponError, Redemption, Use, apply as decide_apply, remove};
use talea_domain::error::FieldError;
use talea_domain::id::{CouponKey, SubscriptionId};
use talea_domain::journal::JournalEvent;
use talea_domain::money::Money;
use talea_domain::subscription::Subscription;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::http::{Caller, IdempotentRequest, Json, Page, Path, Problem, idempotent};
use talea_platform::journal::Decision;
use talea_platform::postgres::Tx;
use talea_platform::terms;

/// A coupon on a subscription.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AppliedView {
    pub coupon: Coupon,
    /// The first bill moment it is for.
    pub from: DateTime<Utc>,
    /// The first bill moment that it is no longer for; absent while nobody removed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The bill moments whose issued invoices it discounted.
    pub redeemed: Vec<RedemptionView>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RedemptionView {
    pub billed_at: DateTime<Utc>,
    /// With what corrections changed; zero where it gave units.
    pub given: Money,
}

impl From<AppliedCoupon> for AppliedView {
    fn from(applied: AppliedCoupon) -> Self {
        let view = |it: Redemption| RedemptionView { billed_at: it.billed_at, given: it.given };
        Self {
            coupon: applied.coupon,
            from: applied.from,
            until: applied.until,
            redeemed: applied.redeemed.into_iter().map(view).collect(),
        }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApplication {
    pub coupon: CouponKey,
    /// The first bill moment it is for: RFC 3339, or a date in the subscription's zone. Default: now.
    #[serde(default)]
    pub from: Option<String>,
}

/// What a decision about a subscription's coupons stands on.
struct Found {
    subscription: Subscription,
    version: i64,
    billed_until: Option<DateTime<Utc>>,
}

async fn find(context: &Context, caller: &Caller, id: &SubscriptionId) -> Result<Found, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(context, caller, None).await?;
    let row = find_one(&mut tx, id).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
    let subscription = serde_json::from_str(&row.document).map_err(Problem::internal)?;
    Ok(Found { subscription, version: row.version, billed_until: row.billed_until })
}

async fn applied(tx: &mut Tx, subscription: &Subscription) -> Result<Vec<AppliedCoupon>, Problem> {
    let key = (subscription.tenant.clone(), subscription.id.clone());
    let mut applied = terms::applied(tx, [&key]).await.map_err(Problem::internal)?;
    Ok(applied.remove(&key).unwrap_or_default())
}

/// Applies a coupon: it is for the subscription's bill moments from an instant on. A subscription takes each coupon once.
#[utoipa::path(post, path = "/v1/subscriptions/{id}/coupons", tag = "coupons", params(("id" = String, Path)),
    request_body = NewApplication,
    responses((status = 201, body = AppliedView), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub async fn apply_coupon(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<SubscriptionId>,
    Json(asked): Json<NewApplication>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    // What a tenant owes is not for its own key to decide.
    caller.require_unbound()?;
    let found = find(&context, &caller, &id).await?;
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/subscriptions/{id}/coupons",
        body: &(&id, &asked),
        now: context.now(),
    };
    idempotent(request, record(&context, &caller, &found, &asked)).await
}

async fn record(
    context: &Context,
    caller: &Caller,
    found: &Found,
    asked: &NewApplication,
) -> Result<(StatusCode, AppliedView), Problem> {
    let subscription = &found.subscription;
    let now = context.now().trunc_subsecs(6);
    let from = asked.from.as_deref().map(|text| instant::parse("/from", text, subscription.zone)).transpose()?;
    let mut tx = context.platform.databases.app.tenant(&subscription.tenant).await.map_err(Problem::internal)?;
    let coupon = terms::coupon(&mut tx, &asked.coupon).await.map_err(Problem::internal)?;
    let coupon = coupon.ok_or_else(|| {
        FieldError::new("/coupon", "there is no such coupon", "GET /v1/coupons lists what is offered")
    })?;
    // Appends take this lock: while it is held nobody else can use the coupon, so that the count below holds.
    sqlx::query("SELECT position FROM journal_head FOR UPDATE").execute(&mut *tx).await.map_err(Problem::internal)?;
    let so_far = Use {
        subscriptions: terms::uses(&mut tx, &coupon.key).await.map_err(Problem::internal)?,
        billed_until: found.billed_until,
    };
    let before = applied(&mut tx, subscription).await?;
    let decided = decide_apply(subscription, &before, &coupon, so_far, from, now).map_err(problem)?;
    let from = decided.from;
    let event = JournalEvent::CouponApplied(decided);
    append(&mut tx, decision(found, caller, event, from, now)).await?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok((StatusCode::CREATED, AppliedCoupon { coupon, from, until: None, redeemed: Vec::new() }.into()))
}

fn decision(
    found: &Found,
    caller: &Caller,
    event: JournalEvent,
    effective_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Decision {
    Decision {
        tenant: TenantScope::from(&found.subscription.tenant),
        // A document that is issued meanwhile was assembled without this: one of the two has to look again.
        expected_version: Some(found.version),
        event,
        effective_at,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    }
}

/// The coupons of a subscription, with those that were removed, in the order in which they begin.
#[utoipa::path(get, path = "/v1/subscriptions/{id}/coupons", tag = "coupons", params(("id" = String, Path)),
    responses((status = 200, body = Page<AppliedView>), (status = 404, body = Problem)))]
pub async fn list_coupons(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<SubscriptionId>,
) -> Result<Json<Page<AppliedView>>, Problem> {
    let found = find(&context, &caller, &id).await?;
    let mut tx = reading(&context, &caller, None).await?;
    let data = applied(&mut tx, &found.subscription).await?.into_iter().map(AppliedView::from).collect();
    Ok(Json(Page { data, next_cursor: None }))
}

/// Takes a coupon from a subscription: it is for no bill moment from now on. What it discounted stays discounted.
#[utoipa::path(delete, path = "/v1/subscriptions/{id}/coupons/{coupon}", tag = "coupons",
    params(("id" = String, Path), ("coupon" = String, Path)),
    responses((status = 200, body = AppliedView), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn remove_coupon(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path((id, coupon)): Path<(SubscriptionId, CouponKey)>,
) -> Result<Json<AppliedView>, Problem> {
    caller.require(Scope::Finance)?;
    // What a tenant owes is not for its own key to decide.
    caller.require_unbound()?;
    let found = find(&context, &caller, &id).await?;
    let now = context.now().trunc_subsecs(6);
    let tenant = &found.subscription.tenant;
    let mut tx = context.platform.databases.app.tenant(tenant).await.map_err(Problem::internal)?;
    let before = applied(&mut tx, &found.subscription).await?;
    let there = before.iter().find(|it| it.coupon.key == coupon).cloned().ok_or_else(Problem::not_found)?;
    let removed = match remove(&found.subscription, &before, &coupon, now) {
        Ok(removed) => removed,
        Err(CouponError::RemovedAlready { .. }) => return Ok(Json(there.into())),
        Err(error) => return Err(problem(error)),
    };
    append(&mut tx, decision(&found, &caller, JournalEvent::CouponRemoved(removed), now, now)).await?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok(Json(AppliedCoupon { until: Some(now), ..there }.into()))
}

fn problem(error: CouponError) -> Problem {
    Problem::conflict(error.to_string())
}
