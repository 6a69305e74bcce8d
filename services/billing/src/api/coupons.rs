//! Coupons: what is offered. One that exists never changes; other terms are another coupon.

use super::{may_read_catalogue, record_global};
use crate::context::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::sync::Arc;
use talea_domain::discount::Coupon;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, IdempotentRequest, Json, Page, Problem, idempotent};
use talea_platform::terms;

/// Offers a coupon. The same document again changes nothing.
#[utoipa::path(post, path = "/v1/coupons", tag = "coupons", request_body = Coupon,
    responses((status = 201, body = Coupon), (status = 200, body = Coupon, description = "It was so already"),
        (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem, description = "The key is taken by other terms")))]
pub async fn offer(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Json(coupon): Json<Coupon>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/coupons",
        body: &coupon,
        now: context.now(),
    };
    idempotent(request, record(&context, &caller, &coupon)).await
}

async fn record(context: &Context, caller: &Caller, coupon: &Coupon) -> Result<(StatusCode, Coupon), Problem> {
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    if let Some(there) = terms::coupon(&mut tx, &coupon.key).await.map_err(Problem::internal)? {
        return match there == *coupon {
            true => Ok((StatusCode::OK, there)),
            false => Err(Problem::conflict(format!("coupon {} exists with other terms; offer another", coupon.key))),
        };
    }
    let faults = coupon.validate();
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    record_global(context, caller, tx, Some(0), JournalEvent::CouponCreated(coupon.clone())).await?;
    Ok((StatusCode::CREATED, coupon.clone()))
}

/// All coupons, by key.
#[utoipa::path(get, path = "/v1/coupons", tag = "coupons", responses((status = 200, body = Page<Coupon>)))]
pub async fn list(State(context): State<Arc<Context>>, caller: Caller) -> Result<Json<Page<Coupon>>, Problem> {
    may_read_catalogue(&caller)?;
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let data = terms::coupons(&mut tx).await.map_err(Problem::internal)?;
    Ok(Json(Page { data, next_cursor: None }))
}
