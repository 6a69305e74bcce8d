//! Simulations: of a document, as `talea simulate` does, and of the past with another plan.

use super::reading;
use crate::context::Context;
use crate::what_if::{Alternative, Chosen, MAX_SUBSCRIPTIONS, WhatIf, compare};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Datelike, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::id::{PlanKey, SubscriptionId, TenantId};
use talea_domain::simulation::simulate_text;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Cursor, Json, Problem, read_json};

/// Subscriptions of a page when the caller does not say.
const DEFAULT_SUBSCRIPTIONS: u32 = 100;

/// What a tenant, or every tenant of a plan, would have been billed by another plan for its closed periods.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIfRequest {
    /// This tenant's subscriptions.
    #[serde(default)]
    pub tenant_id: Option<TenantId>,
    /// Subscriptions of this plan, in whatever version; with `tenant_id` those of the tenant.
    #[serde(default)]
    pub plan: Option<PlanKey>,
    pub alternative: Alternative,
    /// Periods that begin then or later,
    pub from: DateTime<Utc>,
    /// and end then or earlier.
    pub to: DateTime<Utc>,
    /// Subscriptions of this page, 1 to 500 (default 100).
    #[serde(default)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// Which of the two a body is.
#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    alternative: Option<IgnoredAny>,
}

/// Simulates. A body with `alternative` asks what closed periods would have cost by another plan, page by page; any other is
/// a document of `schemas/simulation.v1.schema.json` and answered by a result of `schemas/simulation-result.v1.schema.json`.
/// Nothing is recorded.
#[utoipa::path(post, path = "/v1/simulations", tag = "simulations", request_body(content = WhatIfRequest,
    description = "Or a document of schemas/simulation.v1.schema.json, up to 64 MiB"),
    responses((status = 200, body = WhatIf, description = "Or a result of schemas/simulation-result.v1.schema.json"),
        (status = 404, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem, description = "Every fault of the document, by JSON pointer")))]
pub async fn simulate(
    State(context): State<Arc<Context>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    let text = context.simulations.read(request.into_body()).await?;
    let worked = context.simulations.work(text, work).await?;
    match worked? {
        Work::Simulated(result) => {
            Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], result).into_response())
        }
        Work::WhatIf(asked) => what_if(&context, &caller, *asked).await.map(|answer| Json(answer).into_response()),
    }
}

enum Work {
    Simulated(String),
    WhatIf(Box<WhatIfRequest>),
}

fn work(text: &str) -> Result<Work, Problem> {
    let is_what_if = serde_json::from_str(text).is_ok_and(|kind: Kind| kind.alternative.is_some());
    if is_what_if {
        return Ok(Work::WhatIf(Box::new(read_json(text)?)));
    }
    let result = simulate_text(text).map_err(|refusal| Problem::refused(refusal.errors))?;
    serde_json::to_string(&result).map(Work::Simulated).map_err(Problem::internal)
}

async fn what_if(context: &Context, caller: &Caller, asked: WhatIfRequest) -> Result<WhatIf, Problem> {
    check(&asked)?;
    let after = asked.cursor.as_deref().map(Cursor::decode::<(TenantId, SubscriptionId)>).transpose()?;
    let tx = reading(context, caller, asked.tenant_id.as_ref()).await?;
    let chosen = Chosen {
        tenant: asked.tenant_id,
        plan: asked.plan,
        from: asked.from,
        to: asked.to,
        limit: asked.limit.unwrap_or(DEFAULT_SUBSCRIPTIONS),
        after,
    };
    compare(context, tx, &chosen, &asked.alternative).await
}

fn check(asked: &WhatIfRequest) -> Result<(), Problem> {
    let mut faults = Vec::new();
    if asked.tenant_id.is_none() && asked.plan.is_none() {
        faults.push(FieldError::new("/tenant_id", "is missing", "name a tenant, or a plan for every tenant of it"));
    }
    if asked.to <= asked.from {
        faults.push(FieldError::new("/to", "is not after from", "write a later instant"));
    }
    for (field, instant) in [("/from", asked.from), ("/to", asked.to)] {
        if !(1970..=9999).contains(&instant.year()) {
            faults.push(FieldError::new(field, "is outside the years of invoices", "use a year from 1970 to 9999"));
        }
    }
    if !asked.limit.is_none_or(|limit| (1..=MAX_SUBSCRIPTIONS).contains(&limit)) {
        faults.push(FieldError::new("/limit", "is out of range", format!("use 1 to {MAX_SUBSCRIPTIONS}")));
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::refused(faults)) }
}
