//! What was billed: the closed periods of a page of subscriptions, each with the cut up to which it was measured, and the
//! issued lines about it.

use crate::run::issued_lines;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use talea_domain::id::{PlanKey, SubscriptionId, TenantId};
use talea_domain::invoice::InvoiceLine;
use talea_domain::period::{Interval, Period};
use talea_domain::subscription::{ServedPeriod, Subscription};
use talea_platform::http::Problem;
use talea_platform::usage::billing::Cut;

/// The most subscriptions of one page.
pub const MAX_SUBSCRIPTIONS: u32 = 500;
/// The most periods of one page: each is measured and rated, and answered with its lines.
const MAX_PERIODS: usize = 10_000;

/// Whose periods, and which page of them.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub tenant: Option<TenantId>,
    pub plan: Option<PlanKey>,
    /// Periods that begin then or later,
    pub from: DateTime<Utc>,
    /// and end then or earlier.
    pub to: DateTime<Utc>,
    pub limit: u32,
    /// The last subscription of the page before.
    pub after: Option<(TenantId, SubscriptionId)>,
}

pub(super) struct HistoryPage {
    pub subscriptions: Vec<Past>,
    /// Subscriptions up to the end of this page, and of all pages.
    pub done: i64,
    pub total: i64,
    pub has_more: bool,
}

pub(super) struct Past {
    pub subscription: Subscription,
    pub periods: Vec<PastPeriod>,
}

pub(super) struct PastPeriod {
    pub period: ServedPeriod,
    /// By which its plan billed then.
    pub interval: Interval,
    pub cut: Cut,
    pub lines: Vec<InvoiceLine>,
}

pub(super) async fn page(connection: &mut PgConnection, chosen: &Chosen) -> Result<HistoryPage, Problem> {
    let mut subscriptions = subscriptions(connection, chosen).await?;
    let has_more = subscriptions.len() > chosen.limit as usize;
    subscriptions.truncate(chosen.limit as usize);
    let windows = windows(connection, chosen, &subscriptions).await?;
    let mut past: Vec<Past> =
        subscriptions.into_iter().map(|subscription| Past { subscription, periods: Vec::new() }).collect();
    for (index, window, cut) in windows {
        past[index].enter(window, cut).map_err(Problem::internal)?;
    }
    add_lines(connection, &mut past).await?;
    let (done, total) = progress(connection, chosen, past.last()).await?;
    Ok(HistoryPage { subscriptions: past, done, total, has_more })
}

/// Subscriptions with a closed period in the range, and one more than asked for where there is one.
async fn subscriptions(connection: &mut PgConnection, chosen: &Chosen) -> Result<Vec<Subscription>, Problem> {
    const PAGE: &str = "SELECT s.document FROM subscriptions s \
        WHERE ($1::text IS NULL OR s.tenant_id = $1) AND ($2::text IS NULL OR s.plan_key = $2) \
            AND (s.tenant_id, s.id) > ($5, $6) \
            AND EXISTS (SELECT FROM billed_periods b WHERE b.tenant_id = s.tenant_id AND b.subscription_id = s.id \
                AND b.period_start >= $3 AND b.period_end <= $4) \
        ORDER BY s.tenant_id, s.id LIMIT $7";
    let (tenant, id) = chosen.after.as_ref().map_or(("", ""), |(tenant, id)| (tenant.as_str(), id.as_str()));
    let documents: Vec<String> = sqlx::query_scalar(PAGE)
        .bind(chosen.tenant.as_ref().map(TenantId::as_str))
        .bind(chosen.plan.as_ref().map(PlanKey::as_str))
        .bind(chosen.from)
        .bind(chosen.to)
        .bind(tenant)
        .bind(id)
        .bind(i64::from(chosen.limit) + 1)
        .fetch_all(connection)
        .await
        .map_err(Problem::internal)?;
    documents.iter().map(|document| serde_json::from_str(document).map_err(Problem::internal)).collect()
}

async fn windows(
    connection: &mut PgConnection,
    chosen: &Chosen,
    subscriptions: &[Subscription],
) -> Result<Vec<(usize, Period, Cut)>, Problem> {
    const WINDOWS: &str = "SELECT k.place - 1, b.period_start, b.period_end, b.cut \
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(tenant_id, subscription_id, place) \
        JOIN billed_periods b USING (tenant_id, subscription_id) \
        WHERE b.period_start >= $3 AND b.period_end <= $4 ORDER BY k.place, b.period_start LIMIT $5";
    type Row = (i64, DateTime<Utc>, DateTime<Utc>, Vec<i64>);
    let rows: Vec<Row> = sqlx::query_as(WINDOWS)
        .bind(subscriptions.iter().map(|subscription| subscription.tenant.as_str()).collect::<Vec<_>>())
        .bind(subscriptions.iter().map(|subscription| subscription.id.as_str()).collect::<Vec<_>>())
        .bind(chosen.from)
        .bind(chosen.to)
        .bind(MAX_PERIODS as i64 + 1)
        .fetch_all(connection)
        .await
        .map_err(Problem::internal)?;
    if rows.len() > MAX_PERIODS {
        let detail = format!("a page may hold {MAX_PERIODS} periods; ask for a lower limit, or for a shorter span");
        return Err(Problem::unprocessable(detail));
    }
    let window = |(index, start, end, cut): Row| -> Result<_, std::num::TryFromIntError> {
        let cut = cut.into_iter().map(u64::try_from).collect::<Result<_, _>>()?;
        Ok((usize::try_from(index)?, Period::new(start, end), Cut(cut)))
    };
    rows.into_iter().map(window).collect::<Result<_, _>>().map_err(Problem::internal)
}

impl Past {
    /// Windows of one billing period are compared together, inside the cut of the last.
    fn enter(&mut self, served: Period, cut: Cut) -> Result<(), talea_domain::period::PeriodError> {
        let Some(ServedPeriod { full, .. }) = self.subscription.period_at(served.start)? else {
            // It was closed, and a change has taken it away since.
            return Ok(());
        };
        match self.periods.last_mut().filter(|last| last.period.full == full) {
            Some(last) => {
                last.period.served.end = served.end;
                last.cut = cut;
            }
            None => {
                let interval = self.subscription.anchor_at(served.start)?.interval;
                let period = ServedPeriod { full, served };
                self.periods.push(PastPeriod { period, interval, cut, lines: Vec::new() });
            }
        }
        Ok(())
    }
}

async fn add_lines(connection: &mut PgConnection, past: &mut [Past]) -> Result<(), Problem> {
    let stretches: Vec<(&TenantId, &SubscriptionId, Period)> = past
        .iter()
        .flat_map(|past| {
            past.periods.iter().map(|it| (&past.subscription.tenant, &past.subscription.id, it.period.full))
        })
        .collect();
    let lines = issued_lines(connection, &stretches).await?;
    for (period, lines) in past.iter_mut().flat_map(|past| &mut past.periods).zip(lines) {
        period.lines = lines;
    }
    Ok(())
}

/// Subscriptions up to the last one of this page, and all of them.
async fn progress(connection: &mut PgConnection, chosen: &Chosen, last: Option<&Past>) -> Result<(i64, i64), Problem> {
    const COUNT: &str = "SELECT count(*) FILTER (WHERE $5::text IS NULL OR (s.tenant_id, s.id) <= ($5, $6)), count(*) \
        FROM subscriptions s WHERE ($1::text IS NULL OR s.tenant_id = $1) AND ($2::text IS NULL OR s.plan_key = $2) \
            AND EXISTS (SELECT FROM billed_periods b WHERE b.tenant_id = s.tenant_id AND b.subscription_id = s.id \
                AND b.period_start >= $3 AND b.period_end <= $4)";
    sqlx::query_as(COUNT)
        .bind(chosen.tenant.as_ref().map(TenantId::as_str))
        .bind(chosen.plan.as_ref().map(PlanKey::as_str))
        .bind(chosen.from)
        .bind(chosen.to)
        .bind(last.map(|past| past.subscription.tenant.as_str()))
        .bind(last.map(|past| past.subscription.id.as_str()))
        .fetch_one(connection)
        .await
        .map_err(Problem::internal)
}
