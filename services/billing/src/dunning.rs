//! Dunning: finds the invoices that are overdue, and records each step that they have reached, once. Which steps those are
//! is the domain's to say; that a step is recorded once is the journal's, by its key.

use crate::catalogue::Catalogue;
use crate::context::Context;
use anyhow::Context as _;
use chrono::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;
use talea_domain::dunning::{DunningStepReached, dunning_steps};
use talea_domain::id::PlanKey;
use talea_domain::invoice::BillingTerms;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::TenantScope;
use talea_platform::journal::{self, Decision};
use talea_platform::postgres::Tx;
use talea_platform::receivables::{self, StateRow};
use talea_platform::worker::Outcome;

/// Invoices of one page.
const PAGE: i64 = 500;
/// Who decides, in the journal.
const ACTOR: &str = "dunning";

#[derive(sqlx::FromRow)]
struct Overdue {
    #[sqlx(flatten)]
    state: StateRow,
    plan_key: Option<String>,
    plan_version: Option<i32>,
    known: Vec<String>,
}

type Cursor = (String, String);

/// One pass over everything that is overdue.
pub async fn pass(context: Arc<Context>) -> anyhow::Result<Outcome> {
    let mut after = Some(Cursor::default());
    while let Some(from) = after {
        after = page(&context, &from).await?;
    }
    Ok(Outcome::Idle)
}

/// One page; answers where the next begins.
async fn page(context: &Context, after: &Cursor) -> anyhow::Result<Option<Cursor>> {
    let mut tx = context.platform.databases.worker.begin().await?;
    let catalogue = Catalogue::load(&mut tx).await?;
    let (due, next) = due(context, &mut tx, &catalogue, after).await?;
    if due.is_empty() {
        tx.rollback().await?;
        return Ok(next);
    }
    // Nobody else decides from here to the commit, so that an invoice that is paid at this moment is not dunned.
    sqlx::query("SELECT position FROM journal_head FOR UPDATE").execute(&mut *tx).await?;
    let (due, next) = self::due(context, &mut tx, &catalogue, after).await?;
    let now = context.now();
    let decision = |step: DunningStepReached| Decision {
        tenant: TenantScope::from(&step.tenant_id),
        expected_version: None,
        idempotency_key: Some(step.key()),
        effective_at: step.reached_at,
        event: JournalEvent::DunningStepReached(step),
        recorded_at: now,
        actor: ACTOR.to_owned(),
    };
    let appended = journal::append_new(&mut tx, due.into_iter().map(decision).collect()).await?;
    tx.commit().await?;
    for recorded in &appended.recorded {
        if let JournalEvent::DunningStepReached(step) = &recorded.event {
            tracing::info!(tenant.id = %step.tenant_id, invoice.id = %step.invoice_id, step = step.step, "billing.dunning_step");
            metrics::counter!("talea_billing_dunning_steps_total", "action" => step.action.as_str()).increment(1);
        }
    }
    context.recorded.notify_one();
    Ok(next)
}

/// The steps of a page that are reached and not recorded.
async fn due(
    context: &Context,
    tx: &mut Tx,
    catalogue: &Catalogue,
    after: &Cursor,
) -> anyhow::Result<(Vec<DunningStepReached>, Option<Cursor>)> {
    const OVERDUE: &str = "SELECT s.tenant_id, s.invoice_id, s.stage, s.currency, s.total_minor, s.paid_minor, \
            s.credited_minor, s.open_minor, s.due_date, s.zone, s.open_since, s.prepaid_minor, s.round, s.voided, \
            b.plan_key, b.plan_version, ARRAY(SELECT d.step FROM dunning_steps d WHERE d.tenant_id = s.tenant_id \
                AND d.invoice_id = s.invoice_id AND d.round = s.round) AS known \
        FROM invoice_states s JOIN invoices i ON i.tenant_id = s.tenant_id AND i.id = s.invoice_id \
            LEFT JOIN subscriptions b ON b.tenant_id = i.tenant_id AND b.id = i.subscription_id \
        WHERE s.stage IN ('finalized', 'partially_paid') AND s.due_date < $1 AND (s.tenant_id, s.invoice_id) > ($2, $3) \
        ORDER BY s.tenant_id, s.invoice_id LIMIT $4";
    let now = context.now();
    let rows: Vec<Overdue> = sqlx::query_as(OVERDUE)
        // No zone is further than a day from UTC.
        .bind((now + Duration::days(1)).date_naive())
        .bind(&after.0)
        .bind(&after.1)
        .bind(PAGE)
        .fetch_all(&mut **tx)
        .await?;
    let is_full = rows.len() as i64 == PAGE;
    let mut overdue = Vec::with_capacity(rows.len());
    for row in rows {
        let plan = row.plan_key.as_deref().map(PlanKey::parse).transpose()?.zip(row.plan_version);
        let plan = plan.and_then(|(key, version)| catalogue.plan(&key, u32::try_from(version).ok()?));
        overdue.push((
            row.state.decode()?,
            plan.map(|plan| BillingTerms::of_plan(plan)).unwrap_or_default(),
            row.known,
        ));
    }
    let last = overdue.last().map(|(state, ..)| (state.tenant.to_string(), state.invoice.to_string()));
    let tenants: BTreeSet<&str> = overdue.iter().map(|(state, ..)| state.tenant.as_str()).collect();
    let own = receivables::billing_terms(tx, &tenants.into_iter().collect::<Vec<_>>()).await?;
    let mut due = Vec::new();
    for (state, of_plan, known) in overdue {
        let terms = own.get(&state.tenant).cloned().unwrap_or_default().or(of_plan);
        let policy = terms.dunning.unwrap_or_else(|| context.dunning.clone());
        let steps = dunning_steps(&state, &policy, now).with_context(|| format!("dunning of {}", state.invoice))?;
        due.extend(steps.into_iter().filter(|step| !known.contains(&step.step)));
    }
    Ok((due, last.filter(|_| is_full)))
}
