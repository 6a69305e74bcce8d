//! Changes of a running subscription: its plan, quantities, add-ons, prices, a pause, an end. Each is decided by what holds at its
//! instant, which may lie in the past or in the future, and recorded as one decision.

use super::{BilledSubscription, append, problem};
use crate::api::reading;
use crate::catalogue::Catalogue;
use crate::context::Context;
use crate::run::find_one;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::SubsecRound;
use serde::Serialize;
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::id::SubscriptionId;
use talea_domain::journal::JournalEvent;
use talea_domain::subscription::{ChangeRequest, ChangeTerms, Subscription, SubscriptionCommand, decide, evolve};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::catalogue;
use talea_platform::http::{Caller, IdempotentRequest, Json, Path, Problem, idempotent};
use talea_platform::journal::Decision;
use talea_platform::postgres::Tx;

/// A change with the subscription that it is about: what an `Idempotency-Key` stands for.
#[derive(Serialize)]
struct Asked<'a> {
    id: &'a SubscriptionId,
    change: &'a ChangeRequest,
}

/// Changes a subscription. What it changes about periods that are billed is billed with the next invoice, or at once.
#[utoipa::path(post, path = "/v1/subscriptions/{id}/changes", tag = "subscriptions", params(("id" = String, Path)),
    request_body = ChangeRequest,
    responses((status = 200, body = BilledSubscription), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub async fn change(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<SubscriptionId>,
    Json(asked): Json<ChangeRequest>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    // What a tenant owes is not for its own key to decide.
    caller.require_unbound()?;
    let body = Asked { id: &id, change: &asked };
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/subscriptions/{id}/changes",
        body: &body,
        now: context.now(),
    };
    idempotent(request, record(&context, &caller, &id, &asked)).await
}

async fn record(
    context: &Context,
    caller: &Caller,
    id: &SubscriptionId,
    asked: &ChangeRequest,
) -> Result<(StatusCode, BilledSubscription), Problem> {
    let mut tx = reading(context, caller, None).await?;
    let row = find_one(&mut tx, id).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
    let catalogue = Catalogue::load(&mut tx).await.map_err(Problem::internal)?;
    let terms = resolved(&mut tx, asked).await?;
    drop(tx);
    let state: Subscription = serde_json::from_str(&row.document).map_err(Problem::internal)?;
    // As precise as what is stored, so that a moment is the same before and after.
    let now = context.now().trunc_subsecs(6);
    let command = SubscriptionCommand::Change { terms, plans: &catalogue, billed_until: row.billed_until };
    let event = decide(Some(&state), &command, now).map_err(problem)?;
    let JournalEvent::SubscriptionChanged(changed) = &event else {
        return Err(Problem::internal("changing a subscription led to another event"));
    };
    let decision = Decision {
        tenant: TenantScope::from(&state.tenant),
        expected_version: Some(row.version),
        effective_at: changed.change.at,
        event: event.clone(),
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    let mut tx = context.platform.databases.app.tenant(&state.tenant).await.map_err(Problem::internal)?;
    append(&mut tx, decision).await?;
    tx.commit().await.map_err(Problem::internal)?;
    context.wake.notify_one();
    let subscription =
        evolve(Some(state), &event).ok_or_else(|| Problem::internal("a changed subscription vanished"))?;
    Ok((StatusCode::OK, BilledSubscription { subscription, billed_until: row.billed_until }))
}

/// The request with the version of its plan: the one asked for, else the newest.
async fn resolved(tx: &mut Tx, asked: &ChangeRequest) -> Result<ChangeTerms, Problem> {
    let Some((key, version)) = asked.plan() else {
        return Ok(asked.clone().terms(0));
    };
    let plan = catalogue::plan(tx, key, version).await.map_err(Problem::internal)?;
    let plan = plan.ok_or_else(|| {
        FieldError::new("/plan", "there is no such plan or version", "GET /v1/plans lists what is sold")
    })?;
    Ok(asked.clone().terms(plan.version))
}
