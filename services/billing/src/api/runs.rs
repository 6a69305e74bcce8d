//! Billing runs on demand, and how billing stands.

use crate::context::Context;
use crate::marks::MarksView;
use crate::run::{self, Summary, Trigger};
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Problem};

#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// Bills what is due then; default now, never later.
    #[serde(default)]
    pub as_of: Option<DateTime<Utc>>,
}

/// Runs billing as of an instant and answers when it is done. What was done before is not done again, so that no
/// `Idempotency-Key` is needed.
#[utoipa::path(post, path = "/v1/billing/runs", tag = "billing", request_body = NewRun,
    responses((status = 200, body = Summary), (status = 400, body = Problem), (status = 403, body = Problem)))]
pub async fn start(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Json(asked): Json<NewRun>,
) -> Result<Json<Summary>, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let now = context.now();
    let as_of = asked.as_of.unwrap_or(now);
    if as_of > now {
        return Err(FieldError::new(
            "/as_of",
            format!("is later than now, {now}"),
            "ask for now or an earlier instant",
        )
        .into());
    }
    if as_of < DateTime::UNIX_EPOCH {
        return Err(FieldError::new("/as_of", "lies before 1970", "ask for an instant since then").into());
    }
    // In a task of its own: a caller that hangs up must not end it half way.
    let running = tokio::spawn(async move { run::run(&context, as_of, Trigger::Asked).await });
    let summary = running.await.map_err(Problem::internal)??;
    Ok(Json(summary))
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BillingStatus {
    pub now: DateTime<Utc>,
    /// The last run of this process: what waits, and what was refused.
    pub last_run: Option<Summary>,
    /// How far metering is.
    pub marks: MarksView,
    /// Drafts that are not issued.
    pub drafts: i64,
    /// The earliest bill moment among them.
    pub oldest_draft: Option<DateTime<Utc>>,
}

/// How billing stands.
#[utoipa::path(get, path = "/v1/billing/status", tag = "billing",
    responses((status = 200, body = BillingStatus), (status = 403, body = Problem)))]
pub async fn status(State(context): State<Arc<Context>>, caller: Caller) -> Result<Json<BillingStatus>, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let mut tx = context.platform.databases.operator.begin(caller.all_tenants()?).await.map_err(Problem::internal)?;
    let (drafts, oldest_draft) = sqlx::query_as("SELECT count(*), min(billed_at) FROM invoices WHERE status = 'draft'")
        .fetch_one(&mut *tx)
        .await
        .map_err(Problem::internal)?;
    let (now, last_run, marks) = (context.now(), context.last_run(), context.marks.view());
    Ok(Json(BillingStatus { now, last_run, marks, drafts, oldest_draft }))
}
