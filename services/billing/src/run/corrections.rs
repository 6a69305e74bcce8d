//! Late usage of subscriptions that have ended: there is no next invoice to carry it, so it gets a document of its own.

use super::close::issue;
use super::document::assemble_all;
use super::due::{Cursor, PAGE, SubscriptionRow, refusal};
use super::measure::measure;
use super::{Candidate, Run, Trigger};
use chrono::{DateTime, Duration, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use talea_domain::subscription::{COLLECT_HOURS, Subscription, after_end};

/// How often the worker looks.
const PAUSE: Duration = Duration::minutes(10);
/// Events may be taken for this long after the window, when they stood in the log already: days.
const SLACK_DAYS: i64 = 1;

pub async fn correct(run: &mut Run<'_>) -> anyhow::Result<()> {
    if run.trigger == Trigger::Clock && !run.context.corrections_are_due(run.now, PAUSE) {
        return Ok(());
    }
    // A run that was asked for stands on everything that the log held when it was asked.
    if run.trigger == Trigger::Asked && !run.consumed.covers(run.now) {
        return Ok(());
    }
    let mut after = Cursor::default();
    loop {
        let rows = ended(run, &after).await?;
        let next = (rows.len() as i64 == PAGE).then(|| rows.last()).flatten();
        let next = next.map(|row| Cursor { tenant: row.tenant_id.clone(), subscription: row.id.clone() });
        correct_page(run, rows).await?;
        match next {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

/// Subscriptions that have ended and are billed to their end. The worker looks only at those to which usage can still come
/// by the window; a backfill is followed by a run that is asked for.
async fn ended(run: &Run<'_>, after: &Cursor) -> anyhow::Result<Vec<SubscriptionRow>> {
    const ENDED: &str = "SELECT s.tenant_id, s.id, s.document, s.billed_until, s.billed_changes, v.version, v.recorded_at \
        FROM subscriptions s CROSS JOIN LATERAL (SELECT max(j.version) AS version, min(j.recorded_at) AS recorded_at \
            FROM journal j WHERE j.tenant_id = s.tenant_id AND j.stream = 'subscription/' || s.id) v \
        WHERE s.ends_at <= $1 AND s.due_from IS NULL AND (s.tenant_id, s.id) > ($2, $3) \
            AND EXISTS (SELECT FROM billed_periods b WHERE b.tenant_id = s.tenant_id AND b.subscription_id = s.id) \
            AND ($4::timestamptz IS NULL OR (s.ends_at > $4 AND NOT EXISTS (SELECT FROM billed_periods b \
                WHERE b.tenant_id = s.tenant_id AND b.subscription_id = s.id AND b.closed_at > $5))) \
        ORDER BY s.tenant_id, s.id LIMIT $6";
    let window_days = i64::try_from(run.context.platform.config.metering.window_days).unwrap_or(i64::from(u16::MAX));
    let oldest = (run.trigger == Trigger::Clock).then(|| run.now - Duration::days(window_days + SLACK_DAYS));
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let rows = sqlx::query_as(ENDED)
        .bind(run.as_of)
        .bind(&after.tenant)
        .bind(&after.subscription)
        .bind(oldest)
        .bind(run.now - Duration::hours(COLLECT_HOURS))
        .bind(PAGE)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(rows)
}

async fn correct_page(run: &mut Run<'_>, rows: Vec<SubscriptionRow>) -> anyhow::Result<()> {
    let mut candidates = Vec::new();
    for row in rows {
        match candidate(run, &row) {
            Ok(candidate) if run.is_refused(&candidate.subscription) => {}
            Ok(candidate) => candidates.push(candidate),
            Err(reason) => run.refuse_all(refusal(&row, reason).into_iter().collect()),
        }
    }
    if candidates.is_empty() {
        return Ok(());
    }
    let cut = run.consumed.cut.clone();
    let measured = measure(run.context, &run.catalogue, &candidates, &cut).await?;
    let late = |measured: &Result<_, _>| {
        measured.as_ref().map_or(true, |it: &super::measure::Measured| !it.remeasured.is_empty())
    };
    let (mut candidates, measured): (Vec<_>, Vec<_>) =
        candidates.into_iter().zip(measured).filter(|(_, measured)| late(measured)).unzip();
    give_revisions(run, &mut candidates).await?;
    let documents = assemble_all(run.context, &run.catalogue, &candidates, measured).await?;
    issue(run, candidates, documents).await?;
    Ok(())
}

fn candidate(run: &Run<'_>, row: &SubscriptionRow) -> Result<Candidate, String> {
    let subscription: Subscription =
        serde_json::from_str(&row.document).map_err(|error| format!("its document cannot be read: {error}"))?;
    let ended_at = subscription.ended_at.ok_or("it has not ended")?;
    let plan = Arc::clone(run.catalogue.plan_before(&subscription, ended_at)?);
    // The revision is given when it is known that there is something to correct.
    let moment = after_end(&subscription, ended_at, 1);
    Ok(Candidate { subscription, plan, moment, version: row.version, recorded_at: row.recorded_at })
}

/// Each further document about a bill moment counts up from the last one.
pub async fn give_revisions(run: &Run<'_>, candidates: &mut [Candidate]) -> anyhow::Result<()> {
    const REVISIONS: &str = "SELECT j.tenant_id, j.stream, max((j.payload ->> 'revision')::bigint) \
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k(tenant_id, stream, ended_at) \
        JOIN journal j ON j.tenant_id = k.tenant_id AND j.stream = k.stream AND j.type = 'period.closed.v1' \
            AND (j.payload ->> 'billed_at')::timestamptz = k.ended_at \
        GROUP BY j.tenant_id, j.stream";
    if candidates.is_empty() {
        return Ok(());
    }
    let stream = |candidate: &Candidate| format!("subscription/{}", candidate.subscription.id);
    let mut tx = run.context.platform.databases.worker.begin().await?;
    let rows: Vec<(String, String, Option<i64>)> = sqlx::query_as(REVISIONS)
        .bind(candidates.iter().map(|candidate| candidate.subscription.tenant.as_str()).collect::<Vec<_>>())
        .bind(candidates.iter().map(stream).collect::<Vec<_>>())
        .bind(candidates.iter().map(|candidate| candidate.moment.at).collect::<Vec<DateTime<Utc>>>())
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    let last: HashMap<(String, String), i64> =
        rows.into_iter().filter_map(|(tenant, stream, last)| Some(((tenant, stream), last?))).collect();
    for candidate in candidates {
        let key = (candidate.subscription.tenant.to_string(), stream(candidate));
        candidate.moment.revision = u32::try_from(last.get(&key).copied().unwrap_or(0) + 1)?;
    }
    Ok(())
}
