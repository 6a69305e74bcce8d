//! What an invoice line stands on: usage of many periods at once, from events, restricted to what lay before a cut of the log, with a
//! digest by which anyone can see later that it was exactly these events.

use super::UsageError;
use super::expressions;
use super::lookup::{self, EventKey};
use super::ranges;
use super::rows::StoredEvent;
use super::value::value_of;
use crate::clickhouse::{ClickHouse, sql};
use ::clickhouse::Row;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use talea_domain::id::TenantId;
use talea_domain::meter::MeterDefinition;
use talea_domain::period::Period;

/// How many spans one statement carries; more go in several.
const SPANS_PER_STATEMENT: usize = 5_000;

/// How far each partition of the log is meant: the next offset, by partition. A record is inside when its offset is lower; a partition
/// that is not listed is outside whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cut(pub Vec<u64>);

impl Cut {
    /// Whether a record lies inside.
    pub fn contains(&self, partition: u32, offset: u64) -> bool {
        self.0.get(partition as usize).is_some_and(|next| offset < *next)
    }
}

/// A period of a tenant whose usage is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSpan {
    /// Names the span in the answer; unique in one call.
    pub key: u32,
    pub tenant: TenantId,
    pub period: Period,
    /// What was billed already; None: up to the common cut.
    pub cut: Option<Cut>,
}

/// Usage of one span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledUsage {
    pub key: u32,
    /// As `Partial::value`: None when there is no value over no events.
    pub value: Option<Decimal>,
    /// Metered events: those behind the value and the digest.
    pub count: u64,
    /// Events of the meter that it cannot read a value from; not in the digest.
    pub unmetered: u64,
    /// 64 lower-case hex digits: sum of identities mod 2^128, then sum of body hashes mod 2^128. Independent of order.
    pub digest: String,
    /// Rows read, and records and identities behind them. All three are equal, or an event was stored twice.
    pub rows: u64,
    pub records: u64,
    pub identities: u64,
}

impl BilledUsage {
    /// Whether each event was counted once. A period must not be finalised over a span for which this is false.
    pub fn is_counted_once(&self) -> bool {
        self.rows == self.records && self.rows == self.identities
    }

    fn nothing(key: u32, meter: &MeterDefinition) -> Result<Self, UsageError> {
        let value = value_of(meter.aggregation, 0, "0")?;
        Ok(Self { key, value, count: 0, unmetered: 0, digest: digest(0, 0), rows: 0, records: 0, identities: 0 })
    }
}

/// The digest of a set of events, from the sums of their identities and of their body hashes.
pub fn digest(identities: u128, body_hashes: u128) -> String {
    format!("{identities:032x}{body_hashes:032x}")
}

#[derive(Row, Deserialize)]
struct BilledRow {
    span: u32,
    count_n: u64,
    count_u: u64,
    amount: String,
    identity_sum: u128,
    body_sum: u128,
    rows: u64,
    records: u64,
    identities: u64,
}

/// Usage of all spans, one answer per span, in their order. A span with a cut is restricted to it, one without to `up_to`.
///
/// # Errors
/// See [`UsageError`].
pub async fn billed_usage(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    spans: &[UsageSpan],
    up_to: &Cut,
) -> Result<Vec<BilledUsage>, UsageError> {
    let mut answers = Vec::with_capacity(spans.len());
    for chunk in spans.chunks(SPANS_PER_STATEMENT) {
        let set = SpanSet::of(chunk, up_to);
        let query = format!(
            "SELECT span, sum(n) AS count_n, sum(u) AS count_u, {} AS amount, sumWithOverflow(si) AS identity_sum, \
             sumWithOverflow(sb) AS body_sum, sum(r) AS rows, sum(dr) AS records, sum(di) AS identities FROM ( \
             SELECT span, {partial}, sumWithOverflowIf(identity, {metered}) AS si, sumWithOverflowIf(body_hash, {metered}) AS sb, \
             count() AS r, uniqExact(partition, offset) AS dr, uniqExact(identity) AS di \
             FROM ({}) WHERE {} GROUP BY span) GROUP BY span",
            expressions::final_amount(meter.aggregation),
            set.events(meter),
            set.inside(),
            partial = expressions::partial_columns(meter),
            metered = expressions::metered(meter),
        );
        let rows = clickhouse.rows::<BilledRow>(clickhouse.query(&query)).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let usage = BilledUsage {
                key: row.span,
                value: value_of(meter.aggregation, row.count_n, &row.amount)?,
                count: row.count_n,
                unmetered: row.count_u,
                digest: digest(row.identity_sum, row.body_sum),
                rows: row.rows,
                records: row.records,
                identities: row.identities,
            };
            found.insert(row.span, usage);
        }
        for span in chunk {
            answers.push(match found.remove(&span.key) {
                Some(usage) => usage,
                None => BilledUsage::nothing(span.key, meter)?,
            });
        }
    }
    Ok(answers)
}

/// Late usage of one span: events of its period that its cut did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateUsage {
    /// The earliest event time among them.
    pub earliest: DateTime<Utc>,
    pub count: u64,
}

/// For each span with a cut: what has arrived in its period since, up to `up_to`. Spans without late usage are not in the answer.
///
/// # Errors
/// See [`UsageError`].
pub async fn late_since(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    spans: &[UsageSpan],
    up_to: &Cut,
) -> Result<HashMap<u32, LateUsage>, UsageError> {
    let closed: Vec<UsageSpan> = spans.iter().filter(|span| span.cut.is_some()).cloned().collect();
    let mut late = HashMap::new();
    for chunk in closed.chunks(SPANS_PER_STATEMENT) {
        let set = SpanSet::of(chunk, up_to);
        let query = format!(
            "SELECT span, toUnixTimestamp64Nano(min(time)), count() FROM ({}) WHERE offset >= {} AND NOT ({}) AND {} GROUP BY span",
            set.events(meter),
            set.lowest_cut(),
            set.inside(),
            set.inside_common(),
        );
        let rows = clickhouse.rows::<(u32, i64, u64)>(clickhouse.query(&query)).await?;
        late.extend(
            rows.into_iter()
                .map(|(span, earliest, count)| (span, LateUsage { earliest: sql::from_nanos(earliest), count })),
        );
    }
    Ok(late)
}

/// The metered events behind a line, in the order of (time, identity), after a key.
///
/// # Errors
/// See [`UsageError`].
pub async fn events_of_line(
    clickhouse: &ClickHouse,
    tenant: &TenantId,
    meter: &MeterDefinition,
    period: Period,
    cut: &Cut,
    after: Option<EventKey>,
    limit: u32,
) -> Result<Vec<StoredEvent>, UsageError> {
    let cuts = sql::number_array(&cut.0, "UInt64");
    let after = after.map(|key| format!(" AND {}", key.is_before())).unwrap_or_default();
    let condition = format!(
        "tenant_id = {} AND {} AND {} AND time >= {} AND time < {} AND partition < {} AND offset < arrayElement({cuts}, partition + 1){after} \
         ORDER BY time, identity LIMIT {limit}",
        sql::text(tenant.as_str()),
        expressions::matches(meter),
        expressions::metered(meter),
        sql::time(period.start),
        sql::time(period.end),
        cut.0.len(),
    );
    lookup::events_where(clickhouse, tenant, &condition).await
}

/// Spans and their cuts as SQL. Equal cuts are written once; all lie behind one another in one array, so that a row finds its border by
/// one multiplication instead of carrying an array along.
struct SpanSet {
    spans: String,
    cuts: String,
    partitions: usize,
    tenants: String,
    start: i64,
    end: i64,
    lowest_cut: u64,
    common: usize,
}

impl SpanSet {
    fn of(spans: &[UsageSpan], up_to: &Cut) -> Self {
        let partitions = spans
            .iter()
            .filter_map(|span| span.cut.as_ref())
            .chain([up_to])
            .map(|cut| cut.0.len())
            .max()
            .unwrap_or(0)
            .max(1);
        let mut places: HashMap<&Cut, usize> = HashMap::from([(up_to, 0)]);
        let mut cuts: Vec<&Cut> = vec![up_to];
        let mut list = String::from("[");
        let (mut start, mut end) = (i64::MAX, i64::MIN);
        for (index, span) in spans.iter().enumerate() {
            let cut = span.cut.as_ref().unwrap_or(up_to);
            let place = *places.entry(cut).or_insert_with(|| {
                cuts.push(cut);
                cuts.len() - 1
            });
            let (from, to) = (sql::nanos(span.period.start), sql::nanos(span.period.end));
            (start, end) = (start.min(from), end.max(to));
            let comma = if index == 0 { "" } else { "," };
            // Writing into a String cannot fail; a tenant's id holds no quotes.
            let _ = write!(list, "{comma}({},'{}',{from},{to},{place})", span.key, span.tenant);
        }
        list.push(']');
        let padded =
            |cut: &Cut| cut.0.iter().copied().chain(std::iter::repeat(0)).take(partitions).collect::<Vec<u64>>();
        let flat: Vec<u64> = cuts.iter().flat_map(|cut| padded(cut)).collect();
        let tenants: BTreeSet<&str> = spans.iter().map(|span| span.tenant.as_str()).collect();
        Self {
            spans: sql::text(&list),
            lowest_cut: flat.iter().copied().min().unwrap_or(0),
            cuts: sql::number_array(flat, "UInt64"),
            partitions,
            tenants: sql::text_set(tenants),
            start,
            end,
            common: 0,
        }
    }

    /// A subquery: the meter's events of each span's period, whatever the cut, beside the span they fall into.
    fn events(&self, meter: &MeterDefinition) -> String {
        format!(
            "SELECT span, cut_place, time, identity, body_hash, numbers, texts, partition, offset \
             FROM (SELECT tenant_id, time, identity, body_hash, numbers, texts, partition, offset FROM usage_events \
               WHERE tenant_id IN {} AND {} AND time >= {} AND time < {} AND partition < {}) AS events \
             INNER JOIN (SELECT tupleElement(s, 1) AS span, tupleElement(s, 2) AS span_tenant, tupleElement(s, 3) AS span_start, \
               tupleElement(s, 4) AS span_end, tupleElement(s, 5) AS cut_place \
               FROM (SELECT arrayJoin(CAST({}, 'Array(Tuple(UInt32, String, Int64, Int64, UInt32))')) AS s)) AS spans \
             ON events.tenant_id = spans.span_tenant \
             WHERE toUnixTimestamp64Nano(time) >= span_start AND toUnixTimestamp64Nano(time) < span_end",
            self.tenants,
            expressions::matches(meter),
            ranges::at(self.start),
            ranges::at(self.end),
            self.partitions,
            self.spans,
        )
    }

    fn inside(&self) -> String {
        format!("offset < arrayElement({}, cut_place * {} + partition + 1)", self.cuts, self.partitions)
    }

    fn inside_common(&self) -> String {
        format!("offset < arrayElement({}, {} + partition + 1)", self.cuts, self.common * self.partitions)
    }

    fn lowest_cut(&self) -> u64 {
        self.lowest_cut
    }
}
