//! Transactions of many periods told apart by size, for prices that bound the fee of each: the same events and cuts as
//! [`billed_usage`](super::billing::billed_usage), in three sums.

use super::UsageError;
use super::billing::{Cut, UsageSpan};
use super::expressions;
use super::spans::SpanSet;
use crate::clickhouse::{ClickHouse, sql};
use ::clickhouse::Row;
use rust_decimal::Decimal;
use serde::Deserialize;
use std::collections::HashMap;
use talea_domain::meter::MeterDefinition;
use talea_domain::quantity;
use talea_domain::rating::{SplitTerms, TransactionSplit, Transactions};

/// How many spans one statement carries; more go in several.
const SPANS_PER_STATEMENT: usize = 5_000;

#[derive(Row, Deserialize)]
struct SplitRow {
    span: u32,
    part: u8,
    count_n: u64,
    amount: String,
}

/// The transactions of each span told apart by the terms, one answer per span, in their order.
///
/// # Errors
/// See [`UsageError`].
pub async fn billed_splits(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    terms: SplitTerms,
    spans: &[UsageSpan],
    up_to: &Cut,
) -> Result<Vec<TransactionSplit>, UsageError> {
    let mut answers = Vec::with_capacity(spans.len());
    for chunk in spans.chunks(SPANS_PER_STATEMENT) {
        let query = statement(meter, terms, &SpanSet::of(chunk, up_to));
        let mut found: HashMap<u32, TransactionSplit> = HashMap::with_capacity(chunk.len());
        for row in clickhouse.rows::<SplitRow>(clickhouse.query(&query)).await? {
            let split = found.entry(row.span).or_insert_with(|| TransactionSplit::new(terms));
            let amount = quantity::from_clickhouse_str(&row.amount)?;
            let part = match row.part {
                0 => &mut split.low,
                1 => &mut split.middle,
                _ => &mut split.high,
            };
            *part = Transactions { count: row.count_n, amount };
        }
        answers.extend(chunk.iter().map(|span| found.remove(&span.key).unwrap_or(TransactionSplit::new(terms))));
    }
    Ok(answers)
}

/// Amounts have 18 decimals and 38 digits, rates 18 of each: the products have 36 decimals and fit 76 digits.
fn statement(meter: &MeterDefinition, terms: SplitTerms, set: &SpanSet) -> String {
    let amount = expressions::number(meter);
    let is_beyond = |bound: Option<Decimal>, comparison| match bound {
        Some(bound) => format!(
            "({amount} >= 0 AND {amount} * toDecimal256({}, 18) {comparison} toDecimal256({}, 18))",
            sql::text(&terms.rate_percent.to_string()),
            sql::text(&bound.to_string()),
        ),
        None => "0".to_owned(),
    };
    format!(
        "SELECT span, toUInt8(multiIf({low}, 0, {high}, 2, 1)) AS part, count() AS count_n, toString(sum({amount})) AS amount \
         FROM ({events}) WHERE {inside} AND {metered} GROUP BY span, part",
        low = is_beyond(terms.low, "<"),
        high = is_beyond(terms.high, ">"),
        events = set.events(meter),
        inside = set.inside(),
        metered = expressions::metered(meter),
    )
}
