//! Charges are added: they wait for the next invoice, or make one of their own in the same transaction.

use crate::api::deciding::lock;
use crate::api::wallets::new_id;
use crate::catalogue::Catalogue;
use crate::context::Context;
use crate::run::{Decided, candidate, find_one, invoice_now, invoiced, next_number};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::charge::{Charge, ChargeState, ChargedTo, MAX_AT_ONCE, NewCharge};
use talea_domain::error::FieldError;
use talea_domain::id::{ChargeId, SubscriptionId, TenantId};
use talea_domain::invoice::Invoice;
use talea_domain::journal::JournalEvent;
use talea_domain::money::Currency;
use talea_domain::period::TimeZone;
use talea_domain::subscription::InvoiceTiming;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::charges::{self, StoredCharge};
use talea_platform::http::{Caller, IdempotentRequest, Json, Path, Problem, idempotent};
use talea_platform::journal::{self, AppendError, Decision};
use talea_platform::postgres::Tx;

/// One-off charges as they are asked for.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCharges {
    pub currency: Currency,
    /// Whose next invoice takes them; the tenant's next one in the currency when absent.
    #[serde(default)]
    pub subscription_id: Option<SubscriptionId>,
    /// At most 100.
    pub charges: Vec<NewCharge>,
    /// `now`: by an invoice of their own, which belongs to no subscription.
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// What was added, and the invoice where there is one already.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AddedCharges {
    pub charges: Vec<ChargeState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice: Option<Invoice>,
}

/// Adds charges. Negative amounts are refused: what was charged is given back by a credit note. With an `Idempotency-Key`, a
/// repeated request answers what the first one added.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/charges", tag = "charges", params(("tenant_id" = String, Path)),
    request_body = NewCharges,
    responses((status = 201, body = AddedCharges), (status = 200, body = AddedCharges, description = "It was so already"),
        (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub async fn add(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Path(tenant_id): Path<TenantId>,
    Json(asked): Json<NewCharges>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    // What a tenant owes is not for its own key to decide.
    caller.require_unbound()?;
    let ids = (1..=asked.charges.len().min(MAX_AT_ONCE)).map(|place| {
        let of = format!("{tenant_id}/{place}");
        ChargeId::parse(&new_id("chg", "charge", &caller, &headers, &of))
    });
    let ids = ids.collect::<Result<Vec<_>, FieldError>>()?;
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/tenants/{tenant_id}/charges",
        body: &(&tenant_id, &asked),
        now: context.now(),
    };
    idempotent(request, record(&context, &caller, &tenant_id, ids, &asked)).await
}

async fn record(
    context: &Context,
    caller: &Caller,
    tenant: &TenantId,
    ids: Vec<ChargeId>,
    asked: &NewCharges,
) -> Result<(StatusCode, AddedCharges), Problem> {
    let now = context.now().trunc_subsecs(6);
    let mut tx = context.platform.databases.app.tenant(tenant).await.map_err(Problem::internal)?;
    let zone = zone_of(&mut tx, tenant).await?;
    let is_now = asked.invoice == InvoiceTiming::Now;
    let number = if is_now { next_number(context, &mut tx).await? } else { 0 };
    lock(&mut tx).await?;
    let there = charges::some(&mut tx, tenant, &ids).await.map_err(Problem::internal)?;
    if !there.is_empty() {
        // The ids follow from the key: a request whose answer was lost finds what it made.
        return Ok((StatusCode::OK, added(&mut tx, there).await?));
    }
    if let Some(id) = &asked.subscription_id {
        check_subscription(&mut tx, id, asked).await?;
    }
    let new = charges_of(tenant, zone, ids, asked, now)?;
    let fresh = new.iter().cloned().map(|charge| StoredCharge { state: ChargeState::new(charge), version: 1 });
    let fresh: Vec<StoredCharge> = fresh.collect();
    let mut decided: Vec<Decided> = new.iter().cloned().map(opening).collect();
    let mut invoice = None;
    if is_now {
        let issued = invoice_now(context, &mut tx, tenant, zone, &new, number, now).await?;
        let (issued, of_wallets) = issued.map_err(Problem::unprocessable)?;
        decided.push(Decided { event: JournalEvent::InvoiceFinalized(issued.clone()), expected_version: 0 });
        decided.extend(of_wallets);
        decided.extend(invoiced(&fresh, &issued, now)?);
        invoice = Some(issued);
    }
    let states = fresh.into_iter().map(|it| decided.iter().fold(it.state, |state, it| after(state, &it.event)));
    let states = states.collect();
    append_all(&mut tx, caller, tenant, decided, now).await?;
    tx.commit().await.map_err(Problem::internal)?;
    context.recorded.notify_one();
    Ok((StatusCode::CREATED, AddedCharges { charges: states, invoice }))
}

fn opening(charge: Charge) -> Decided {
    Decided { event: JournalEvent::ChargeAdded(charge), expected_version: 0 }
}

fn after(state: ChargeState, event: &JournalEvent) -> ChargeState {
    match event {
        JournalEvent::ChargeInvoiced(it) if it.charge_id == state.charge.id => state.evolve(event),
        _ => state,
    }
}

/// What an earlier request added.
async fn added(tx: &mut Tx, there: Vec<StoredCharge>) -> Result<AddedCharges, Problem> {
    let charges: Vec<ChargeState> = there.into_iter().map(|it| it.state).collect();
    let id = charges.first().and_then(|it| it.invoice.as_ref());
    let document: Option<String> = match id {
        Some(id) => sqlx::query_scalar("SELECT document FROM invoices WHERE id = $1 AND subscription_id IS NULL")
            .bind(id.as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(Problem::internal)?,
        None => None,
    };
    let invoice = document.map(|text| serde_json::from_str(&text)).transpose().map_err(Problem::internal)?;
    Ok(AddedCharges { charges, invoice })
}

async fn zone_of(tx: &mut Tx, tenant: &TenantId) -> Result<TimeZone, Problem> {
    let zone: Option<String> = sqlx::query_scalar("SELECT zone FROM tenants WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(Problem::internal)?;
    let zone = zone.ok_or_else(Problem::not_found)?;
    zone.parse().map_err(|_| Problem::internal(format!("tenant {tenant} has the unknown zone {zone}")))
}

/// Its next invoice must come, and be in the currency.
async fn check_subscription(tx: &mut Tx, id: &SubscriptionId, asked: &NewCharges) -> Result<(), Problem> {
    let row = find_one(tx, id).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
    let catalogue = Catalogue::load(tx).await.map_err(Problem::internal)?;
    let next = candidate(&catalogue, &row).map_err(Problem::unprocessable)?;
    let next = next.ok_or_else(|| {
        Problem::conflict(
            "the subscription has ended and is billed to its end; leave it out, or invoice the charge now",
        )
    })?;
    if next.subscription.currency != asked.currency {
        let reason = format!("is not {}, which the subscription is billed in", next.subscription.currency);
        return Err(FieldError::new("/currency", reason, "send the subscription's currency, or leave it out").into());
    }
    if asked.invoice == InvoiceTiming::Now {
        let way_out = "leave the subscription out; an invoice at once belongs to none";
        return Err(FieldError::new("/subscription_id", "stands beside invoice now", way_out).into());
    }
    Ok(())
}

fn charges_of(
    tenant: &TenantId,
    zone: TimeZone,
    ids: Vec<ChargeId>,
    asked: &NewCharges,
    now: DateTime<Utc>,
) -> Result<Vec<Charge>, Problem> {
    if asked.charges.is_empty() || asked.charges.len() > MAX_AT_ONCE {
        let reason = format!("has {} entries", asked.charges.len());
        return Err(FieldError::new("/charges", reason, format!("send 1 to {MAX_AT_ONCE}")).into());
    }
    let (subscription, currency) = (asked.subscription_id.clone(), asked.currency);
    let to = ChargedTo { tenant: tenant.clone(), subscription, currency, zone, at: now };
    let charge = |(index, (new, id)): (usize, (&NewCharge, ChargeId))| {
        let below = |fault: FieldError| FieldError { field: format!("/charges/{index}{}", fault.field), ..fault };
        new.charge(id, &to).map_err(below)
    };
    let charges = asked.charges.iter().zip(ids).enumerate().map(charge);
    Ok(charges.collect::<Result<Vec<_>, FieldError>>()?)
}

async fn append_all(
    tx: &mut Tx,
    caller: &Caller,
    tenant: &TenantId,
    decided: Vec<Decided>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let decision = |Decided { event, expected_version }| Decision {
        tenant: TenantScope::from(tenant),
        expected_version: Some(expected_version),
        event,
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    match journal::append(tx, decided.into_iter().map(decision).collect()).await {
        Ok(_) => Ok(()),
        Err(error @ (AppendError::Conflict { .. } | AppendError::AlreadyRecorded(_))) => {
            Err(Problem::conflict(error.to_string()))
        }
        Err(error) => Err(Problem::internal(error)),
    }
}
