//! `dunning_steps` and `billing_terms`: what was reached, and what tenants have agreed.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::dunning::DunningStepReached;
use talea_domain::invoice::BillingTermsChanged;
use talea_domain::journal::JournalEvent;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let steps: Vec<(&Recorded, &DunningStepReached)> = recorded
        .iter()
        .filter_map(|r| match &r.event {
            JournalEvent::DunningStepReached(step) => Some((r, step)),
            _ => None,
        })
        .collect();
    insert_steps(connection, &steps).await?;
    let terms = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::BillingTermsChanged(changed) => Some((r, changed)),
        _ => None,
    });
    write_terms(connection, &last_of_each(terms, |(_, changed)| &changed.tenant_id)).await
}

async fn insert_steps(
    connection: &mut PgConnection,
    steps: &[(&Recorded, &DunningStepReached)],
) -> Result<(), DatabaseError> {
    const INSERT: &str = "INSERT INTO dunning_steps (tenant_id, invoice_id, step, action, after_days, currency, \
            open_minor, due_date, reached_at, position, round, recorded_at) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::bigint[], \
            $8::date[], $9::timestamptz[], $10::bigint[], $11::integer[], $12::timestamptz[])";
    if steps.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT)
        .bind(steps.iter().map(|(_, s)| s.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.invoice_id.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.step.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.action.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.after_days as i32).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.open.currency.to_string()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.open.minor).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.due_date).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.reached_at).collect::<Vec<_>>())
        .bind(steps.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, s)| s.round as i32).collect::<Vec<_>>())
        .bind(steps.iter().map(|(r, _)| r.recorded_at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_terms(
    connection: &mut PgConnection,
    terms: &[(&Recorded, &BillingTermsChanged)],
) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO billing_terms (tenant_id, document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) \
        ON CONFLICT (tenant_id) DO UPDATE SET document = excluded.document, position = excluded.position";
    if terms.is_empty() {
        return Ok(());
    }
    let documents: Vec<String> = terms
        .iter()
        .map(|(_, changed)| serde_json::to_string(&changed.terms))
        .collect::<Result<_, _>>()
        .map_err(|source| DatabaseError::Document { table: "billing_terms", source })?;
    sqlx::query(WRITE)
        .bind(terms.iter().map(|(_, changed)| changed.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(documents)
        .bind(terms.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
