//! Plans: what is sold. A version that exists never changes; another document is another version.

use super::may_read_catalogue;
use crate::context::Context;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::id::{MeterKey, PlanKey};
use talea_domain::journal::JournalEvent;
use talea_domain::meter::MeterDefinition;
use talea_domain::plan::PlanVersion;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::catalogue;
use talea_platform::http::{self, Caller, IdempotentRequest, Json, Page, Path, Problem, Query, idempotent};
use talea_platform::journal::Decision;

/// Publishes a plan, or a new version of it. The same document again changes nothing.
#[utoipa::path(post, path = "/v1/plans", tag = "plans", request_body = PlanVersion,
    responses((status = 201, body = PlanVersion), (status = 200, body = PlanVersion, description = "It was so already"),
        (status = 400, body = Problem), (status = 403, body = Problem)))]
pub async fn publish(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Json(plan): Json<PlanVersion>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/plans",
        body: &plan,
        now: context.now(),
    };
    idempotent(request, record(&context, &caller, &plan)).await
}

async fn record(context: &Context, caller: &Caller, plan: &PlanVersion) -> Result<(StatusCode, PlanVersion), Problem> {
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let current = catalogue::plan(&mut tx, &plan.key, None).await.map_err(Problem::internal)?;
    if let Some(current) = &current
        && *current == (PlanVersion { version: current.version, ..plan.clone() })
    {
        return Ok((StatusCode::OK, current.clone()));
    }
    let mut faults = plan.validate();
    faults.extend(wrong_meters(&mut tx, plan).await?);
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let version = current.map_or(1, |current| current.version + 1);
    let plan = PlanVersion { version, ..plan.clone() };
    let now = context.now();
    let decision = Decision {
        tenant: TenantScope::Global,
        expected_version: Some(i64::from(version) - 1),
        event: JournalEvent::PlanPublished(plan.clone()),
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    http::record(&mut tx, decision).await?;
    tx.commit().await.map_err(Problem::internal)?;
    Ok((StatusCode::CREATED, plan))
}

/// Meters of prices and limits that nobody defined, or that do not measure what a price asks for.
async fn wrong_meters(connection: &mut sqlx::PgConnection, plan: &PlanVersion) -> Result<Vec<FieldError>, Problem> {
    let meters = catalogue::newest_meters(connection).await.map_err(Problem::internal)?;
    let known: BTreeMap<MeterKey, MeterDefinition> =
        meters.into_iter().map(|meter| (meter.key.clone(), meter)).collect();
    let of_prices = plan.prices.iter().enumerate().filter_map(|(index, price)| Some((index, "prices", price.meter()?)));
    let of_limits = plan.limits.iter().enumerate().map(|(index, limit)| (index, "limits", &limit.meter));
    let pointer = |index: usize, list: &str| match list {
        "prices" => format!("/prices/{index}/model/meter"),
        _ => format!("/{list}/{index}/meter"),
    };
    let unknown = of_prices.chain(of_limits).filter(|(_, _, meter)| !known.contains_key(meter));
    let fault = |(index, list, meter): (usize, &str, &MeterKey)| {
        FieldError::new(
            pointer(index, list),
            format!("there is no meter {meter}"),
            "define it by POST /v1/meters first",
        )
    };
    let unmeasured = plan.unmeasured(|price| known.get(price.meter()?));
    Ok(unknown.map(fault).chain(unmeasured).collect())
}

/// All plans, each in its newest version.
#[utoipa::path(get, path = "/v1/plans", tag = "plans", responses((status = 200, body = Page<PlanVersion>)))]
pub async fn list(State(context): State<Arc<Context>>, caller: Caller) -> Result<Json<Page<PlanVersion>>, Problem> {
    may_read_catalogue(&caller)?;
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let plans = catalogue::plans(&mut tx).await.map_err(Problem::internal)?;
    // In the order of versions, so that the newest of each stays.
    let newest: BTreeMap<PlanKey, PlanVersion> = plans.into_iter().map(|plan| (plan.key.clone(), plan)).collect();
    Ok(Json(Page { data: newest.into_values().collect(), next_cursor: None }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PlanParameters {
    /// Default: the newest.
    pub version: Option<u32>,
}

/// One plan.
#[utoipa::path(get, path = "/v1/plans/{plan}", tag = "plans", params(("plan" = String, Path), PlanParameters),
    responses((status = 200, body = PlanVersion), (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(plan): Path<PlanKey>,
    Query(asked): Query<PlanParameters>,
) -> Result<Json<PlanVersion>, Problem> {
    may_read_catalogue(&caller)?;
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let plan = catalogue::plan(&mut tx, &plan, asked.version).await.map_err(Problem::internal)?;
    plan.map(Json).ok_or_else(Problem::not_found)
}
