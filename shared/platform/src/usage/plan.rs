//! A usage query as SQL: which windows, what from buckets, what from events, and one statement that puts the two together.
//!
//! Borders of windows are computed in Rust and given to ClickHouse as integers, so its own time zone data is never used.

use super::UsageError;
use super::expressions::{self, BUCKET_NANOS};
use super::query::{MAX_PAGE_ROWS, MAX_WINDOWS, Source, UsageQuery, UsageRow, Window};
use super::ranges::{self, Stretch};
use super::value::value_of;
use super::voids;
use crate::clickhouse::sql;
use ::clickhouse::Row;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use talea_domain::error::FieldError;
use talea_domain::meter::{Aggregation, MeterDefinition, window_bounds};

/// One row of the answer as ClickHouse gives it.
#[derive(Row, Deserialize)]
pub(super) struct AnswerRow {
    w: i64,
    g: Vec<String>,
    count_n: u64,
    count_u: u64,
    amount: String,
    /// Rows read from events, and the records behind them: equal, or a record was stored twice.
    pub(super) rows: u64,
    pub(super) distinct: u64,
}

/// Whether the table is trusted to hold each record once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    Trust,
    Collapse,
}

/// A checked question: borders of its windows, what is read from events, and where its dimensions stand.
pub(super) struct Plan {
    /// Ascending, the ends of the range first and last; empty when the range is empty.
    borders: Vec<i64>,
    raw: Vec<Stretch>,
    group_places: Vec<usize>,
    /// (place of the dimension, allowed values).
    filters: Vec<(usize, Vec<String>)>,
}

impl Plan {
    pub(super) fn of(query: &UsageQuery, dirty: &[DateTime<Utc>]) -> Result<Self, UsageError> {
        let place = |field: &str, name: &String| place_of(&query.meter, field, name);
        let group_places = query.group_by.iter().map(|name| place("group_by", name)).collect::<Result<Vec<_>, _>>()?;
        refuse_repeats(&query.group_by)?;
        let filters = query
            .filters
            .iter()
            .map(|(name, values)| Ok((place("filters", name)?, values.clone())))
            .collect::<Result<Vec<_>, FieldError>>()?;
        let borders = borders(query)?;
        let raw = match (query.source, borders.first(), borders.last()) {
            (Source::RawOnly, Some(first), Some(last)) => vec![(*first, *last)],
            _ => ranges::raw_stretches(&borders, dirty),
        };
        Ok(Self { borders, raw, group_places, filters })
    }

    /// Whether the range holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.borders.len() < 2
    }

    fn range(&self) -> Stretch {
        (self.borders[0], self.borders[self.borders.len() - 1])
    }

    pub(super) fn sql(&self, query: &UsageQuery, duplicates: Duplicates) -> String {
        let (start, end) = self.range();
        let mut parts = Vec::new();
        if !self.raw.is_empty() {
            parts.push(self.raw_sql(query, duplicates));
        }
        if !self.raw.iter().any(|(from, to)| *from <= start && end <= *to) {
            parts.push(self.bucket_sql(query));
        }
        let after = match &query.page.after {
            Some((window, group)) => format!(
                " HAVING (w, g) > (toInt64({}), {})",
                sql::nanos(*window),
                expressions::text_array(&group.iter().map(|value| sql::text(value)).collect::<Vec<_>>())
            ),
            None => String::new(),
        };
        format!(
            "SELECT w, g, sum(n) AS count_n, sum(u) AS count_u, {} AS amount, sum(r) AS rows, sum(d) AS distinct \
             FROM ({}) GROUP BY w, g{after} ORDER BY w, g LIMIT {}",
            expressions::final_amount(query.meter.aggregation),
            parts.join(" UNION ALL "),
            query.page.limit.clamp(1, MAX_PAGE_ROWS)
        )
    }

    fn raw_sql(&self, query: &UsageQuery, duplicates: Duplicates) -> String {
        let (start, end) = self.range();
        let filters: String = self
            .filters
            .iter()
            .map(|(place, values)| {
                let allowed = sql::text_set(values.iter().map(String::as_str));
                format!(" AND {} IN {allowed}", expressions::leaf(&query.meter.dimensions[*place].field))
            })
            .collect();
        let stretches = if self.raw.len() == 1 && self.raw[0] == (start, end) {
            String::new()
        } else {
            format!(" AND {}", ranges::inside("time", &self.raw))
        };
        let collapse = if duplicates == Duplicates::Collapse { " LIMIT 1 BY partition, offset" } else { "" };
        let (from, to) = (ranges::at(start), ranges::at(end));
        let tenant = sql::text(query.tenant.as_str());
        let event_type = sql::text(&query.meter.event_type);
        let voided = format!("tenant_id = {tenant} AND event_type = {event_type} AND time >= {from} AND time < {to}");
        format!(
            "SELECT {} AS w, {} AS g, count() AS r, uniqExact(partition, offset) AS d, {} \
             FROM (SELECT time, identity, numbers, texts, partition, offset FROM usage_events WHERE tenant_id = {} AND {} \
             AND time >= {from} AND time < {to}{stretches}{filters} AND {}{collapse}) GROUP BY w, g",
            self.window("toUnixTimestamp64Nano(time)"),
            expressions::dimensions(&query.meter, &self.group_places),
            expressions::partial_columns(&query.meter),
            tenant,
            expressions::matches(&query.meter),
            voids::not_voided(&voided),
        )
    }

    fn bucket_sql(&self, query: &UsageQuery) -> String {
        let (start, end) = self.range();
        let meter = &query.meter;
        // Sets of values go on as they are: they are made one only once, by the outer statement.
        let grouping = if meter.aggregation == Aggregation::UniqueCount { "" } else { " GROUP BY w, g" };
        let group: Vec<String> = self.group_places.iter().map(|place| format!("bg[{}]", place + 1)).collect();
        let filters: String = self
            .filters
            .iter()
            .map(|(place, values)| {
                format!(" AND bg[{}] IN {}", place + 1, sql::text_set(values.iter().map(String::as_str)))
            })
            .collect();
        format!(
            "SELECT {} AS w, {} AS g, toUInt64(0) AS r, toUInt64(0) AS d, {} FROM usage_buckets FINAL ARRAY JOIN {} \
             WHERE tenant_id = {} AND meter = {} AND meter_version = {} AND bucket_start >= {} AND bucket_start < {} \
             AND NOT {}{filters}{grouping}",
            self.window("toUnixTimestamp64Nano(bucket_start)"),
            expressions::text_array(&group),
            expressions::merge_columns(meter.aggregation),
            expressions::bucket_arrays(meter.aggregation),
            sql::text(query.tenant.as_str()),
            sql::text(meter.key.as_str()),
            meter.version,
            ranges::at(start),
            ranges::at(end),
            ranges::inside("bucket_start", &self.raw),
        )
    }

    /// The start of the window that a point in time lies in, in nanoseconds.
    fn window(&self, nanos: &str) -> String {
        let starts = &self.borders[..self.borders.len() - 1];
        if let [only] = starts {
            return format!("toInt64({only})");
        }
        format!("roundDown({nanos}, {})", sql::number_array(starts, "Int64"))
    }

    pub(super) fn row(&self, query: &UsageQuery, row: AnswerRow) -> Result<UsageRow, UsageError> {
        let next = self.borders.partition_point(|border| *border <= row.w);
        let end = self.borders.get(next).copied().unwrap_or(row.w.saturating_add(BUCKET_NANOS));
        Ok(UsageRow {
            window_start: sql::from_nanos(row.w),
            window_end: sql::from_nanos(end),
            group: row.g,
            value: value_of(query.meter.aggregation, row.count_n, &row.amount)?,
            count: row.count_n,
            unmetered: row.count_u,
        })
    }
}

/// The borders of the windows inside the range, its ends first and last, in nanoseconds.
fn borders(query: &UsageQuery) -> Result<Vec<i64>, FieldError> {
    let (start, end) = (sql::nanos(query.range.start), sql::nanos(query.range.end));
    if start >= end {
        return Ok(Vec::new());
    }
    let inner = match &query.window {
        Window::None => Vec::new(),
        Window::Size(size, zone) => window_bounds(query.range, *size, *zone)?,
        Window::Bounds(bounds) => bounds.clone(),
    };
    let mut borders: Vec<i64> = inner.into_iter().map(sql::nanos).filter(|at| start < *at && *at < end).collect();
    borders.extend([start, end]);
    borders.sort_unstable();
    borders.dedup();
    if borders.len() > MAX_WINDOWS + 1 {
        return Err(FieldError::new(
            "window",
            format!("cuts the range into more than {MAX_WINDOWS} windows"),
            "ask for a shorter range or wider windows",
        ));
    }
    Ok(borders)
}

/// A dimension that is named again says nothing new, and makes every row longer.
fn refuse_repeats(names: &[String]) -> Result<(), FieldError> {
    let repeated = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
    repeated.map_or(Ok(()), |(_, name)| {
        Err(FieldError::new("group_by", format!("names \"{name}\" twice"), "name each dimension once"))
    })
}

fn place_of(meter: &MeterDefinition, field: &str, name: &str) -> Result<usize, FieldError> {
    meter.dimensions.iter().position(|dimension| dimension.name == name).ok_or_else(|| {
        let names: Vec<&str> = meter.dimensions.iter().map(|dimension| dimension.name.as_str()).collect();
        FieldError::new(
            field,
            format!("\"{name}\" is not a dimension of the meter {}", meter.key),
            format!("use one of its dimensions: [{}]", names.join(", ")),
        )
    })
}
