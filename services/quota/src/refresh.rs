//! Keeps the book's terms equal to what the journal's projections say: everything at start, later the tenants that the
//! journal names.

use crate::shared::Shared;
use crate::terms::Terms;
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use talea_domain::entitlement::{LimitChanged, Signal};
use talea_domain::id::{PlanKey, TenantId};
use talea_domain::plan::PlanVersion;
use talea_domain::subscription::Subscription;
use talea_platform::postgres::Tx;
use talea_platform::worker::Outcome;
use talea_platform::{catalogue, journal};
use tokio::sync::Mutex;

/// Decisions that change a tenant's features or its signals.
const OF_A_TENANT: [&str; 6] = [
    "tenant.created.v1",
    "subscription.started.v1",
    "subscription.cancelled.v1",
    "subscription.changed.v1",
    "quota.limit_changed.v1",
    "quota.signalled.v1",
];
const OF_A_METER: &str = "meter.defined.v1";

/// How far the journal is in the book; none before the first pass.
#[derive(Debug, Default)]
pub struct Cursor {
    position: Option<i64>,
    /// A plan version never changes, so that it is read once.
    plans: HashMap<(PlanKey, u32), Arc<PlanVersion>>,
}

/// One pass: brings the book to the journal's head and to the clock's now.
pub async fn pass(shared: Arc<Shared>, cursor: Arc<Mutex<Cursor>>) -> anyhow::Result<Outcome> {
    let mut cursor = cursor.lock().await;
    let mut tx = shared.platform.databases.worker.begin().await?;
    let head = journal::head(&mut tx).await?;
    let changed = match cursor.position {
        None => Some(Changed { tenants: None, meters: true }),
        Some(position) if position < head => Some(changed(&mut tx, position, head).await?),
        Some(_) => None,
    };
    if let Some(changed) = changed {
        take_in(&shared, &mut cursor, &mut tx, changed).await?;
    }
    tx.rollback().await?;
    cursor.position = Some(head);
    let now = shared.platform.clock.now();
    let ticked = shared.book_mut().tick(now);
    shared.terms_known.reach();
    shared.totals_wanted.notify_one();
    shared.signals_due.notify_one();
    for (tenant, error) in ticked {
        metrics::counter!("talea_quota_terms_unusable_total").increment(1);
        tracing::error!(tenant.id = %tenant, %error, "quota.terms_unusable");
    }
    Ok(Outcome::Idle)
}

struct Changed {
    /// None for all.
    tenants: Option<Vec<String>>,
    meters: bool,
}

async fn changed(tx: &mut Tx, after: i64, head: i64) -> anyhow::Result<Changed> {
    const CHANGED: &str = "SELECT DISTINCT tenant_id, type = $4 FROM journal \
        WHERE position > $1 AND position <= $2 AND (type = ANY($3) OR type = $4)";
    let rows: Vec<(String, bool)> = sqlx::query_as(CHANGED)
        .bind(after)
        .bind(head)
        .bind(OF_A_TENANT.as_slice())
        .bind(OF_A_METER)
        .fetch_all(&mut **tx)
        .await?;
    let (meters, tenants): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, is_meter)| *is_meter);
    Ok(Changed { tenants: Some(tenants.into_iter().map(|(tenant, _)| tenant).collect()), meters: !meters.is_empty() })
}

async fn take_in(shared: &Shared, cursor: &mut Cursor, tx: &mut Tx, changed: Changed) -> anyhow::Result<()> {
    let now = shared.platform.clock.now();
    if changed.meters {
        let meters = catalogue::newest_meters(tx).await?;
        shared.book_mut().set_meters(meters);
    }
    // A new version of a meter concerns every tenant that it is limited for.
    let tenants = if changed.meters { None } else { changed.tenants };
    if tenants.as_ref().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    let terms = read_terms(tx, &mut cursor.plans, tenants.as_deref(), now).await.context("terms of tenants")?;
    let last = last_signals(tx, tenants.as_deref()).await.context("last signals")?;
    let mut book = shared.book_mut();
    // Signals first: terms without them would signal again what was signalled.
    last.iter().for_each(|signal| book.recorded(signal));
    for (tenant, terms) in terms {
        // One tenant that cannot be read must not keep the others waiting.
        if let Err(error) = book.set_terms(&tenant, terms, now) {
            tracing::error!(tenant.id = %tenant, %error, "quota.terms_unusable");
        }
    }
    Ok(())
}

type SubscriptionRow = (String, String, Option<DateTime<Utc>>);

/// The terms of these tenants, or of all.
async fn read_terms(
    tx: &mut Tx,
    plans: &mut HashMap<(PlanKey, u32), Arc<PlanVersion>>,
    tenants: Option<&[String]>,
    now: DateTime<Utc>,
) -> anyhow::Result<HashMap<TenantId, Terms>> {
    const TENANTS: &str = "SELECT tenant_id FROM tenants WHERE $1::text[] IS NULL OR tenant_id = ANY($1)";
    const SUBSCRIPTIONS: &str = "SELECT tenant_id, document, ends_at FROM subscriptions \
        WHERE ($1::text[] IS NULL OR tenant_id = ANY($1)) AND (ends_at IS NULL OR ends_at > $2)";
    const LIMITS: &str = "SELECT tenant_id, document FROM quota_limits WHERE $1::text[] IS NULL OR tenant_id = ANY($1)";
    let ids: Vec<String> = sqlx::query_scalar(TENANTS).bind(tenants).fetch_all(&mut **tx).await?;
    let rows: Vec<SubscriptionRow> = sqlx::query_as(SUBSCRIPTIONS).bind(tenants).bind(now).fetch_all(&mut **tx).await?;
    let limits: Vec<(String, String)> = sqlx::query_as(LIMITS).bind(tenants).fetch_all(&mut **tx).await?;
    let mut terms: HashMap<TenantId, Terms> = HashMap::new();
    for id in ids {
        terms.insert(TenantId::parse(&id)?, Terms::default());
    }
    for (tenant, document, ends_at) in rows {
        let started: Subscription =
            serde_json::from_str(&document).with_context(|| format!("subscription of tenant {tenant}"))?;
        let subscription = Subscription { ended_at: ends_at, ..started };
        let mut versions = Vec::new();
        for key in subscription.plans() {
            versions.push(plan_version(tx, plans, key).await?);
        }
        terms.entry(TenantId::parse(&tenant)?).or_default().subscriptions.push((subscription, versions));
    }
    for (tenant, document) in limits {
        let own: LimitChanged =
            serde_json::from_str(&document).with_context(|| format!("own limit of tenant {tenant}"))?;
        terms.entry(TenantId::parse(&tenant)?).or_default().own_limits.insert(own.feature.clone(), own);
    }
    Ok(terms)
}

async fn plan_version(
    tx: &mut Tx,
    plans: &mut HashMap<(PlanKey, u32), Arc<PlanVersion>>,
    key: (PlanKey, u32),
) -> anyhow::Result<Arc<PlanVersion>> {
    if let Some(plan) = plans.get(&key) {
        return Ok(plan.clone());
    }
    let found = catalogue::plan(tx, &key.0, Some(key.1)).await?;
    let plan = Arc::new(
        found.with_context(|| format!("plan {}@{} is not in the catalogue; run `talea rebuild`", key.0, key.1))?,
    );
    plans.insert(key, plan.clone());
    Ok(plan)
}

async fn last_signals(tx: &mut Tx, tenants: Option<&[String]>) -> anyhow::Result<Vec<Signal>> {
    const LAST: &str = "SELECT document FROM quota_state WHERE $1::text[] IS NULL OR tenant_id = ANY($1)";
    let documents: Vec<String> = sqlx::query_scalar(LAST).bind(tenants).fetch_all(&mut **tx).await?;
    Ok(documents.iter().map(|document| serde_json::from_str(document)).collect::<Result<_, _>>()?)
}
