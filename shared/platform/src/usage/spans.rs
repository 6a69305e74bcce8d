//! Spans with their cuts as SQL, thousands in one statement.

use super::billing::{Cut, UsageSpan};
use super::{expressions, ranges};
use crate::clickhouse::sql;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use talea_domain::meter::MeterDefinition;

/// Spans and their cuts as SQL. Equal cuts are written once; all lie behind one another in one array, so that a row finds its border by
/// one multiplication instead of carrying an array along.
pub(super) struct SpanSet {
    spans: String,
    cuts: String,
    cut_count: usize,
    partitions: usize,
    tenants: String,
    start: i64,
    end: i64,
    lowest_cut: u64,
}

impl SpanSet {
    pub(super) fn of(spans: &[UsageSpan], up_to: &Cut) -> Self {
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
            cut_count: cuts.len(),
            cuts: sql::number_array(flat, "UInt64"),
            partitions,
            tenants: sql::text_set(tenants),
            start,
            end,
        }
    }

    /// A subquery: the meter's events of each span's period, whatever the cut, beside the span they fall into.
    pub(super) fn events(&self, meter: &MeterDefinition) -> String {
        let inside = "toUnixTimestamp64Nano(time) >= span_start AND toUnixTimestamp64Nano(time) < span_end";
        self.events_where(meter, &format!(" AND time >= {}", ranges::at(self.start)), inside)
    }

    /// The same with the events before each span's period, from the first of the tenant on.
    pub(super) fn events_until(&self, meter: &MeterDefinition) -> String {
        self.events_where(meter, "", "toUnixTimestamp64Nano(time) < span_end")
    }

    fn events_where(&self, meter: &MeterDefinition, from: &str, inside: &str) -> String {
        let columns = "time, identity, body_hash, numbers, texts, partition, offset";
        self.beside_spans(columns, "usage_events", &format!("{}{from}", expressions::matches(meter)), inside)
    }

    /// A subquery: the voids of events of the meter's type in each span's period, whatever the cut; partition and offset are the void's.
    pub(super) fn voids(&self, meter: &MeterDefinition) -> String {
        let of_type = format!("event_type = {} AND time >= {}", sql::text(&meter.event_type), ranges::at(self.start));
        let inside = "toUnixTimestamp64Nano(time) >= span_start AND toUnixTimestamp64Nano(time) < span_end";
        self.beside_spans("time, partition, offset", "usage_voids", &of_type, inside)
    }

    fn beside_spans(&self, columns: &str, table: &str, condition: &str, inside: &str) -> String {
        format!(
            "SELECT span, span_start, span_end, cut_place, {columns} \
             FROM (SELECT tenant_id, {columns} FROM {table} \
               WHERE tenant_id IN {} AND {condition} AND time < {} AND partition < {}) AS events \
             INNER JOIN (SELECT tupleElement(s, 1) AS span, tupleElement(s, 2) AS span_tenant, tupleElement(s, 3) AS span_start, \
               tupleElement(s, 4) AS span_end, tupleElement(s, 5) AS cut_place \
               FROM (SELECT arrayJoin(CAST({}, 'Array(Tuple(UInt32, String, Int64, Int64, UInt32))')) AS s)) AS spans \
             ON events.tenant_id = spans.span_tenant \
             WHERE {inside}",
            self.tenants,
            ranges::at(self.end),
            self.partitions,
            self.spans,
        )
    }

    /// The condition that a row of [`Self::events`] counts in its span: it lies inside the cut, and no void inside the cut is of it.
    pub(super) fn inside(&self) -> String {
        format!(
            "{below} AND (partition, offset, cut_place) NOT IN (SELECT of_partition, of_offset, cut_place FROM ( \
             SELECT of_partition, of_offset, partition, offset, arrayJoin(CAST(range({}), 'Array(UInt32)')) AS cut_place \
             FROM usage_voids WHERE tenant_id IN {} AND time < {} AND partition < {}) WHERE {below})",
            self.cut_count,
            self.tenants,
            ranges::at(self.end),
            self.partitions,
            below = self.below_cut(),
        )
    }

    /// The condition that a row lies inside its span's cut.
    pub(super) fn below_cut(&self) -> String {
        format!("offset < arrayElement({}, cut_place * {} + partition + 1)", self.cuts, self.partitions)
    }

    /// The condition that a row lies inside the common cut, which comes first in the array.
    pub(super) fn below_common(&self) -> String {
        format!("offset < arrayElement({}, partition + 1)", self.cuts)
    }

    /// No row outside of any of the cuts has a lower offset than this: for the minmax index.
    pub(super) fn lowest_cut(&self) -> u64 {
        self.lowest_cut
    }
}
