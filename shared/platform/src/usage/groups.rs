//! Usage of many periods by dimension, for prices that depend on it: the same events, cuts and digests as
//! [`billed_usage`](super::billing::billed_usage), split.

use super::UsageError;
use super::billing::{Cut, UsageSpan};
use super::expressions;
use super::spans::SpanSet;
use super::value::value_of;
use crate::clickhouse::ClickHouse;
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::HashMap;
use talea_domain::error::FieldError;
use talea_domain::meter::MeterDefinition;
use talea_domain::rating::UsageGroup;

/// The most combinations of values in one span: each is a row that rating looks at. A dimension with more is an identifier, and no
/// price is written by it.
pub const MAX_GROUPS: usize = 10_000;
/// How many spans one statement carries: fewer than of whole usage, since each answers with many rows.
const SPANS_PER_STATEMENT: usize = 500;

/// The usage of one span by dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BilledGroups {
    /// Those with a metered event, in the order of their values.
    Groups(Vec<UsageGroup>),
    /// More than [`MAX_GROUPS`].
    TooMany,
}

#[derive(Row, Deserialize)]
struct GroupRow {
    span: u32,
    values: Vec<String>,
    count_n: u64,
    amount: String,
}

/// The usage of each span by the named dimensions, one answer per span, in their order.
///
/// # Errors
/// [`UsageError::Field`] when the meter has no such dimension.
pub async fn billed_groups(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    dimensions: &[&str],
    spans: &[UsageSpan],
    up_to: &Cut,
) -> Result<Vec<BilledGroups>, UsageError> {
    let places = dimensions.iter().map(|name| place(meter, name)).collect::<Result<Vec<_>, _>>()?;
    let mut answers = Vec::with_capacity(spans.len());
    for chunk in spans.chunks(SPANS_PER_STATEMENT) {
        let query = statement(meter, &places, &SpanSet::of(chunk, up_to));
        let mut found: HashMap<u32, Vec<UsageGroup>> = HashMap::with_capacity(chunk.len());
        for row in clickhouse.rows::<GroupRow>(clickhouse.query(&query)).await? {
            let quantity = value_of(meter.aggregation, row.count_n, &row.amount)?.unwrap_or_default();
            let values = dimensions.iter().map(|name| (*name).to_owned()).zip(row.values).collect();
            found.entry(row.span).or_default().push(UsageGroup { values, quantity });
        }
        answers.extend(chunk.iter().map(|span| match found.remove(&span.key).unwrap_or_default() {
            groups if groups.len() > MAX_GROUPS => BilledGroups::TooMany,
            groups => BilledGroups::Groups(groups),
        }));
    }
    Ok(answers)
}

fn place(meter: &MeterDefinition, name: &str) -> Result<usize, FieldError> {
    meter.dimensions.iter().position(|dimension| dimension.name == *name).ok_or_else(|| {
        let reason = format!("version {} of meter {} has no dimension {name}", meter.version, meter.key);
        FieldError::new("dimensions", reason, "define a version of the meter that has it")
    })
}

fn statement(meter: &MeterDefinition, places: &[usize], set: &SpanSet) -> String {
    format!(
        "SELECT span, g AS values, sum(n) AS count_n, {amount} AS amount FROM ( \
         SELECT span, {dimensions} AS g, {partial} FROM ({events}) WHERE {inside} GROUP BY span, g) \
         GROUP BY span, g HAVING count_n > 0 ORDER BY span, g LIMIT {most} BY span",
        amount = expressions::final_amount(meter.aggregation),
        dimensions = expressions::dimensions(meter, places),
        partial = expressions::partial_columns(meter),
        events = set.events(meter),
        inside = set.inside(),
        most = MAX_GROUPS + 1,
    )
}
