//! Migrations: subscriptions of a plan, moved to another version of it together, with a preview.

use super::{reading, record_global};
use crate::catalogue::Catalogue;
use crate::context::Context;
use crate::plan_migration::{MigrationPreview, preview};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talea_domain::error::FieldError;
use talea_domain::id::{PlanKey, PlanMigrationId, SubscriptionId, TenantId, derive_bits, prefixed};
use talea_domain::journal::JournalEvent;
use talea_domain::subscription::{
    BlockedSubscription, InvoiceTiming, MigrateWhen, MigrationPlace, MigrationTerms, PlanMigration,
    PlanMigrationStarted, Proration,
};
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Cursor, IdempotentRequest, Json, Path, Problem, idempotent};
use talea_platform::postgres::Tx;
use talea_platform::random;

/// Subscriptions of a page of the preview when the caller does not say, and at most: each is billed twice for it.
const DEFAULT_SUBSCRIPTIONS: u32 = 100;
const MAX_SUBSCRIPTIONS: u32 = 500;

/// Which subscriptions move, to what, and when.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMigration {
    /// Every older version when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_versions: Vec<u32>,
    pub to_version: u32,
    #[serde(default)]
    pub when: MigrateWhen,
    #[serde(default)]
    pub proration: Proration,
    #[serde(default)]
    pub invoice: InvoiceTiming,
    /// Of these tenants only, up to a thousand; of all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantId>,
    /// These only, up to a thousand; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<SubscriptionId>,
    /// Only tells what would be done, page by page.
    #[serde(default)]
    pub dry_run: bool,
    /// Of a dry run: subscriptions of this page, 1 to 500 (default 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Of a dry run: `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// How far a migration is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MigrationProgress {
    pub id: PlanMigrationId,
    pub plan: PlanKey,
    pub from_versions: Vec<u32>,
    pub to_version: u32,
    pub when: MigrateWhen,
    pub proration: Proration,
    pub invoice: InvoiceTiming,
    pub asked_at: DateTime<Utc>,
    /// Whether every subscription was looked at.
    pub is_done: bool,
    pub moved: u64,
    pub blocked_count: u64,
    /// The first thousand that stay.
    pub blocked: Vec<BlockedSubscription>,
}

impl From<PlanMigration> for MigrationProgress {
    fn from(state: PlanMigration) -> Self {
        let PlanMigrationStarted { id, terms, asked_at } = state.started;
        Self {
            id,
            plan: terms.plan,
            from_versions: terms.from_versions,
            to_version: terms.to_version,
            when: terms.when,
            proration: terms.proration,
            invoice: terms.invoice,
            asked_at,
            is_done: state.is_done,
            moved: state.moved,
            blocked_count: state.blocked_count,
            blocked: state.blocked,
        }
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    plan: &'a PlanKey,
    body: &'a NewMigration,
}

/// Moves the subscriptions of a plan to another version of it, each as `POST /v1/subscriptions/{id}/changes` would, in the
/// background; or with `dry_run` tells what would become of each, and of its next invoice.
#[utoipa::path(post, path = "/v1/plans/{plan}/migrations", tag = "plans", params(("plan" = String, Path)),
    request_body = NewMigration,
    responses((status = 201, body = MigrationProgress), (status = 200, body = MigrationPreview, description = "Of a dry run"),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn start(
    State(context): State<Arc<Context>>,
    caller: Caller,
    headers: HeaderMap,
    Path(plan): Path<PlanKey>,
    Json(asked): Json<NewMigration>,
) -> Result<Response, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let terms = terms(&plan, &asked);
    if asked.dry_run {
        let shown = dry_run(&context, &caller, &terms, &asked).await?;
        return Ok((StatusCode::OK, axum::Json(shown)).into_response());
    }
    let body = Asked { plan: &plan, body: &asked };
    let request = IdempotentRequest {
        app: &context.platform.databases.app,
        caller: &caller,
        headers: &headers,
        route: "POST /v1/plans/{plan}/migrations",
        body: &body,
        now: context.now(),
    };
    let id = new_id(&caller, &headers, &plan)?;
    idempotent(request, record(&context, &caller, id, terms)).await
}

/// With an `Idempotency-Key` the same one again: what was started before a crash is not started twice.
fn new_id(caller: &Caller, headers: &HeaderMap, plan: &PlanKey) -> Result<PlanMigrationId, Problem> {
    let bits = match headers.get("idempotency-key").and_then(|value| value.to_str().ok()) {
        Some(key) => derive_bits("plan_migration", &[&caller.actor(), plan.as_str(), key]),
        None => random::bits128(),
    };
    Ok(PlanMigrationId::parse(&prefixed("mig", bits))?)
}

fn terms(plan: &PlanKey, asked: &NewMigration) -> MigrationTerms {
    MigrationTerms {
        plan: plan.clone(),
        from_versions: asked.from_versions.clone(),
        to_version: asked.to_version,
        when: asked.when,
        proration: asked.proration,
        invoice: asked.invoice,
        tenants: asked.tenants.clone(),
        subscriptions: asked.subscriptions.clone(),
    }
}

async fn check(tx: &mut Tx, terms: &MigrationTerms) -> Result<(), Problem> {
    let catalogue = Catalogue::load(tx).await.map_err(Problem::internal)?;
    let faults = terms.check(&catalogue);
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

async fn dry_run(
    context: &Context,
    caller: &Caller,
    terms: &MigrationTerms,
    asked: &NewMigration,
) -> Result<MigrationPreview, Problem> {
    let limit = asked.limit.unwrap_or(DEFAULT_SUBSCRIPTIONS);
    if !(1..=MAX_SUBSCRIPTIONS).contains(&limit) {
        return Err(FieldError::new("/limit", "is out of range", format!("use 1 to {MAX_SUBSCRIPTIONS}")).into());
    }
    let after = asked.cursor.as_deref().map(Cursor::decode::<(TenantId, SubscriptionId)>).transpose()?;
    let after = after.map(|(tenant, subscription)| MigrationPlace { tenant, subscription });
    let mut tx = reading(context, caller, None).await?;
    check(&mut tx, terms).await?;
    preview(context, tx, terms, after.as_ref(), limit).await
}

async fn record(
    context: &Context,
    caller: &Caller,
    id: PlanMigrationId,
    terms: MigrationTerms,
) -> Result<(StatusCode, MigrationProgress), Problem> {
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    if let Some(there) = stored(&mut tx, &id).await? {
        return Ok((StatusCode::CREATED, there.into()));
    }
    check(&mut tx, &terms).await?;
    let started = PlanMigrationStarted { id, terms, asked_at: context.now().trunc_subsecs(6) };
    let event = JournalEvent::PlanMigrationStarted(started);
    record_global(context, caller, tx, Some(0), event.clone()).await?;
    context.migrate.notify_one();
    let state = PlanMigration::evolve(None, &event).ok_or_else(|| Problem::internal("a started migration vanished"))?;
    Ok((StatusCode::CREATED, state.into()))
}

/// How far a migration is, and which subscriptions stay.
#[utoipa::path(get, path = "/v1/plans/{plan}/migrations/{migration}", tag = "plans",
    params(("plan" = String, Path), ("migration" = String, Path)),
    responses((status = 200, body = MigrationProgress), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn show(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path((plan, id)): Path<(PlanKey, PlanMigrationId)>,
) -> Result<Json<MigrationProgress>, Problem> {
    caller.require(Scope::Finance)?;
    caller.require_unbound()?;
    let mut tx = context.platform.databases.app.global().await.map_err(Problem::internal)?;
    let there = stored(&mut tx, &id).await?.filter(|there| there.started.terms.plan == plan);
    there.map(|there| Json(there.into())).ok_or_else(Problem::not_found)
}

async fn stored(tx: &mut Tx, id: &PlanMigrationId) -> Result<Option<PlanMigration>, Problem> {
    let document: Option<String> = sqlx::query_scalar("SELECT document FROM plan_migrations WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(Problem::internal)?;
    document.map(|document| serde_json::from_str(&document).map_err(Problem::internal)).transpose()
}
