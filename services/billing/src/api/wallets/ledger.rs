//! The ledger of a wallet, page by page: as JSON, or as CSV for a ledger elsewhere.

use super::stored;
use crate::api::reading;
use crate::context::Context;
use crate::print::csv::words;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use csv::Writer;
use serde::{Deserialize, Serialize};
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerFormat {
    #[default]
    Json,
    Csv,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LedgerParameters {
    /// `json` (default) or `csv`; of CSV the header `Link` names the next page.
    pub format: Option<LedgerFormat>,
    /// Rows of this page, 1 to 1000 (default 100).
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// The movements of a wallet, oldest first.
#[utoipa::path(get, path = "/v1/wallets/{id}/ledger", tag = "wallets", params(("id" = String, Path), LedgerParameters),
    responses((status = 200, content((Page<LedgerRow> = "application/json"), (String = "text/csv"))), (status = 404, body = Problem)))]
pub async fn ledger(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<WalletId>,
    Query(asked): Query<LedgerParameters>,
) -> Result<Response, Problem> {
    const LEDGER: &str = "SELECT number, entry, movement, at, invoice_id, account, grant_id, unit, amount::text AS amount \
        FROM ledger_entries WHERE tenant_id = $1 AND wallet_id = $2 AND (number, entry) > ($3, $4) \
        ORDER BY number, entry LIMIT $5";
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let wallet = stored(&mut tx, &id).await?.ok_or_else(Problem::not_found)?.state.wallet;
    let page = PageQuery { limit: asked.limit, cursor: asked.cursor };
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
    let page = Page::of(rows, limit, |row| (row.number, row.entry))?;
    match asked.format.unwrap_or_default() {
        LedgerFormat::Json => Ok(Json(page).into_response()),
        LedgerFormat::Csv => csv_page(&id, limit, &page).map_err(Problem::internal),
    }
}

/// RFC 4180, and where it goes on by RFC 8288.
fn csv_page(id: &WalletId, limit: u32, page: &Page<LedgerRow>) -> Result<Response, csv::Error> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record([
        "wallet_id",
        "number",
        "entry",
        "movement",
        "at",
        "invoice_id",
        "account",
        "grant_id",
        "unit",
        "amount",
    ])?;
    for row in &page.data {
        writer.write_record([
            id.as_str(),
            &row.number.to_string(),
            &row.entry.to_string(),
            &row.movement,
            &row.at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            row.invoice_id.as_deref().unwrap_or_default(),
            &row.account,
            &row.grant_id,
            &words(&row.unit),
            &row.amount,
        ])?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")];
    let next = page.next_cursor.as_ref().map(|cursor| {
        let next = format!("</v1/wallets/{id}/ledger?format=csv&limit={limit}&cursor={cursor}>; rel=\"next\"");
        [(header::LINK, next)]
    });
    Ok(match next {
        Some(link) => (kind, link, bytes).into_response(),
        None => (kind, bytes).into_response(),
    })
}
