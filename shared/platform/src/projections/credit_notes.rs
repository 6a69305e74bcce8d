//! `credit_notes`: issued notes, byte for byte as they were recorded.

use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::credit_note::CreditNote;
use talea_domain::journal::JournalEvent;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    const INSERT: &str = "INSERT INTO credit_notes (tenant_id, id, invoice_id, number, currency, total_minor, issue_date, \
            issued_at, document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::date[], \
            $8::timestamptz[], $9::text[], $10::bigint[])";
    let notes: Vec<(&Recorded, &CreditNote)> = recorded
        .iter()
        .filter_map(|r| match &r.event {
            JournalEvent::CreditNoteIssued(note) => Some((r, note)),
            _ => None,
        })
        .collect();
    if notes.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT)
        .bind(notes.iter().map(|(_, n)| n.tenant.as_str()).collect::<Vec<_>>())
        .bind(notes.iter().map(|(_, n)| n.id.as_str()).collect::<Vec<_>>())
        .bind(notes.iter().map(|(_, n)| n.invoice.as_str()).collect::<Vec<_>>())
        .bind(notes.iter().map(|(_, n)| n.number.as_str()).collect::<Vec<_>>())
        .bind(notes.iter().map(|(_, n)| n.total.currency.to_string()).collect::<Vec<_>>())
        .bind(notes.iter().map(|(_, n)| n.total.minor).collect::<Vec<_>>())
        .bind(notes.iter().map(|(_, n)| n.issue_date).collect::<Vec<_>>())
        .bind(notes.iter().map(|(_, n)| n.issued_at).collect::<Vec<_>>())
        .bind(notes.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(notes.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
