//! Starting a subscription. Its id is drawn, or follows from the `Idempotency-Key`, so that a request that is sent twice
//! starts one.

use super::{BilledSubscription, append, instant, problem};
use crate::context::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::SubsecRound;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::id::{PlanKey, SubscriptionId, TenantId, derive_bits, prefixed};
use talea_domain::journal::JournalEvent;
use talea_domain::money::Currency;
use talea_domain::period::{Alignment, TimeZone};
use talea_domain::subscription::{
    Phase, Proration, Quantities, StartOptions, StartTerms, Subscription, SubscriptionCommand, TrialTerms, TrialUsage,
    decide,
};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::catalogue;
use talea_platform::http::{Caller, IdempotentRequest, Json, Problem, idempotent};
use talea_platform::journal::Decision;
use talea_platform::random;

/// A subscription as it is asked for.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubscription {
    #[serde(alias = "tenant")]
    pub tenant_id: TenantId,
    pub plan: PlanKey,
    /// Default: the newest.
    #[serde(default, alias = "version")]
    pub plan_version: Option<u32>,
    pub currency: Currency,
    /// IANA name; default the tenant's zone.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "Europe/Berlin")]
    pub zone: Option<TimeZone>,
    /// Default: the plan's.
    #[serde(default)]
    pub calendar: Option<Alignment>,
    /// Where periods begin on another day than the subscription starts: by anniversary the day of the month; of weeks the day of
    /// the week, 1 for Monday to 7 for Sunday.
    #[serde(default)]
    pub anchor_day: Option<u8>,
    /// RFC 3339, or a date in the subscription's zone; may lie in the past. Default: now.
    #[serde(default, alias = "start")]
    pub start_at: Option<String>,
    /// Exclusive; where the end is known already.
    #[serde(default, alias = "end")]
    pub end_at: Option<String>,
    /// How many of each flat price are bought, by the price's key; one where nothing is said.
    #[serde(default, skip_serializing_if = "Quantities::is_empty")]
    pub quantities: Quantities,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<NewTrial>,
    /// Plans that follow, in rising order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<NewPhase>,
}

/// A time at the start in which nothing recurring is charged; the first paid period begins with its end.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrial {
    /// RFC 3339, or a date in the subscription's zone; exclusive.
    pub until: String,
    #[serde(default)]
    pub usage: TrialUsage,
    /// Whether it goes on as a paid subscription by itself (default); else it ends with the trial, unless it is reactivated.
    #[serde(default = "yes")]
    pub converts: bool,
}

fn yes() -> bool {
    true
}

/// A plan that the subscription takes later.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPhase {
    /// RFC 3339, or a date in the subscription's zone.
    pub at: String,
    pub plan: PlanKey,
    /// Default: the newest.
    #[serde(default)]
    pub plan_version: Option<u32>,
    #[serde(default)]
    pub quantities: Quantities,
    #[serde(default)]
    pub proration: Proration,
}

/// Starts a subscription, now or in the past. What is due since then is billed by the next run.
#[utoipa::path(post, path = "/v1/subscriptions", tag = "subscriptions", request_body = NewSubscription,
    responses((status = 201, body = BilledSubscription), (status = 200, body = BilledSubscription, description = "It was so already"),
        (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn start(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Json(asked): Json<NewSubscription>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    let id = new_id(&caller, &headers, &asked.tenant_id)?;
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/subscriptions",
        body: &asked,
        now: context.now(),
    };
    idempotent(request, record(&context, &caller, id, &asked)).await
}

fn new_id(caller: &Caller, headers: &HeaderMap, tenant: &TenantId) -> Result<SubscriptionId, Problem> {
    let bits = match headers.get("idempotency-key").and_then(|value| value.to_str().ok()) {
        Some(key) => derive_bits("subscription", &[&caller.actor(), tenant.as_str(), key]),
        None => random::bits128(),
    };
    Ok(SubscriptionId::parse(&prefixed("sub", bits))?)
}

async fn record(
    context: &Context,
    caller: &Caller,
    id: SubscriptionId,
    asked: &NewSubscription,
) -> Result<(StatusCode, BilledSubscription), Problem> {
    let tenant = caller.tenant(&asked.tenant_id)?;
    let now = context.now().trunc_subsecs(6);
    let mut tx = context.platform.databases.app.tenant(&tenant).await.map_err(Problem::internal)?;
    let zone = zone(&mut tx, &tenant, asked).await?;
    let plan = catalogue::plan(&mut tx, &asked.plan, asked.plan_version).await.map_err(Problem::internal)?;
    let plan = plan.ok_or_else(|| {
        FieldError::new("/plan", "there is no such plan or version", "GET /v1/plans lists what is sold")
    })?;
    let at =
        |field: &str, text: &Option<String>| text.as_deref().map(|text| instant::parse(field, text, zone)).transpose();
    let terms = StartTerms {
        id: id.clone(),
        tenant: asked.tenant_id.clone(),
        currency: asked.currency,
        zone,
        calendar: asked.calendar,
        anchor_day: asked.anchor_day,
        start_at: at("/start_at", &asked.start_at)?.unwrap_or(now),
        end_at: at("/end_at", &asked.end_at)?,
        options: options(&mut tx, asked, zone).await?,
    };
    let event = decide(None, &SubscriptionCommand::Start { terms, plan: &plan }, now).map_err(problem)?;
    let JournalEvent::SubscriptionStarted(subscription) = &event else {
        return Err(Problem::internal("starting a subscription led to another event"));
    };
    let subscription = subscription.clone();
    if let Some(there) = stored(&mut tx, &id).await? {
        return same_again(there, subscription, asked);
    }
    let decision = Decision {
        tenant: TenantScope::from(&asked.tenant_id),
        expected_version: Some(0),
        event,
        effective_at: subscription.started_at,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    append(&mut tx, decision).await?;
    tx.commit().await.map_err(Problem::internal)?;
    context.wake.notify_one();
    Ok((StatusCode::CREATED, BilledSubscription { subscription, billed_until: None }))
}

async fn options(
    tx: &mut sqlx::PgConnection,
    asked: &NewSubscription,
    zone: TimeZone,
) -> Result<StartOptions, Problem> {
    let trial = asked.trial.as_ref().map(|trial| -> Result<TrialTerms, FieldError> {
        let until = instant::parse("/trial/until", &trial.until, zone)?;
        Ok(TrialTerms { until, usage: trial.usage, converts: trial.converts })
    });
    let mut phases = Vec::with_capacity(asked.phases.len());
    for (index, phase) in asked.phases.iter().enumerate() {
        let plan = catalogue::plan(tx, &phase.plan, phase.plan_version).await.map_err(Problem::internal)?;
        let plan = plan.ok_or_else(|| {
            let field = format!("/phases/{index}/plan");
            FieldError::new(field, "there is no such plan or version", "GET /v1/plans lists what is sold")
        })?;
        let at = instant::parse(&format!("/phases/{index}/at"), &phase.at, zone)?;
        phases.push(Phase { at, plan, quantities: phase.quantities.clone(), proration: phase.proration });
    }
    Ok(StartOptions { quantities: asked.quantities.clone(), trial: trial.transpose()?, phases })
}

async fn zone(tx: &mut sqlx::PgConnection, tenant: &TenantId, asked: &NewSubscription) -> Result<TimeZone, Problem> {
    let stored: Option<String> = sqlx::query_scalar("SELECT zone FROM tenants WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_optional(tx)
        .await
        .map_err(Problem::internal)?;
    let stored = stored.ok_or_else(Problem::not_found)?;
    match asked.zone {
        Some(zone) => Ok(zone),
        None => stored.parse().map_err(|_| Problem::internal(format!("tenant {tenant} has the unknown zone {stored}"))),
    }
}

async fn stored(tx: &mut sqlx::PgConnection, id: &SubscriptionId) -> Result<Option<Subscription>, Problem> {
    let document: Option<String> = sqlx::query_scalar("SELECT document FROM subscriptions WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(tx)
        .await
        .map_err(Problem::internal)?;
    document.map(|document| serde_json::from_str(&document)).transpose().map_err(Problem::internal)
}

/// A start without an instant means now, whenever that was.
fn same_again(
    there: Subscription,
    wanted: Subscription,
    asked: &NewSubscription,
) -> Result<(StatusCode, BilledSubscription), Problem> {
    let mut wanted = wanted;
    if asked.start_at.is_none() {
        (wanted.started_at, wanted.anchor_day) = (there.started_at, there.anchor_day);
    }
    // Phases are recorded with the instant of the request.
    for (wanted, there) in wanted.changes.iter_mut().zip(&there.changes) {
        wanted.recorded_at = there.recorded_at;
    }
    if wanted == there {
        return Ok((StatusCode::OK, BilledSubscription { subscription: there, billed_until: None }));
    }
    Err(Problem::conflict(format!("{} exists with other terms; cancel it and start another", there.id)))
}
