//! The orders of a wallet for more credits. Whoever sells them reads the open ones here, and answers with a grant.

use super::stored;
use crate::api::reading;
use crate::context::Context;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::Arc;
use talea_domain::credit::TopUpOrder;
use talea_domain::id::WalletId;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Page, PageQuery, Path, Problem, Query};

/// An order, and what became of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OrderRow {
    #[serde(flatten)]
    pub order: TopUpOrder,
    /// The grant that answered it; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
}

/// The orders of a wallet, oldest first.
#[utoipa::path(get, path = "/v1/wallets/{id}/orders", tag = "wallets", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = Page<OrderRow>), (status = 404, body = Problem)))]
pub async fn orders(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<WalletId>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<OrderRow>>, Problem> {
    const ORDERS: &str = "SELECT ordered_at, id, document, answered_by FROM credit_orders \
        WHERE tenant_id = $1 AND wallet_id = $2 AND ($3::timestamptz IS NULL OR (ordered_at, id) > ($3, $4)) \
        ORDER BY ordered_at, id LIMIT $5";
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let wallet = stored(&mut tx, &id).await?.ok_or_else(Problem::not_found)?.state.wallet;
    let limit = page.limit()?;
    let (after_at, after_id) = page.after::<(DateTime<Utc>, String)>()?.unzip();
    let rows: Vec<(DateTime<Utc>, String, String, Option<String>)> = sqlx::query_as(ORDERS)
        .bind(wallet.tenant.as_str())
        .bind(id.as_str())
        .bind(after_at)
        .bind(after_id)
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let page = Page::of(rows, limit, |(at, id, ..)| (*at, id.clone()))?;
    let view = |(_, _, document, answered_by): (_, _, String, _)| {
        let order = serde_json::from_str(&document).map_err(Problem::internal)?;
        Ok(OrderRow { order, answered_by })
    };
    let data = page.data.into_iter().map(view).collect::<Result<_, Problem>>()?;
    Ok(Json(Page { data, next_cursor: page.next_cursor }))
}
