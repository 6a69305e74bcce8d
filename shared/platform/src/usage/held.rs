//! What many periods held, for prices that weigh usage by time: the same events and cuts as
//! [`billed_usage`](super::billing::billed_usage), each by the seconds from it to the end of its span. Computed from events, not from
//! buckets: a bucket does not keep when inside it something happened.

use super::UsageError;
use super::billing::{Cut, UsageSpan};
use super::expressions;
use super::spans::SpanSet;
use crate::clickhouse::ClickHouse;
use std::collections::HashMap;
use talea_domain::meter::{Aggregation, MeterDefinition};
use talea_domain::quantity;
use talea_domain::rating::Held;

/// How many spans one statement carries; more go in several.
const SPANS_PER_STATEMENT: usize = 5_000;

/// What each span held, one answer per span, in their order. With `carry_over`, events before a span count for all of it.
///
/// # Errors
/// See [`UsageError`].
pub async fn billed_held(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    carry_over: bool,
    spans: &[UsageSpan],
    up_to: &Cut,
) -> Result<Vec<Held>, UsageError> {
    let mut answers = Vec::with_capacity(spans.len());
    for chunk in spans.chunks(SPANS_PER_STATEMENT) {
        let query = statement(meter, carry_over, &SpanSet::of(chunk, up_to));
        let rows = clickhouse.rows::<(u32, String)>(clickhouse.query(&query)).await?;
        let mut found: HashMap<u32, String> = rows.into_iter().collect();
        for span in chunk {
            answers.push(match found.remove(&span.key) {
                Some(text) => Held { carry_over, unit_seconds: quantity::from_clickhouse_str(&text)? },
                None => Held::new(carry_over),
            });
        }
    }
    Ok(answers)
}

/// An amount has 38 digits and a span's seconds 10: the products fit 76 digits.
fn statement(meter: &MeterDefinition, carry_over: bool, set: &SpanSet) -> String {
    let events = if carry_over { set.events_until(meter) } else { set.events(meter) };
    let (inside, metered) = (set.inside(), expressions::metered(meter));
    let seconds = |nanos: &str| format!("intDiv({nanos} - positiveModulo({nanos}, 1000000000), 1000000000)");
    let held = |from: &str| {
        let from = format!("greatest({from}, span_start)");
        format!("{} - {}", seconds("span_end"), seconds(&from))
    };
    let from_time = held("toUnixTimestamp64Nano(time)");
    match meter.aggregation {
        // A value is held from the first event that carries it.
        Aggregation::UniqueCount => format!(
            "SELECT span, toString(sum({held})) FROM (SELECT span, span_start, span_end, {value} AS value, \
             min(toUnixTimestamp64Nano(time)) AS first FROM ({events}) WHERE {inside} AND {metered} \
             GROUP BY span, span_start, span_end, value) GROUP BY span",
            held = held("first"),
            value = expressions::leaf(meter.field.as_deref().unwrap_or("")),
        ),
        Aggregation::Count => {
            format!("SELECT span, toString(sum({from_time})) FROM ({events}) WHERE {inside} GROUP BY span")
        }
        _ => format!(
            "SELECT span, toString(sum({} * ({from_time}))) FROM ({events}) WHERE {inside} AND {metered} GROUP BY span",
            expressions::number(meter),
        ),
    }
}
