//! Appending: one lock, one insert for any number of decisions, and their projections, all in the caller's transaction.

use super::{Already, AppendError, Appended, Decision, MAX_DECISIONS, Recorded};
use crate::postgres::{Tx, TxScope};
use crate::projections;
use chrono::SubsecRound;
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};

/// Appends all decisions or none, and projects them. The journal is locked from here to the end of the transaction:
/// append last, then commit.
///
/// A decision whose idempotency key is in the journal makes this an [`AppendError::AlreadyRecorded`].
pub async fn append(tx: &mut Tx, decisions: Vec<Decision>) -> Result<Appended, AppendError> {
    append_with(tx, decisions, Repeats::Refuse).await
}

/// Like [`append`], but leaves out the decisions that were recorded before, and says which. For a run that may have been
/// killed half way.
pub async fn append_new(tx: &mut Tx, decisions: Vec<Decision>) -> Result<Appended, AppendError> {
    append_with(tx, decisions, Repeats::LeaveOut).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Refuse,
    LeaveOut,
}

async fn append_with(tx: &mut Tx, decisions: Vec<Decision>, repeats: Repeats) -> Result<Appended, AppendError> {
    check(tx.scope(), &decisions)?;
    if decisions.is_empty() {
        return Ok(Appended::default());
    }
    // Everything below sees what was committed before the lock was granted: each statement takes a new snapshot.
    let head: i64 = sqlx::query_scalar("SELECT position FROM journal_head FOR UPDATE").fetch_one(&mut **tx).await?;
    let already = recorded_before(tx, &decisions).await?;
    if repeats == Repeats::Refuse && !already.is_empty() {
        return Err(AppendError::AlreadyRecorded(already));
    }
    let left_out: HashSet<usize> = already.iter().map(|a| a.index).collect();
    let new =
        decisions.into_iter().enumerate().filter(|(index, _)| !left_out.contains(index)).map(|(_, d)| d).collect();
    let recorded = number(tx, head, new).await?;
    if !recorded.is_empty() {
        insert(tx, &recorded).await?;
        projections::project(tx, &recorded).await?;
    }
    Ok(Appended { recorded, already })
}

fn check(scope: &TxScope, decisions: &[Decision]) -> Result<(), AppendError> {
    if decisions.len() > MAX_DECISIONS {
        return Err(AppendError::TooMany { count: decisions.len() });
    }
    let mut keys = HashSet::new();
    for decision in decisions {
        if let TxScope::One(own) = scope
            && own != &decision.tenant
        {
            return Err(AppendError::WrongTenant { tenant: decision.tenant.clone() });
        }
        if let Some(key) = &decision.idempotency_key
            && !keys.insert((&decision.tenant, key))
        {
            return Err(AppendError::KeyTwice { key: key.clone() });
        }
    }
    Ok(())
}

async fn recorded_before(tx: &mut PgConnection, decisions: &[Decision]) -> Result<Vec<Already>, AppendError> {
    const FIND: &str = "SELECT g.index, j.position \
        FROM unnest($1::bigint[], $2::text[], $3::text[]) AS g(index, tenant_id, idempotency_key) \
        JOIN journal j ON j.tenant_id = g.tenant_id AND j.idempotency_key = g.idempotency_key ORDER BY g.index";
    let (mut indexes, mut tenants, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (index, decision) in decisions.iter().enumerate() {
        if let Some(key) = &decision.idempotency_key {
            indexes.push(index as i64);
            tenants.push(decision.tenant.as_str());
            keys.push(key.as_str());
        }
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<(i64, i64)> = sqlx::query_as(FIND).bind(indexes).bind(tenants).bind(keys).fetch_all(tx).await?;
    Ok(found.into_iter().map(|(index, position)| Already { index: index as usize, position }).collect())
}

/// Gives each decision its position and its version, and checks the expected ones.
async fn number(tx: &mut PgConnection, head: i64, decisions: Vec<Decision>) -> Result<Vec<Recorded>, AppendError> {
    let mut versions = current_versions(tx, &decisions).await?;
    let mut recorded = Vec::with_capacity(decisions.len());
    for (position, decision) in (head + 1..).zip(decisions) {
        let stream = decision.event.stream().to_string();
        let version = versions.entry((decision.tenant.as_str().to_owned(), stream.clone())).or_insert(0);
        if let Some(expected) = decision.expected_version
            && expected != *version
        {
            return Err(AppendError::Conflict { stream, expected, actual: *version });
        }
        *version += 1;
        recorded.push(Recorded {
            position,
            version: *version,
            stream,
            payload: decision.event.payload()?,
            tenant: decision.tenant,
            event: decision.event,
            // As precise as Postgres, so that a projection says the same now and when it is rebuilt.
            effective_at: decision.effective_at.trunc_subsecs(6),
            recorded_at: decision.recorded_at.trunc_subsecs(6),
            actor: decision.actor,
            idempotency_key: decision.idempotency_key,
        });
    }
    Ok(recorded)
}

async fn current_versions(
    tx: &mut PgConnection,
    decisions: &[Decision],
) -> Result<HashMap<(String, String), i64>, AppendError> {
    const VERSIONS: &str = "SELECT g.tenant_id, g.stream, j.version \
        FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u(tenant_id, stream)) g \
        CROSS JOIN LATERAL (SELECT version FROM journal j WHERE j.tenant_id = g.tenant_id AND j.stream = g.stream \
            ORDER BY version DESC LIMIT 1) j";
    let tenants: Vec<&str> = decisions.iter().map(|d| d.tenant.as_str()).collect();
    let streams: Vec<String> = decisions.iter().map(|d| d.event.stream().to_string()).collect();
    let rows: Vec<(String, String, i64)> = sqlx::query_as(VERSIONS).bind(tenants).bind(streams).fetch_all(tx).await?;
    Ok(rows.into_iter().map(|(tenant, stream, version)| ((tenant, stream), version)).collect())
}

async fn insert(tx: &mut PgConnection, recorded: &[Recorded]) -> Result<(), AppendError> {
    const INSERT: &str = "WITH head AS (UPDATE journal_head SET position = position + $10, projected = position + $10) \
        INSERT INTO journal (position, tenant_id, stream, version, type, payload, effective_at, recorded_at, actor, \
            idempotency_key) \
        SELECT position, tenant_id, stream, version, type, payload::json, effective_at, recorded_at, actor, \
            idempotency_key \
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[], \
            $8::timestamptz[], $9::text[], $11::text[]) \
            AS d(position, tenant_id, stream, version, type, payload, effective_at, recorded_at, actor, idempotency_key)";
    sqlx::query(INSERT)
        .bind(recorded.iter().map(|r| r.position).collect::<Vec<_>>())
        .bind(recorded.iter().map(|r| r.tenant.as_str()).collect::<Vec<_>>())
        .bind(recorded.iter().map(|r| r.stream.as_str()).collect::<Vec<_>>())
        .bind(recorded.iter().map(|r| r.version).collect::<Vec<_>>())
        .bind(recorded.iter().map(|r| r.event.type_name()).collect::<Vec<_>>())
        .bind(recorded.iter().map(|r| r.payload.as_str()).collect::<Vec<_>>())
        .bind(recorded.iter().map(|r| r.effective_at).collect::<Vec<_>>())
        .bind(recorded.iter().map(|r| r.recorded_at).collect::<Vec<_>>())
        .bind(recorded.iter().map(|r| r.actor.as_str()).collect::<Vec<_>>())
        .bind(recorded.len() as i64)
        .bind(recorded.iter().map(|r| r.idempotency_key.as_deref()).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    Ok(())
}
