//! Brings tenants to the state that their plan's policy asks for. Idempotent: the decision's key is the signal's id, so
//! that one signal changes a state at most once, whoever sees it how often.

use crate::policy::{Desired, Standing, react};
use crate::shared::Shared;
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use talea_domain::dunning::{DunningAction, suspends_from};
use talea_domain::entitlement::{QuotaPolicy, Signal};
use talea_domain::id::{InvoiceId, PlanKey, TenantId};
use talea_domain::journal::{JournalEvent, TenantStateDesired};
use talea_domain::tenant::{TenantScope, TenantState};
use talea_platform::catalogue;
use talea_platform::journal::{self, Decision};
use talea_platform::postgres::Tx;
use talea_platform::receivables::StateRow;
use talea_platform::worker::Outcome;

/// Tenants of one pass.
const PAGE: i64 = 500;
/// Who decides, in the journal.
const ACTOR: &str = "provisioning";

/// Reconciles these tenants. Answers how many changed.
pub async fn reconcile(shared: &Shared, tenants: &BTreeSet<TenantId>) -> anyhow::Result<usize> {
    if tenants.is_empty() {
        return Ok(0);
    }
    let mut tx = shared.platform.databases.worker.begin().await?;
    if desired(&mut tx, tenants, shared.platform.clock.now()).await?.is_empty() {
        tx.rollback().await?;
        return Ok(0);
    }
    // Nobody else decides from here to the commit, so that a person's decision is seen and not overwritten.
    sqlx::query("SELECT position FROM journal_head FOR UPDATE").execute(&mut *tx).await?;
    let now = shared.platform.clock.now();
    let changes = desired(&mut tx, tenants, now).await?;
    let decisions = changes.into_iter().map(|(tenant, desired)| decision(tenant, desired, now)).collect();
    let appended = journal::append_new(&mut tx, decisions).await?;
    tx.commit().await?;
    for recorded in &appended.recorded {
        if let JournalEvent::TenantStateDesired(change) = &recorded.event {
            tracing::info!(tenant.id = %change.tenant_id, tenant.state = change.state.as_str(), "provisioning.state_desired");
            metrics::counter!("talea_tenant_states_total", "state" => change.state.as_str()).increment(1);
        }
    }
    if !appended.recorded.is_empty() {
        shared.recorded.notify_one();
    }
    Ok(appended.recorded.len())
}

fn decision(tenant_id: TenantId, desired: Desired, now: DateTime<Utc>) -> Decision {
    let Desired { state, cause, key } = desired;
    Decision {
        tenant: TenantScope::from(&tenant_id),
        expected_version: None,
        idempotency_key: Some(key),
        event: JournalEvent::TenantStateDesired(TenantStateDesired { tenant_id, state, cause, at: now }),
        effective_at: now,
        recorded_at: now,
        actor: ACTOR.to_owned(),
    }
}

/// One pass over a page of the tenants that a policy may concern: for signals that nobody delivered.
pub async fn pass(shared: Arc<Shared>, after: Arc<Mutex<String>>) -> anyhow::Result<Outcome> {
    const CANDIDATES: &str = "SELECT t.tenant_id COLLATE \"C\" AS id FROM tenants t WHERE t.tenant_id COLLATE \"C\" > $1 \
        AND ((t.state = 'suspended' AND t.state_cause::json->>'kind' IN ('quota', 'dunning')) \
            OR (t.state = 'active' AND (EXISTS (SELECT FROM quota_state q WHERE q.tenant_id = t.tenant_id \
                    AND q.document::json->>'kind' = 'exceeded') \
                OR EXISTS (SELECT FROM dunning_steps d JOIN invoice_states s USING (tenant_id, invoice_id) \
                    WHERE d.tenant_id = t.tenant_id AND d.action = 'suspend' AND d.round = s.round \
                        AND s.stage IN ('finalized', 'partially_paid', 'uncollectible'))))) ORDER BY id LIMIT $2";
    let from = after.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let ids: Vec<String> = sqlx::query_scalar(CANDIDATES)
        .bind(&from)
        .bind(PAGE)
        .fetch_all(shared.platform.databases.worker.pool())
        .await?;
    let full = ids.len() as i64 == PAGE;
    let tenants = ids.iter().map(|id| TenantId::parse(id)).collect::<Result<_, _>>()?;
    reconcile(&shared, &tenants).await?;
    *after.lock().unwrap_or_else(PoisonError::into_inner) =
        if full { ids.last().cloned().unwrap_or_default() } else { String::new() };
    Ok(if full { Outcome::Again } else { Outcome::Idle })
}

async fn desired(
    tx: &mut Tx,
    tenants: &BTreeSet<TenantId>,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<(TenantId, Desired)>> {
    let standings = standings(tx, tenants, now).await?;
    Ok(standings.into_iter().filter_map(|(tenant, standing)| Some((tenant, react(&standing)?))).collect())
}

type Overdue = HashMap<TenantId, Vec<(InvoiceId, DateTime<Utc>)>>;
type TenantRow = (String, String, String, DateTime<Utc>);

async fn standings(
    tx: &mut Tx,
    tenants: &BTreeSet<TenantId>,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<(TenantId, Standing)>> {
    const STATES: &str = "SELECT tenant_id, state, state_cause, state_at FROM tenants WHERE tenant_id = ANY($1)";
    const SIGNALS: &str = "SELECT document FROM quota_state WHERE tenant_id = ANY($1) ORDER BY tenant_id, feature";
    let ids: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
    let rows: Vec<TenantRow> = sqlx::query_as(STATES).bind(&ids).fetch_all(&mut **tx).await?;
    let documents: Vec<String> = sqlx::query_scalar(SIGNALS).bind(&ids).fetch_all(&mut **tx).await?;
    let mut overdue = overdue(tx, &ids, now).await?;
    let mut policies = Policies::default();
    let mut signals: HashMap<TenantId, Vec<(Signal, QuotaPolicy)>> = HashMap::new();
    for document in documents {
        let signal: Signal = serde_json::from_str(&document).context("a stored signal")?;
        let policy = policies.of(tx, &signal.limit_version).await?;
        signals.entry(signal.tenant_id.clone()).or_default().push((signal, policy));
    }
    rows.into_iter()
        .map(|(id, state, cause, state_at)| {
            let tenant = TenantId::parse(&id)?;
            let signals = signals.remove(&tenant).unwrap_or_default();
            let overdue = overdue.remove(&tenant).unwrap_or_default();
            let state = TenantState::parse(&state).with_context(|| format!("state `{state}` of tenant {id}"))?;
            let cause = serde_json::from_str(&cause).with_context(|| format!("cause of the state of tenant {id}"))?;
            Ok((tenant, Standing { state, cause, state_at, signals, overdue }))
        })
        .collect()
}

#[derive(sqlx::FromRow)]
struct SuspendingRow {
    #[sqlx(flatten)]
    state: StateRow,
    after_days: i32,
    recorded_at: DateTime<Utc>,
}

/// The invoices for which dunning suspends these tenants now, and since when each does.
async fn overdue(tx: &mut Tx, tenants: &[&str], now: DateTime<Utc>) -> anyhow::Result<Overdue> {
    const SUSPENDING: &str = "SELECT s.tenant_id, s.invoice_id, s.stage, s.currency, s.total_minor, s.paid_minor, \
            s.credited_minor, s.open_minor, s.due_date, s.zone, s.open_since, s.prepaid_minor, s.round, s.voided, \
            d.after_days, d.recorded_at \
        FROM dunning_steps d JOIN invoice_states s USING (tenant_id, invoice_id) \
        WHERE d.tenant_id = ANY($1) AND d.action = 'suspend' AND d.round = s.round AND s.stage IN ('finalized', 'partially_paid', 'uncollectible') \
        ORDER BY d.position";
    let rows: Vec<SuspendingRow> = sqlx::query_as(SUSPENDING).bind(tenants).fetch_all(&mut **tx).await?;
    let mut overdue = Overdue::new();
    for row in rows {
        let (state, after_days) = (row.state.decode()?, u32::try_from(row.after_days)?);
        let since = suspends_from(&state, after_days, DunningAction::Suspend)?.filter(|since| *since <= now);
        if let Some(since) = since {
            // A state that changed between the step's midnight and its record did not know of it.
            let since = since.max(row.recorded_at);
            overdue.entry(state.tenant).or_default().push((state.invoice, since));
        }
    }
    Ok(overdue)
}

/// The policies of the plan versions that limits came from.
#[derive(Default)]
struct Policies(HashMap<String, QuotaPolicy>);

impl Policies {
    /// `plan@version`, or `plan@version+n` for a tenant's own amount of that plan's limit.
    async fn of(&mut self, tx: &mut Tx, limit_version: &str) -> anyhow::Result<QuotaPolicy> {
        let plan = limit_version.split('+').next().unwrap_or_default();
        if let Some(policy) = self.0.get(plan) {
            return Ok(*policy);
        }
        let policy = match parse_plan(plan) {
            Some((key, version)) => catalogue::plan(tx, &key, Some(version)).await?.map(|plan| plan.policy),
            None => None,
        };
        // A limit whose plan nobody knows is signalled, and nothing else.
        let policy = policy.unwrap_or_default();
        self.0.insert(plan.to_owned(), policy);
        Ok(policy)
    }
}

fn parse_plan(text: &str) -> Option<(PlanKey, u32)> {
    let (key, version) = text.rsplit_once('@')?;
    Some((PlanKey::parse(key).ok()?, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_version_names_its_plan() {
        let named = |text| parse_plan(text).map(|(key, version)| (key.to_string(), version));
        assert_eq!(named("free@3"), Some(("free".to_owned(), 3)));
        assert_eq!(named("a.b-c@12"), Some(("a.b-c".to_owned(), 12)));
        assert_eq!((named("free"), named("@1"), named("free@x")), (None, None, None));
    }
}
