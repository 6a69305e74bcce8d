//! `invoices` and `invoice_lines`: drafts until they are issued, then the issued document, byte for byte as it was
//! recorded.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::invoice::{Invoice, InvoiceLine};
use talea_domain::journal::JournalEvent;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let documents = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::InvoiceDrafted(invoice) | JournalEvent::InvoiceFinalized(invoice) => Some((r, invoice)),
        _ => None,
    });
    let documents = last_of_each(documents, |(_, invoice)| (&invoice.tenant, &invoice.id));
    if documents.is_empty() {
        return Ok(());
    }
    write(connection, &documents).await?;
    remove_lines(connection, &documents).await?;
    let lines: Vec<(&Invoice, &InvoiceLine)> =
        documents.iter().flat_map(|(_, invoice)| invoice.lines.iter().map(move |line| (*invoice, line))).collect();
    write_lines(connection, &lines).await
}

async fn write(connection: &mut PgConnection, documents: &[(&Recorded, &Invoice)]) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO invoices (tenant_id, id, subscription_id, number, status, currency, subtotal_minor, \
            tax_minor, total_minor, billed_at, revision, period_start, period_end, issue_date, due_date, finalized_at, \
            document, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], \
            $8::bigint[], $9::bigint[], $10::timestamptz[], $11::integer[], $12::timestamptz[], $13::timestamptz[], \
            $14::date[], $15::date[], $16::timestamptz[], $17::text[], $18::bigint[]) \
        ON CONFLICT (tenant_id, id) DO UPDATE SET subscription_id = excluded.subscription_id, number = excluded.number, \
            status = excluded.status, currency = excluded.currency, subtotal_minor = excluded.subtotal_minor, \
            tax_minor = excluded.tax_minor, total_minor = excluded.total_minor, billed_at = excluded.billed_at, \
            revision = excluded.revision, period_start = excluded.period_start, period_end = excluded.period_end, \
            issue_date = excluded.issue_date, due_date = excluded.due_date, finalized_at = excluded.finalized_at, \
            document = excluded.document, position = excluded.position";
    sqlx::query(WRITE)
        .bind(documents.iter().map(|(_, i)| i.tenant.as_str()).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.id.as_str()).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.subscription.as_ref().map(|id| id.as_str())).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.number.as_deref()).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.status.as_str()).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.currency.to_string()).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.subtotal.minor).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.tax.minor).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.total.minor).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.billed_at).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.revision as i32).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.period.start).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.period.end).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.issue_date).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.due_date).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.finalized_at).collect::<Vec<_>>())
        .bind(documents.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(documents.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// A document replaces its draft, whose lines may have been others.
async fn remove_lines(connection: &mut PgConnection, documents: &[(&Recorded, &Invoice)]) -> Result<(), DatabaseError> {
    const REMOVE: &str = "DELETE FROM invoice_lines l USING unnest($1::text[], $2::text[]) AS i(tenant_id, id) \
        WHERE l.tenant_id = i.tenant_id AND l.invoice_id = i.id";
    sqlx::query(REMOVE)
        .bind(documents.iter().map(|(_, i)| i.tenant.as_str()).collect::<Vec<_>>())
        .bind(documents.iter().map(|(_, i)| i.id.as_str()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_lines(connection: &mut PgConnection, lines: &[(&Invoice, &InvoiceLine)]) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO invoice_lines (tenant_id, invoice_id, line, kind, price_key, meter, period_start, \
            period_end, description, amount_minor, document) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], \
            $7::timestamptz[], $8::timestamptz[], $9::text[], $10::bigint[], $11::text[])";
    if lines.is_empty() {
        return Ok(());
    }
    let documents: Vec<String> = lines
        .iter()
        .map(|(_, line)| serde_json::to_string(line))
        .collect::<Result<_, _>>()
        .map_err(|source| DatabaseError::Document { table: "invoice_lines", source })?;
    sqlx::query(WRITE)
        .bind(lines.iter().map(|(i, _)| i.tenant.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|(i, _)| i.id.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|(_, l)| l.number as i32).collect::<Vec<_>>())
        .bind(lines.iter().map(|(_, l)| l.kind.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|(_, l)| l.price_key.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|(_, l)| l.lineage.meter.as_ref().map(|meter| meter.as_str())).collect::<Vec<_>>())
        .bind(lines.iter().map(|(_, l)| l.period.start).collect::<Vec<_>>())
        .bind(lines.iter().map(|(_, l)| l.period.end).collect::<Vec<_>>())
        .bind(lines.iter().map(|(_, l)| l.description.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|(_, l)| l.amount.minor).collect::<Vec<_>>())
        .bind(documents)
        .execute(connection)
        .await?;
    Ok(())
}
