//! Payments of an invoice, recorded from outside; their reversal; and settling with a tenant's open credit. No card data:
//! a payment is known by a reference, and a text that reads like a card's number is refused.

use super::deciding::{Deciding, InvoiceBalance, begin, request};
use super::reading;
use crate::context::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, SubsecRound, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::id::InvoiceId;
use talea_domain::invoice::InvoiceCommand;
use talea_domain::money::{Currency, Money};
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Path, Problem, idempotent};
use talea_platform::receivables;

#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    /// The payer's or processor's own, 1 to 200 characters; the same reference again is the same payment. No card data.
    pub reference: String,
    /// In major units.
    #[serde(with = "talea_domain::money::exact_decimal")]
    #[schema(value_type = String, example = "100.00")]
    pub amount: Decimal,
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Default now.
    #[serde(default)]
    pub received_at: Option<DateTime<Utc>>,
    /// For people, for example `transfer`.
    #[serde(default)]
    pub method: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSettlement {
    /// Unique among the payments of the invoice; the same again is the same settlement.
    pub reference: String,
    /// In major units; default as far as the open amount and the credit go.
    #[serde(default, with = "talea_domain::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub amount: Option<Decimal>,
}

#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReversal {
    /// Of the payment.
    pub reference: String,
    /// For example `chargeback`.
    pub reason: String,
}

/// What became of an invoice, with its payments.
#[utoipa::path(get, path = "/v1/invoices/{id}/payments", tag = "payments", params(("id" = String, Path)),
    responses((status = 200, body = InvoiceBalance), (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceBalance>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let state = receivables::state(&mut tx, &id).await.map_err(Problem::internal)?;
    Ok(Json(state.ok_or_else(Problem::not_found)?.into()))
}

/// Records a payment. What is more than the open amount becomes open credit of the tenant. Idempotent by the reference.
#[utoipa::path(post, path = "/v1/invoices/{id}/payments", tag = "payments", params(("id" = String, Path)),
    request_body = NewPayment,
    responses((status = 201, body = InvoiceBalance), (status = 200, body = InvoiceBalance), (status = 400, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn record(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
    headers: HeaderMap,
    Json(asked): Json<NewPayment>,
) -> Result<Response, Problem> {
    let amount = money(asked.amount, asked.currency)?;
    let command = |deciding: &Deciding| {
        let received_at = asked.received_at.unwrap_or(deciding.now).trunc_subsecs(6);
        let (reference, method) = (asked.reference.clone(), asked.method.clone());
        Ok(InvoiceCommand::RecordPayment { reference, amount, received_at, method })
    };
    decided(&context, &caller, &headers, "POST /v1/invoices/{id}/payments", (&id, &asked), command).await
}

/// Settles an invoice with the tenant's open credit. Idempotent by the reference.
#[utoipa::path(post, path = "/v1/invoices/{id}/settlements", tag = "payments", params(("id" = String, Path)),
    request_body = NewSettlement,
    responses((status = 201, body = InvoiceBalance), (status = 200, body = InvoiceBalance), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub async fn settle(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
    headers: HeaderMap,
    Json(asked): Json<NewSettlement>,
) -> Result<Response, Problem> {
    let command = |deciding: &Deciding| {
        let currency = deciding.state.total.currency;
        let amount = asked.amount.map(|amount| money(amount, currency)).transpose()?;
        let (reference, available) = (asked.reference.clone(), deciding.available);
        Ok(InvoiceCommand::SettleFromCredit { reference, amount, available })
    };
    decided(&context, &caller, &headers, "POST /v1/invoices/{id}/settlements", (&id, &asked), command).await
}

/// Takes a payment back, whole. The invoice is open again as far as the payment had settled it; what had become open credit is taken
/// from there, also where it is spent. Idempotent by the payment's reference.
#[utoipa::path(post, path = "/v1/invoices/{id}/reversals", tag = "payments", params(("id" = String, Path)),
    request_body = NewReversal,
    responses((status = 201, body = InvoiceBalance), (status = 200, body = InvoiceBalance), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub async fn reverse(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<InvoiceId>,
    headers: HeaderMap,
    Json(asked): Json<NewReversal>,
) -> Result<Response, Problem> {
    let (reference, reason) = (asked.reference.clone(), asked.reason.clone());
    let command = |_: &Deciding| Ok(InvoiceCommand::ReversePayment { reference, reason });
    decided(&context, &caller, &headers, "POST /v1/invoices/{id}/reversals", (&id, &asked), command).await
}

/// What is recorded already is answered as it stands.
async fn decided<B: Serialize>(
    context: &Context,
    caller: &Caller,
    headers: &HeaderMap,
    route: &'static str,
    (id, asked): (&InvoiceId, &B),
    command: impl FnOnce(&Deciding) -> Result<InvoiceCommand, Problem>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    let about = (id, asked);
    let decide = async {
        let deciding = begin(context, caller, id, None).await?;
        let command = command(&deciding)?;
        let (event, state) = deciding.record(context, caller, &command, None).await?;
        let status = if event.is_some() { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, InvoiceBalance::from(state)))
    };
    idempotent(request(context, caller, headers, route, &about), decide).await
}

fn money(amount: Decimal, currency: Currency) -> Result<Money, Problem> {
    let money = Money::rounded(amount, currency).map_err(|error| Problem::unprocessable(error.to_string()))?;
    if money.to_decimal() == amount {
        return Ok(money);
    }
    Err(FieldError::new("/amount", format!("has more decimals than {currency}"), "send whole minor units").into())
}
