//! `invoice_states`, `payments` and `open_credit_entries`: what became of issued invoices. A state is folded from the one
//! that is stored, decision by decision.

use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use crate::receivables::{self, Key};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use talea_domain::credit_note::CreditNote;
use talea_domain::id::{InvoiceId, TenantId};
use talea_domain::invoice::{CreditEntry, InvoiceState, PaymentRecorded, PaymentReversed, Voided, credit_entry};
use talea_domain::journal::JournalEvent;
use talea_domain::money::MoneyError;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    states(connection, recorded).await?;
    let payments: Vec<(&Recorded, &PaymentRecorded)> = recorded
        .iter()
        .filter_map(|r| match &r.event {
            JournalEvent::PaymentRecorded(payment) => Some((r, payment)),
            _ => None,
        })
        .collect();
    insert_payments(connection, &payments).await?;
    let reversals: Vec<(&Recorded, &PaymentReversed)> = recorded
        .iter()
        .filter_map(|r| match &r.event {
            JournalEvent::PaymentReversed(reversal) => Some((r, reversal)),
            _ => None,
        })
        .collect();
    reverse_payments(connection, &reversals).await?;
    let entries: Vec<(&Recorded, CreditEntry)> =
        recorded.iter().filter_map(|r| Some((r, credit_entry(&r.event)?))).collect();
    insert_entries(connection, &entries).await
}

/// The invoice that a decision after its issue is about.
fn about(event: &JournalEvent) -> Option<(&TenantId, &InvoiceId)> {
    match event {
        JournalEvent::PaymentRecorded(it) => Some((&it.tenant_id, &it.invoice_id)),
        JournalEvent::PaymentReversed(it) => Some((&it.tenant_id, &it.invoice_id)),
        JournalEvent::InvoiceVoided(it) => Some((&it.tenant_id, &it.invoice_id)),
        JournalEvent::MarkedUncollectible(it) => Some((&it.tenant_id, &it.invoice_id)),
        JournalEvent::CreditNoteIssued(CreditNote { tenant, invoice, .. }) => Some((tenant, invoice)),
        JournalEvent::PeriodClosed(it) => it.replaces.as_ref().map(|invoice| (&it.tenant_id, invoice)),
        _ => None,
    }
}

async fn states(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let keys: HashSet<Key<'_>> = recorded.iter().filter_map(|r| about(&r.event)).collect();
    let overflow = |error: MoneyError| DatabaseError::Unreadable { table: "invoice_states", reason: error.to_string() };
    let stored = receivables::states(connection, keys.iter().copied()).await?;
    let mut states: HashMap<(TenantId, InvoiceId), InvoiceState> =
        stored.into_iter().map(|state| ((state.tenant.clone(), state.invoice.clone()), state)).collect();
    // In the order in which each was touched last.
    let mut touched: Vec<(i64, (TenantId, InvoiceId))> = Vec::new();
    for r in recorded {
        let key = match &r.event {
            JournalEvent::InvoiceFinalized(invoice) => {
                let key = (invoice.tenant.clone(), invoice.id.clone());
                states.insert(key.clone(), InvoiceState::of(invoice).map_err(overflow)?);
                key
            }
            event => match about(event) {
                Some((tenant, invoice)) => (tenant.clone(), invoice.clone()),
                None => continue,
            },
        };
        // A decision about an invoice that was never issued changes nothing.
        if let Some(state) = states.remove(&key) {
            states.insert(key.clone(), state.evolve(&r.event).map_err(overflow)?);
            touched.push((r.position, key));
        }
    }
    let touched = super::last_of_each(touched, |(_, key)| key.clone());
    let rows: Vec<(i64, &InvoiceState)> =
        touched.iter().filter_map(|(position, key)| Some((*position, states.get(key)?))).collect();
    write_states(connection, &rows).await
}

async fn write_states(connection: &mut PgConnection, rows: &[(i64, &InvoiceState)]) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO invoice_states (tenant_id, invoice_id, stage, currency, total_minor, paid_minor, \
            credited_minor, open_minor, due_date, zone, open_since, position, prepaid_minor, round, voided) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], \
            $8::bigint[], $9::date[], $10::text[], $11::timestamptz[], $12::bigint[], $13::bigint[], $14::integer[], \
            $15::text[]) \
        ON CONFLICT (tenant_id, invoice_id) DO UPDATE SET stage = excluded.stage, paid_minor = excluded.paid_minor, \
            credited_minor = excluded.credited_minor, open_minor = excluded.open_minor, \
            open_since = excluded.open_since, position = excluded.position, prepaid_minor = excluded.prepaid_minor, \
            round = excluded.round, voided = excluded.voided";
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(WRITE)
        .bind(rows.iter().map(|(_, s)| s.tenant.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.invoice.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.stage.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.total.currency.to_string()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.total.minor).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.paid.minor).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.credited.minor).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.open.minor).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.due_date).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.zone.name()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.open_since).collect::<Vec<_>>())
        .bind(rows.iter().map(|(position, _)| *position).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.prepaid.minor).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.round as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, s)| s.voided.map(Voided::as_str)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_payments(
    connection: &mut PgConnection,
    payments: &[(&Recorded, &PaymentRecorded)],
) -> Result<(), DatabaseError> {
    const INSERT: &str = "INSERT INTO payments (tenant_id, invoice_id, reference, source, currency, amount_minor, \
            applied_minor, received_at, method, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], \
            $8::timestamptz[], $9::text[], $10::bigint[])";
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT)
        .bind(payments.iter().map(|(_, p)| p.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, p)| p.invoice_id.as_str()).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, p)| p.reference.as_str()).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, p)| p.source.as_str()).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, p)| p.amount.currency.to_string()).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, p)| p.amount.minor).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, p)| p.applied.minor).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, p)| p.received_at).collect::<Vec<_>>())
        .bind(payments.iter().map(|(_, p)| p.method.as_deref()).collect::<Vec<_>>())
        .bind(payments.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn reverse_payments(
    connection: &mut PgConnection,
    reversals: &[(&Recorded, &PaymentReversed)],
) -> Result<(), DatabaseError> {
    const REVERSE: &str = "UPDATE payments p SET reversed_at = r.reversed_at, position = r.position \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[]) \
            AS r(tenant_id, invoice_id, reference, reversed_at, position) \
        WHERE p.tenant_id = r.tenant_id AND p.invoice_id = r.invoice_id AND p.reference = r.reference";
    if reversals.is_empty() {
        return Ok(());
    }
    sqlx::query(REVERSE)
        .bind(reversals.iter().map(|(_, p)| p.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(reversals.iter().map(|(_, p)| p.invoice_id.as_str()).collect::<Vec<_>>())
        .bind(reversals.iter().map(|(_, p)| p.reference.as_str()).collect::<Vec<_>>())
        .bind(reversals.iter().map(|(_, p)| p.reversed_at).collect::<Vec<_>>())
        .bind(reversals.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_entries(
    connection: &mut PgConnection,
    entries: &[(&Recorded, CreditEntry)],
) -> Result<(), DatabaseError> {
    const INSERT: &str = "INSERT INTO open_credit_entries (tenant_id, position, currency, amount_minor, cause, \
            invoice_id, reference, recorded_at) \
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], \
            $8::timestamptz[])";
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT)
        .bind(entries.iter().map(|(_, e)| e.tenant.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, e)| e.amount.currency.to_string()).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, e)| e.amount.minor).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, e)| e.cause.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, e)| e.invoice.as_ref().map(InvoiceId::as_str)).collect::<Vec<_>>())
        .bind(entries.iter().map(|(_, e)| e.reference.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|(r, _)| r.recorded_at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
