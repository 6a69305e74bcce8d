//! "How much did this tenant use?" The question, and its answer. Two paths answer equally: from events alone, and from buckets plus
//! events for what no bucket can answer.

use super::UsageError;
use super::plan::{AnswerRow, Duplicates, Plan};
use crate::clickhouse::ClickHouse;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use talea_domain::id::TenantId;
use talea_domain::meter::{MeterDefinition, WindowSize};
use talea_domain::period::Period;

/// The most windows of one question; `window_bounds` has the same limit.
pub const MAX_WINDOWS: usize = 10_000;
/// The most rows of one page.
pub const MAX_PAGE_ROWS: u32 = 100_000;

/// How the range is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// One window: the whole range.
    None,
    /// Calendar windows in a time zone.
    Size(WindowSize, Tz),
    /// Windows between these points, ascending; for example the bounds of billing periods.
    Bounds(Vec<DateTime<Utc>>),
}

/// Where the answer may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Buckets where they are valid, events for the rest.
    Auto,
    /// Events alone.
    RawOnly,
}

/// One question about one tenant and one meter.
#[derive(Debug, Clone)]
pub struct UsageQuery {
    pub tenant: TenantId,
    pub meter: MeterDefinition,
    /// Half-open.
    pub range: Period,
    pub window: Window,
    /// (dimension's name, allowed values); all must match. A missing dimension is ''.
    pub filters: Vec<(String, Vec<String>)>,
    /// Names of dimensions, at most five.
    pub group_by: Vec<String>,
    pub source: Source,
    pub page: UsagePage,
}

/// A page of the answer: rows after a key, in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePage {
    /// The last row of the page before: its `window_start` and `group`.
    pub after: Option<(DateTime<Utc>, Vec<String>)>,
    pub limit: u32,
}

impl Default for UsagePage {
    fn default() -> Self {
        Self { after: None, limit: MAX_PAGE_ROWS }
    }
}

/// Usage of one window and group. Windows and groups without a matching event have no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// Clipped to the range.
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    /// Values of the `group_by` dimensions, in that order.
    pub group: Vec<String>,
    /// None when the aggregation has no value over no metered events (max, min, avg, latest).
    pub value: Option<Decimal>,
    /// Metered events.
    pub count: u64,
    /// Events of the meter's type and filters that it cannot read a value from.
    pub unmetered: u64,
}

/// Answers the question; rows sorted by window, then group. `dirty` are the starts of the tenant's changed buckets for the meter's
/// event type (at least those in the range); `RawOnly` ignores them.
///
/// # Errors
/// [`UsageError::Field`] when the question names something that the meter does not have, or cuts the range too fine.
pub async fn usage(
    clickhouse: &ClickHouse,
    dirty: &[DateTime<Utc>],
    query: &UsageQuery,
) -> Result<Vec<UsageRow>, UsageError> {
    let plan = Plan::of(query, dirty)?;
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    let ask = |text: String| clickhouse.rows::<AnswerRow>(clickhouse.tenant_query(&query.tenant, &text));
    let mut rows = ask(plan.sql(query, Duplicates::Trust)).await?;
    let (stored, distinct) = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.rows, sum.1 + row.distinct));
    if stored != distinct {
        tracing::error!(
            tenant.id = query.tenant.as_str(),
            meter.key = query.meter.key.as_str(),
            usage.rows = stored,
            usage.records = distinct,
            "records are stored more than once; counted once here"
        );
        rows = ask(plan.sql(query, Duplicates::Collapse)).await?;
    }
    rows.into_iter().map(|row| plan.row(query, row)).collect()
}
