//! Moving: page by page, in one transaction each, so that how far a migration is and what it changed are one fact. Killed
//! anywhere, it goes on where it was; a page that somebody else changed meanwhile is read again.

use super::{Found, page};
use crate::catalogue::Catalogue;
use crate::context::Context;
use chrono::{DateTime, SubsecRound, Utc};
use std::sync::Arc;
use talea_domain::journal::JournalEvent;
use talea_domain::subscription::{BlockedSubscription, PlanMigration, PlanMigrationAdvanced};
use talea_domain::tenant::TenantScope;
use talea_platform::journal::{self, AppendError, Decision};
use talea_platform::worker::Outcome;

/// Subscriptions of one transaction: enough to be fast, few enough that others get at the journal.
const PAGE: i64 = 500;
const ACTOR: &str = "billing, migration";

/// One page of the oldest migration that is not done.
pub async fn pass(context: Arc<Context>) -> anyhow::Result<Outcome> {
    const UNFINISHED: &str =
        "SELECT document, version FROM plan_migrations WHERE NOT is_done ORDER BY position LIMIT 1";
    let mut tx = context.platform.databases.worker.begin().await?;
    let row: Option<(String, i64)> = sqlx::query_as(UNFINISHED).fetch_optional(&mut *tx).await?;
    let Some((document, version)) = row else {
        return Ok(Outcome::Idle);
    };
    let migration: PlanMigration = serde_json::from_str(&document)?;
    let catalogue = Catalogue::load(&mut tx).await?;
    let (terms, asked_at) = (&migration.started.terms, migration.started.asked_at);
    let found = page(&mut tx, terms, asked_at, migration.after.as_ref(), PAGE).await?;
    let decisions = decisions(&migration, version, &catalogue, &found, context.now().trunc_subsecs(6));
    match journal::append_new(&mut tx, decisions).await {
        Ok(_) => {
            tx.commit().await?;
            context.wake.notify_one();
            tracing::info!(migration.id = %migration.started.id, looked_at = found.len(), "billing.migration_advanced");
        }
        Err(AppendError::Conflict { stream, .. }) => {
            tx.rollback().await?;
            tracing::info!(migration.id = %migration.started.id, stream, "billing.migration_page_again");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Outcome::Again)
}

/// The changes of a page, and the step of the migration that they are.
fn decisions(
    migration: &PlanMigration,
    version: i64,
    catalogue: &Catalogue,
    found: &[Found],
    now: DateTime<Utc>,
) -> Vec<Decision> {
    let (id, terms, asked_at) = (&migration.started.id, &migration.started.terms, migration.started.asked_at);
    let mut decisions = Vec::with_capacity(found.len() + 1);
    let mut blocked = Vec::new();
    for Found { row, state } in found.iter().filter(|found| terms.is_about(&found.state, asked_at)) {
        match terms.migrate(state, catalogue, row.billed_until, asked_at, now) {
            Ok(moved) => decisions.push(Decision {
                tenant: TenantScope::from(&state.tenant),
                expected_version: Some(row.version),
                event: moved.event,
                effective_at: moved.at,
                recorded_at: now,
                actor: ACTOR.to_owned(),
                idempotency_key: Some(format!("migrate/{id}/{}", state.id)),
            }),
            Err(error) => blocked.push(BlockedSubscription {
                tenant: state.tenant.clone(),
                subscription: state.id.clone(),
                reason: error.to_string(),
            }),
        }
    }
    let is_last = (found.len() as i64) < PAGE;
    let after = if is_last { None } else { found.last().map(Found::place) };
    let advanced = PlanMigrationAdvanced { migration_id: id.clone(), moved: decisions.len() as u64, blocked, after };
    decisions.push(Decision {
        tenant: TenantScope::Global,
        expected_version: Some(version),
        event: JournalEvent::PlanMigrationAdvanced(advanced),
        effective_at: now,
        recorded_at: now,
        actor: ACTOR.to_owned(),
        idempotency_key: None,
    });
    decisions
}
