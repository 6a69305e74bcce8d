//! `billed_periods`: the usage windows that are closed, each with the cut up to which it was last measured.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::journal::{JournalEvent, PeriodClosed};
use talea_domain::period::Period;

struct Window<'a> {
    closed: &'a PeriodClosed,
    period: Period,
    position: i64,
}

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let windows = recorded.iter().flat_map(|r| match &r.event {
        JournalEvent::PeriodClosed(closed) => windows(closed, r.position),
        _ => Vec::new(),
    });
    let windows = last_of_each(windows, |w| (&w.closed.tenant_id, &w.closed.subscription_id, w.period.start));
    write(connection, &windows).await
}

fn windows(closed: &PeriodClosed, position: i64) -> Vec<Window<'_>> {
    let periods = closed.closed.iter().chain(&closed.remeasured);
    periods.map(|period| Window { closed, period: *period, position }).collect()
}

async fn write(connection: &mut PgConnection, windows: &[Window<'_>]) -> Result<(), DatabaseError> {
    // An array of arrays must be a rectangle in Postgres; as text, each cut has its own length.
    const WRITE: &str = "INSERT INTO billed_periods (tenant_id, subscription_id, period_start, period_end, invoice_id, cut, \
            closed_at, position) \
        SELECT tenant_id, subscription_id, period_start, period_end, invoice_id, cut::bigint[], closed_at, position \
        FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], \
            $7::timestamptz[], $8::bigint[]) \
            AS w(tenant_id, subscription_id, period_start, period_end, invoice_id, cut, closed_at, position) \
        ON CONFLICT (tenant_id, subscription_id, period_start) DO UPDATE SET period_end = excluded.period_end, \
            invoice_id = excluded.invoice_id, cut = excluded.cut, closed_at = excluded.closed_at, \
            position = excluded.position";
    if windows.is_empty() {
        return Ok(());
    }
    sqlx::query(WRITE)
        .bind(windows.iter().map(|w| w.closed.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(windows.iter().map(|w| w.closed.subscription_id.as_str()).collect::<Vec<_>>())
        .bind(windows.iter().map(|w| w.period.start).collect::<Vec<_>>())
        .bind(windows.iter().map(|w| w.period.end).collect::<Vec<_>>())
        .bind(windows.iter().map(|w| w.closed.invoice_id.as_ref().map(|id| id.as_str())).collect::<Vec<_>>())
        .bind(windows.iter().map(|w| array(&w.closed.cut)).collect::<Vec<_>>())
        .bind(windows.iter().map(|w| w.closed.closed_at).collect::<Vec<_>>())
        .bind(windows.iter().map(|w| w.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// `{1,2,3}`.
fn array(cut: &[u64]) -> String {
    let offsets: Vec<String> = cut.iter().map(u64::to_string).collect();
    format!("{{{}}}", offsets.join(","))
}
