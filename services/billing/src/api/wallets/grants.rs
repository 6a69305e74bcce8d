//! Credits are granted: sold, or given. A grant may answer the wallet's open order.

use super::{WalletView, append, decision, new_id, problem, stored};
use crate::api::reading;
use crate::context::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::credit::{DEFAULT_PRIORITY, GrantKind, NewGrant, Rollover, Units, evolve, grant as decide};
use talea_domain::id::{GrantId, TopUpOrderId, WalletId};
use talea_domain::money::Money;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::credits::StoredWallet;
use talea_platform::http::{Caller, IdempotentRequest, Json, Path, Problem, idempotent};
use talea_platform::journal::Decision;

/// A grant as it is asked for.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCreditGrant {
    /// In the wallet's unit.
    pub amount: Units,
    pub kind: GrantKind,
    /// What was paid for the whole grant; of a paid one in money its amount when absent.
    #[serde(default)]
    pub cost: Option<Money>,
    /// Lower is spent first; default 100.
    #[serde(default)]
    pub priority: Option<u16>,
    /// Default: now.
    #[serde(default)]
    pub effective_at: Option<DateTime<Utc>>,
    /// It pays what is billed up to and including this instant; never expires when absent.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub rollover: Option<Rollover>,
    /// The open order that it answers.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub answers: Option<TopUpOrderId>,
}

/// The body with the wallet, because one key means one request.
#[derive(Serialize)]
struct Fingerprint<'a> {
    wallet: &'a WalletId,
    asked: &'a NewCreditGrant,
}

/// Puts credits into a wallet, and answers the wallet.
#[utoipa::path(post, path = "/v1/wallets/{id}/grants", tag = "wallets", params(("id" = String, Path)),
    request_body = NewCreditGrant,
    responses((status = 201, body = WalletView), (status = 200, body = WalletView, description = "It was so already"),
        (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn grant(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Path(wallet): Path<WalletId>,
    Json(asked): Json<NewCreditGrant>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    // What a tenant owes is not for its own key to decide.
    caller.require_unbound()?;
    let id = GrantId::parse(&new_id("grn", "grant", &caller, &headers, wallet.as_str()))?;
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/wallets/{id}/grants",
        body: &Fingerprint { wallet: &wallet, asked: &asked },
        now: context.now(),
    };
    idempotent(request, record(&context, &caller, &wallet, id, &asked)).await
}

async fn record(
    context: &Context,
    caller: &Caller,
    wallet: &WalletId,
    id: GrantId,
    asked: &NewCreditGrant,
) -> Result<(StatusCode, WalletView), Problem> {
    let mut tx = reading(context, caller, None).await?;
    let tenant = stored(&mut tx, wallet).await?.ok_or_else(Problem::not_found)?.state.wallet.tenant;
    drop(tx);
    let now = context.now().trunc_subsecs(6);
    let mut tx = context.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let StoredWallet { state, version } = stored(&mut tx, wallet).await?.ok_or_else(Problem::not_found)?;
    // The id follows from the key: a request whose answer was lost finds what it made.
    if state.grant(&id).is_some() {
        return Ok((StatusCode::OK, WalletView::of(state, now)));
    }
    let asked = NewGrant {
        id,
        amount: asked.amount,
        kind: asked.kind,
        cost: asked.cost,
        priority: asked.priority.unwrap_or(DEFAULT_PRIORITY),
        effective_at: asked.effective_at.unwrap_or(now).trunc_subsecs(6),
        expires_at: asked.expires_at.map(|at| at.trunc_subsecs(6)),
        rollover: asked.rollover,
        answers: asked.answers.clone(),
    };
    let event = decide(&state, asked, now).map_err(problem)?;
    let state = evolve(Some(state), &event).map_err(problem)?.ok_or_else(|| Problem::internal("a wallet vanished"))?;
    let tenant = TenantScope::from(&tenant);
    append(&mut tx, Decision { tenant, expected_version: Some(version), ..decision(event, caller, now) }).await?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok((StatusCode::CREATED, WalletView::of(state, now)))
}
