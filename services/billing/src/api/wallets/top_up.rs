//! When a wallet orders more credits by itself.

use super::{WalletView, decision, problem, stored};
use crate::api::reading;
use crate::context::Context;
use axum::extract::State;
use chrono::SubsecRound;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::credit::{AutoTopUp, change_top_up};
use talea_domain::id::WalletId;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::credits::StoredWallet;
use talea_platform::http::{Caller, Json, Path, Problem};
use talea_platform::journal::{self, AppendError, Decision};

#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpRule {
    /// None: nothing is ordered any more.
    pub auto_top_up: Option<AutoTopUp>,
}

/// Sets when more is ordered. A balance below the new threshold orders at once; asking again changes nothing.
#[utoipa::path(put, path = "/v1/wallets/{id}/auto-top-up", tag = "wallets", params(("id" = String, Path)),
    request_body = TopUpRule,
    responses((status = 200, body = WalletView), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub async fn set_top_up(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<WalletId>,
    Json(asked): Json<TopUpRule>,
) -> Result<Json<WalletView>, Problem> {
    caller.require(Scope::Finance)?;
    // What a tenant owes is not for its own key to decide.
    caller.require_unbound()?;
    let mut tx = reading(&context, &caller, None).await?;
    let tenant = stored(&mut tx, &id).await?.ok_or_else(Problem::not_found)?.state.wallet.tenant;
    drop(tx);
    let now = context.now().trunc_subsecs(6);
    let mut tx = context.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let StoredWallet { mut state, version } = stored(&mut tx, &id).await?.ok_or_else(Problem::not_found)?;
    let events = change_top_up(&mut state, asked.auto_top_up, now).map_err(problem)?;
    let decided = (version..).zip(events).map(|(version, event)| Decision {
        tenant: TenantScope::from(&tenant),
        expected_version: Some(version),
        ..decision(event, &caller, now)
    });
    match journal::append(&mut tx, decided.collect()).await {
        Ok(_) => tx.commit().await.map_err(Problem::internal)?,
        Err(conflict @ AppendError::Conflict { .. }) => return Err(Problem::conflict(conflict.to_string())),
        Err(error) => return Err(Problem::internal(error)),
    }
    Ok(Json(WalletView::of(state, now)))
}
