//! What was billed before: closed usage windows with their cuts, the lines of issued invoices, and the parties they go to.
//! Each is one query for any number of subscriptions.

use super::Candidate;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap, HashSet};
use talea_domain::id::{InvoiceId, MeterKey, SubscriptionId, TenantId};
use talea_domain::invoice::{BilledLine, InvoiceLine, TaxRow};
use talea_domain::party::Party;
use talea_domain::period::Period;
use talea_platform::usage::billing::Cut;

/// A usage window that is closed.
#[derive(Debug, Clone)]
pub struct ClosedWindow {
    pub period: Period,
    /// How far it was measured.
    pub cut: Cut,
    /// By which version of a meter it was billed, where that matters.
    pub versions: BTreeMap<MeterKey, u32>,
}

fn tenants(candidates: &[Candidate]) -> Vec<&str> {
    candidates.iter().map(|candidate| candidate.subscription.tenant.as_str()).collect()
}

fn subscriptions(candidates: &[Candidate]) -> Vec<&str> {
    candidates.iter().map(|candidate| candidate.subscription.id.as_str()).collect()
}

/// The closed windows of each candidate, in order.
pub async fn closed_windows(
    connection: &mut PgConnection,
    candidates: &[Candidate],
    with_versions: bool,
) -> anyhow::Result<Vec<Vec<ClosedWindow>>> {
    const WINDOWS: &str = "SELECT k.place, b.period_start, b.period_end, b.cut \
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(tenant_id, subscription_id, place) \
        JOIN billed_periods b USING (tenant_id, subscription_id) ORDER BY k.place, b.period_start";
    type Row = (i64, DateTime<Utc>, DateTime<Utc>, Vec<i64>);
    let rows: Vec<Row> = sqlx::query_as(WINDOWS)
        .bind(tenants(candidates))
        .bind(subscriptions(candidates))
        .fetch_all(&mut *connection)
        .await?;
    let versions = if with_versions { versions(connection, candidates).await? } else { HashMap::new() };
    let mut windows: Vec<Vec<ClosedWindow>> = vec![Vec::new(); candidates.len()];
    for (place, start, end, cut) in rows {
        let index = index(place)?;
        let cut = cut.into_iter().map(u64::try_from).collect::<Result<_, _>>()?;
        let period = Period::new(start, end);
        // A price that began inside the period has lines that begin there too.
        let inside = versions.get(&index).into_iter().flatten().filter(|(line, ..)| period.contains(*line));
        let versions = inside.map(|(_, meter, version)| (meter.clone(), *version)).collect();
        windows[index].push(ClosedWindow { period, cut: Cut(cut), versions });
    }
    Ok(windows)
}

/// Versions of meters by candidate, each with the start of the lines that were issued by it, in rising order.
async fn versions(
    connection: &mut PgConnection,
    candidates: &[Candidate],
) -> anyhow::Result<HashMap<usize, Vec<(DateTime<Utc>, MeterKey, u32)>>> {
    const VERSIONS: &str = "SELECT k.place, l.period_start, l.meter, \
            max((l.document::json -> 'lineage' ->> 'meter_version')::bigint) AS version \
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(tenant_id, subscription_id, place) \
        JOIN invoices i USING (tenant_id, subscription_id) \
        JOIN invoice_lines l ON l.tenant_id = i.tenant_id AND l.invoice_id = i.id \
        WHERE i.status = 'finalized' AND l.meter IS NOT NULL GROUP BY k.place, l.period_start, l.meter \
        ORDER BY k.place, version";
    let rows: Vec<(i64, DateTime<Utc>, String, Option<i64>)> = sqlx::query_as(VERSIONS)
        .bind(tenants(candidates))
        .bind(subscriptions(candidates))
        .fetch_all(connection)
        .await?;
    let mut versions: HashMap<_, Vec<_>> = HashMap::new();
    for (place, start, meter, version) in rows {
        if let Some(version) = version {
            let of_candidate = versions.entry(index(place)?).or_default();
            of_candidate.push((start, MeterKey::parse(&meter)?, u32::try_from(version)?));
        }
    }
    Ok(versions)
}

/// A stretch of time whose earlier lines a document must know.
pub struct Stretch {
    /// Which candidate.
    pub index: usize,
    pub period: Period,
}

/// The issued lines of each candidate inside its stretches, in the order in which they were issued.
pub async fn billed_lines(
    connection: &mut PgConnection,
    candidates: &[Candidate],
    stretches: &[Stretch],
) -> anyhow::Result<Vec<Vec<BilledLine>>> {
    let places = stretches.iter().map(|stretch| {
        let subscription = &candidates[stretch.index].subscription;
        (stretch.index, &subscription.tenant, &subscription.id, stretch.period)
    });
    let lines = lines_inside(connection, candidates.len(), &places.collect::<Vec<_>>()).await?;
    let billed = |(line, taxes): &(InvoiceLine, Vec<TaxRow>)| BilledLine::taxed(line, taxes);
    Ok(lines.iter().map(|lines| lines.iter().filter_map(billed).collect()).collect())
}

/// The issued lines inside each stretch of a subscription, in the order in which they were issued.
pub async fn issued_lines(
    connection: &mut PgConnection,
    stretches: &[(&TenantId, &SubscriptionId, Period)],
) -> anyhow::Result<Vec<Vec<InvoiceLine>>> {
    let places = stretches.iter().enumerate();
    let places = places.map(|(place, (tenant, subscription, period))| (place, *tenant, *subscription, *period));
    let lines = lines_inside(connection, stretches.len(), &places.collect::<Vec<_>>()).await?;
    Ok(lines.into_iter().map(|lines| lines.into_iter().map(|(line, _)| line).collect()).collect())
}

/// The issued lines of each of `count` places, inside any of its stretches, each with the tax rows of its invoice.
async fn lines_inside(
    connection: &mut PgConnection,
    count: usize,
    stretches: &[(usize, &TenantId, &SubscriptionId, Period)],
) -> anyhow::Result<Vec<Vec<(InvoiceLine, Vec<TaxRow>)>>> {
    const LINES: &str = "SELECT DISTINCT ON (k.place, i.billed_at, i.revision, l.invoice_id, l.line) k.place, l.document, \
            (i.document::json -> 'taxes')::text AS taxes \
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]) \
            AS k(place, tenant_id, subscription_id, period_start, period_end) \
        JOIN invoices i USING (tenant_id, subscription_id) \
        JOIN invoice_lines l ON l.tenant_id = i.tenant_id AND l.invoice_id = i.id \
            AND l.period_start >= k.period_start AND l.period_end <= k.period_end \
        WHERE i.status = 'finalized' AND NOT EXISTS (SELECT FROM invoice_states v WHERE v.tenant_id = i.tenant_id \
            AND v.invoice_id = i.id AND v.stage = 'voided') ORDER BY k.place, i.billed_at, i.revision, l.invoice_id, l.line";
    let mut lines = vec![Vec::new(); count];
    if stretches.is_empty() {
        return Ok(lines);
    }
    let rows: Vec<(i64, String, Option<String>)> = sqlx::query_as(LINES)
        .bind(stretches.iter().map(|(place, ..)| *place as i64 + 1).collect::<Vec<_>>())
        .bind(stretches.iter().map(|(_, tenant, ..)| tenant.as_str()).collect::<Vec<_>>())
        .bind(stretches.iter().map(|(_, _, subscription, _)| subscription.as_str()).collect::<Vec<_>>())
        .bind(stretches.iter().map(|(.., period)| period.start).collect::<Vec<_>>())
        .bind(stretches.iter().map(|(.., period)| period.end).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    for (place, document, taxes) in rows {
        let taxes = taxes.map(|taxes| serde_json::from_str(&taxes)).transpose()?.unwrap_or_default();
        lines[index(place)?].push((serde_json::from_str(&document)?, taxes));
    }
    Ok(lines)
}

/// The newest party of each tenant. One that is not there, or was erased, is known by the tenant's id alone.
pub async fn parties(connection: &mut PgConnection, tenants: &[&str]) -> anyhow::Result<HashMap<TenantId, Party>> {
    const PARTIES: &str = "SELECT DISTINCT ON (tenant_id) tenant_id, document FROM party WHERE tenant_id = ANY($1) \
        ORDER BY tenant_id, version DESC";
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(PARTIES).bind(tenants).fetch_all(connection).await?;
    let mut parties = HashMap::new();
    for (tenant, document) in rows {
        if let Some(document) = document {
            parties.insert(TenantId::parse(&tenant)?, serde_json::from_str(&document)?);
        }
    }
    Ok(parties)
}

/// Which of these invoices are there, as drafts or issued.
pub async fn existing<'a>(
    connection: &mut PgConnection,
    invoices: impl IntoIterator<Item = (&'a TenantId, &'a InvoiceId)>,
) -> anyhow::Result<HashSet<(TenantId, InvoiceId)>> {
    const EXISTING: &str = "SELECT i.tenant_id, i.id FROM unnest($1::text[], $2::text[]) AS k(tenant_id, id) \
        JOIN invoices i USING (tenant_id, id)";
    let (tenants, ids): (Vec<&str>, Vec<&str>) =
        invoices.into_iter().map(|(tenant, id)| (tenant.as_str(), id.as_str())).unzip();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<(String, String)> = sqlx::query_as(EXISTING).bind(tenants).bind(ids).fetch_all(connection).await?;
    rows.into_iter().map(|(tenant, id)| Ok((TenantId::parse(&tenant)?, InvoiceId::parse(&id)?))).collect()
}

/// From Postgres' ordinality, which counts from 1.
fn index(place: i64) -> anyhow::Result<usize> {
    Ok(usize::try_from(place - 1)?)
}
