//! A meter as SQL: the one place where its meaning is written for ClickHouse. It says what `MeterDefinition::read` says in Rust, and
//! a property test holds the two together.
//!
//! Values come from the maps of an event, never from JSON functions, and no expression yields a float.

use crate::clickhouse::sql;
use talea_domain::meter::{Aggregation, MeterDefinition};

/// Length of a bucket in nanoseconds.
pub(super) const BUCKET_NANOS: i64 = talea_domain::meter::BUCKET_SECONDS * 1_000_000_000;

/// The text form of a leaf: a text as it is, a number in its canonical form, '' when there is none.
pub(super) fn leaf(pointer: &str) -> String {
    let key = sql::text(pointer);
    format!("if(mapContains(numbers, {key}), toString(numbers[{key}]), texts[{key}])")
}

fn has_leaf(pointer: &str) -> String {
    let key = sql::text(pointer);
    format!("(mapContains(numbers, {key}) OR mapContains(texts, {key}))")
}

/// Whether an event is the meter's: its type and its filters match.
pub(super) fn matches(meter: &MeterDefinition) -> String {
    let mut conditions = vec![format!("event_type = {}", sql::text(&meter.event_type))];
    for filter in &meter.filters {
        let allowed = sql::text_set(filter.one_of.iter().map(String::as_str));
        conditions.push(format!("{} AND {} IN {allowed}", has_leaf(&filter.field), leaf(&filter.field)));
    }
    conditions.join(" AND ")
}

/// The meter's dimensions at these places, as one array. A missing one is ''.
pub(super) fn dimensions(meter: &MeterDefinition, places: &[usize]) -> String {
    let leaves: Vec<String> = places.iter().map(|place| leaf(&meter.dimensions[*place].field)).collect();
    text_array(&leaves)
}

/// An array of text expressions; typed, so that an empty one is an `Array(String)` too.
pub(super) fn text_array(expressions: &[String]) -> String {
    if expressions.is_empty() { "emptyArrayString()".to_owned() } else { format!("[{}]", expressions.join(", ")) }
}

/// Whether the meter can read a value from the event; else the event is unmetered.
pub(super) fn metered(meter: &MeterDefinition) -> String {
    let field = meter.field.as_deref().unwrap_or("");
    match meter.aggregation {
        Aggregation::Count => "1".to_owned(),
        Aggregation::UniqueCount => has_leaf(field),
        _ => format!("mapContains(numbers, {})", sql::text(field)),
    }
}

/// The number that the meter reads from an event, wide enough for sums and products.
pub(super) fn number(meter: &MeterDefinition) -> String {
    format!("toDecimal256(numbers[{}], 18)", sql::text(meter.field.as_deref().unwrap_or("")))
}

/// What an aggregation keeps of a group, as columns that can be combined again. Always `n` (metered events) and `u` (unmetered);
/// then `a`, `Decimal(76, 18)`: the sum or the extreme; for the latest `l`, (time, identity, value); for different values `q`, the set.
pub(super) fn partial_columns(meter: &MeterDefinition) -> String {
    partial_columns_of(meter, &metered(meter))
}

/// The same, with another condition for what is metered.
pub(super) fn partial_columns_of(meter: &MeterDefinition, metered: &str) -> String {
    let field = meter.field.as_deref().unwrap_or("");
    let (number, wide) = (format!("numbers[{}]", sql::text(field)), number(meter));
    let special = match meter.aggregation {
        Aggregation::Count => String::new(),
        Aggregation::Sum | Aggregation::Avg => format!(", sumIf({wide}, {metered}) AS a"),
        Aggregation::Max => format!(", toDecimal256(maxIf({number}, {metered}), 18) AS a"),
        Aggregation::Min => format!(", toDecimal256(minIf({number}, {metered}), 18) AS a"),
        Aggregation::Latest => {
            format!(", maxIf((time, identity, {wide}), {metered}) AS l")
        }
        Aggregation::UniqueCount => format!(", groupUniqArrayIf({}, {metered}) AS q", leaf(field)),
    };
    format!("countIf({metered}) AS n, countIf(NOT {metered}) AS u{special}")
}

/// Combines the groups of bucket rows, unrolled by [`bucket_arrays`], into the columns of [`partial_columns`].
/// Sets of different values are not combined here: every row keeps its own.
pub(super) fn merge_columns(aggregation: Aggregation) -> &'static str {
    match aggregation {
        Aggregation::Count => "sum(bn) AS n, sum(bu) AS u",
        Aggregation::Sum | Aggregation::Avg => "sum(bn) AS n, sum(bu) AS u, sum(ba) AS a",
        Aggregation::Max => "sum(bn) AS n, sum(bu) AS u, maxIf(ba, bn > 0) AS a",
        Aggregation::Min => "sum(bn) AS n, sum(bu) AS u, minIf(ba, bn > 0) AS a",
        Aggregation::Latest => "sum(bn) AS n, sum(bu) AS u, maxIf((bt, bi, ba), bn > 0) AS l",
        Aggregation::UniqueCount => "bn AS n, bu AS u, bq AS q",
    }
}

/// The arrays of a bucket row that the aggregation uses, unrolled side by side under the names that [`merge_columns`] reads.
pub(super) fn bucket_arrays(aggregation: Aggregation) -> &'static str {
    match aggregation {
        Aggregation::Count => "groups AS bg, counts AS bn, unmetered AS bu",
        Aggregation::Sum | Aggregation::Avg | Aggregation::Max | Aggregation::Min => {
            "groups AS bg, counts AS bn, unmetered AS bu, amounts AS ba"
        }
        Aggregation::Latest => {
            "groups AS bg, counts AS bn, unmetered AS bu, amounts AS ba, latest_times AS bt, latest_identities AS bi"
        }
        Aggregation::UniqueCount => "groups AS bg, counts AS bn, unmetered AS bu, uniques AS bq",
    }
}

/// The final amount over partial rows, as text: see `value::value_of`.
pub(super) fn final_amount(aggregation: Aggregation) -> &'static str {
    match aggregation {
        Aggregation::Count => "''",
        Aggregation::Sum | Aggregation::Avg => "toString(sum(a))",
        Aggregation::Max => "toString(maxIf(a, n > 0))",
        Aggregation::Min => "toString(minIf(a, n > 0))",
        Aggregation::Latest => "toString(tupleElement(maxIf(l, n > 0), 3))",
        Aggregation::UniqueCount => "toString(uniqExactArray(q))",
    }
}

/// The start of the event's bucket in nanoseconds since 1970. Plain integers: right before 1970 and after 2106 too, and independent
/// of the server's time zones.
pub(super) fn bucket_nanos() -> String {
    let nanos = "toUnixTimestamp64Nano(time)";
    format!("({nanos} - positiveModulo({nanos}, {BUCKET_NANOS}))")
}
