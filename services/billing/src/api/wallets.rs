//! Wallets of prepaid credits: created, filled, read, with the ledger of every movement and the orders for more.

mod grants;
mod ledger;
mod orders;
mod top_up;

pub use grants::{__path_grant, grant};
pub use ledger::{__path_ledger, ledger};
pub use orders::{__path_orders, orders};
pub use top_up::{__path_set_top_up, set_top_up};

use super::reading;
use crate::context::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::credit::{
    AutoTopUp, CreditError, GrantState, TopUpOrder, Units, Wallet, WalletState, WalletUnit, create, evolve,
};
use talea_domain::id::{PriceKey, TenantId, WalletId, derive_bits, prefixed};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::credits::{self, StoredWallet};
use talea_platform::http::{Caller, IdempotentRequest, Json, Page, PageQuery, Path, Problem, Query, idempotent};
use talea_platform::journal::{self, AppendError, Decision};
use talea_platform::postgres::Tx;
use talea_platform::random;

/// A wallet as it stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WalletView {
    #[serde(flatten)]
    pub wallet: Wallet,
    /// What can be spent now, in the wallet's unit.
    pub balance: Units,
    /// Waits for a grant that answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_order: Option<TopUpOrder>,
    /// In the order in which they were granted, with what is left of each.
    pub grants: Vec<GrantState>,
}

impl WalletView {
    fn of(state: WalletState, now: DateTime<Utc>) -> Self {
        let balance = state.balance(now);
        Self { balance, wallet: state.wallet, open_order: state.open_order, grants: state.grants }
    }
}

/// A wallet as it is asked for.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWallet {
    #[serde(alias = "tenant")]
    pub tenant_id: TenantId,
    /// As the invoice prints it.
    pub name: String,
    pub unit: WalletUnit,
    /// The prices that it pays for; all when empty.
    #[serde(default)]
    pub prices: Vec<PriceKey>,
    #[serde(default)]
    pub auto_top_up: Option<AutoTopUp>,
}

/// Creates a wallet, which is empty.
#[utoipa::path(post, path = "/v1/wallets", tag = "wallets", request_body = NewWallet,
    responses((status = 201, body = WalletView), (status = 200, body = WalletView, description = "It was so already"),
        (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn open(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Json(asked): Json<NewWallet>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    // What a tenant owes is not for its own key to decide.
    caller.require_unbound()?;
    let id = WalletId::parse(&new_id("wal", "wallet", &caller, &headers, asked.tenant_id.as_str()))?;
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/wallets",
        body: &asked,
        now: context.now(),
    };
    idempotent(request, record(&context, &caller, id, &asked)).await
}

/// Drawn, or derived from the `Idempotency-Key`, so that a request that is sent twice makes one thing.
pub(super) fn new_id(prefix: &str, domain: &str, caller: &Caller, headers: &HeaderMap, of: &str) -> String {
    let bits = match headers.get("idempotency-key").and_then(|value| value.to_str().ok()) {
        Some(key) => derive_bits(domain, &[&caller.actor(), of, key]),
        None => random::bits128(),
    };
    prefixed(prefix, bits)
}

async fn record(
    context: &Context,
    caller: &Caller,
    id: WalletId,
    asked: &NewWallet,
) -> Result<(StatusCode, WalletView), Problem> {
    let tenant = caller.tenant(&asked.tenant_id)?;
    let now = context.now().trunc_subsecs(6);
    let mut tx = context.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let zone: Option<String> = sqlx::query_scalar("SELECT zone FROM tenants WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let zone = zone.ok_or_else(Problem::not_found)?;
    let wallet = Wallet {
        id: id.clone(),
        tenant: asked.tenant_id.clone(),
        name: asked.name.clone(),
        unit: asked.unit.clone(),
        prices: asked.prices.clone(),
        zone: zone.parse().map_err(|_| Problem::internal(format!("tenant {} has the unknown zone {zone}", *tenant)))?,
        auto_top_up: asked.auto_top_up,
        created_at: now,
    };
    if let Some(StoredWallet { state, .. }) = stored(&mut tx, &id).await? {
        let same = Wallet { created_at: state.wallet.created_at, ..wallet } == state.wallet;
        return match same {
            true => Ok((StatusCode::OK, WalletView::of(state, now))),
            false => Err(Problem::conflict(format!("{id} exists with other terms; create another"))),
        };
    }
    let event = create(None, wallet).map_err(problem)?;
    let state = evolve(None, &event).map_err(problem)?.ok_or_else(|| Problem::internal("a new wallet vanished"))?;
    let tenant = TenantScope::from(&asked.tenant_id);
    append(&mut tx, Decision { tenant, expected_version: Some(0), ..decision(event, caller, now) }).await?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok((StatusCode::CREATED, WalletView::of(state, now)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WalletParameters {
    pub tenant_id: Option<TenantId>,
    /// Rows of this page, 1 to 1000 (default 100).
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Wallets by tenant and id.
#[utoipa::path(get, path = "/v1/wallets", tag = "wallets", params(WalletParameters),
    responses((status = 200, body = Page<WalletView>), (status = 404, body = Problem)))]
pub async fn list(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Query(asked): Query<WalletParameters>,
) -> Result<Json<Page<WalletView>>, Problem> {
    const LIST: &str = "SELECT tenant_id, id FROM wallets WHERE ($1::text IS NULL OR tenant_id = $1) \
        AND (tenant_id, id) > ($2, $3) ORDER BY tenant_id, id LIMIT $4";
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, asked.tenant_id.as_ref()).await?;
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor };
    let limit = page.limit()?;
    let (tenant, id) = page.after::<(String, String)>()?.unwrap_or_default();
    let keys: Vec<(String, String)> = sqlx::query_as(LIST)
        .bind(asked.tenant_id.as_ref().map(TenantId::as_str))
        .bind(tenant)
        .bind(id)
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let page = Page::of(keys, limit, Clone::clone)?;
    let mut states = credits::states(&mut tx, &page.data).await.map_err(Problem::internal)?;
    let now = context.now();
    let views = page.data.iter().filter_map(|key| states.remove(key)).map(|state| WalletView::of(state, now));
    Ok(Json(Page { data: views.collect(), next_cursor: page.next_cursor }))
}

/// One wallet, with its grants.
#[utoipa::path(get, path = "/v1/wallets/{id}", tag = "wallets", params(("id" = String, Path)),
    responses((status = 200, body = WalletView), (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<WalletId>,
) -> Result<Json<WalletView>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let StoredWallet { state, .. } = stored(&mut tx, &id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(WalletView::of(state, context.now())))
}

/// One wallet of the tenants that the connection may see.
async fn stored(tx: &mut Tx, id: &WalletId) -> Result<Option<StoredWallet>, Problem> {
    credits::one(tx, id).await.map_err(Problem::internal)
}

/// For the caller to complete.
fn decision(event: talea_domain::journal::JournalEvent, caller: &Caller, now: DateTime<Utc>) -> Decision {
    Decision {
        tenant: TenantScope::Global,
        expected_version: None,
        event,
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    }
}

async fn append(tx: &mut Tx, decision: Decision) -> Result<(), Problem> {
    match journal::append(tx, vec![decision]).await {
        Ok(_) => Ok(()),
        Err(conflict @ AppendError::Conflict { .. }) => Err(Problem::conflict(conflict.to_string())),
        Err(error) => Err(Problem::internal(error)),
    }
}

fn problem(error: CreditError) -> Problem {
    match error {
        CreditError::Field(field) => field.into(),
        CreditError::WalletExists { .. } | CreditError::GrantExists { .. } | CreditError::NoSuchOrder { .. } => {
            Problem::conflict(error.to_string())
        }
        other => Problem::unprocessable(other.to_string()),
    }
}
