//! The ledger of a wallet, page by page.

use super::stored;
use crate::api::reading;
use crate::context::Context;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::Arc;
use talea_domain::id::WalletId;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Page, PageQuery, Path, Problem, Query};

/// One entry of a movement; all entries of a movement sum to zero in each unit.
#[derive(Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct LedgerRow {
    /// Of the movement: counts from 1 in each wallet, without gaps.
    pub number: i64,
    /// From 1 in each movement.
    pub entry: i32,
    /// `granted`, `consumed`, `expired`, `rolled_over` or `returned`.
    pub movement: String,
    pub at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_id: Option<String>,
    /// `wallet`, `issued`, `deferred_revenue`, `receivable`, `promotional`, `breakage` or `conversion`.
    pub account: String,
    pub grant_id: String,
    /// A currency's code, or the name of the wallet's own unit.
    pub unit: String,
    /// A debit when above zero, a credit when below.
    #[schema(example = "-12.5")]
    pub amount: String,
}

/// The movements of a wallet, oldest first.
#[utoipa::path(get, path = "/v1/wallets/{id}/ledger", tag = "wallets", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = Page<LedgerRow>), (status = 404, body = Problem)))]
pub async fn ledger(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<WalletId>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<LedgerRow>>, Problem> {
    const LEDGER: &str = "SELECT number, entry, movement, at, invoice_id, account, grant_id, unit, amount::text AS amount \
        FROM ledger_entries WHERE tenant_id = $1 AND wallet_id = $2 AND (number, entry) > ($3, $4) \
        ORDER BY number, entry LIMIT $5";
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let wallet = stored(&mut tx, &id).await?.ok_or_else(Problem::not_found)?.state.wallet;
    let limit = page.limit()?;
    let (number, entry) = page.after::<(i64, i32)>()?.unwrap_or_default();
    let rows: Vec<LedgerRow> = sqlx::query_as(LEDGER)
        .bind(wallet.tenant.as_str())
        .bind(id.as_str())
        .bind(number)
        .bind(entry)
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    Page::of(rows, limit, |row| (row.number, row.entry)).map(Json)
}
