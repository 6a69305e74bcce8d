//! Records that could not be counted, for the people who can mend them. Nothing is dropped silently: every one has its reason, its place
//! in the log, and a way out.

use super::rows::DeadLetter;
use crate::clickhouse::{ClickHouse, ClickHouseError, sql};
use ::clickhouse::Row;
use ::clickhouse::query::Query;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use talea_domain::event::Identity;
use talea_domain::id::TenantId;

/// Whose dead letters are meant. Records of an unknown tenant belong to nobody: only `All` finds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterScope<'a> {
    Tenant(&'a TenantId),
    All,
}

/// The place of a record in the log; names a dead letter. Written `topic/partition/offset`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordPlace {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
}

impl std::fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl DeadLetter {
    pub fn place(&self) -> RecordPlace {
        RecordPlace { topic: self.topic.clone(), partition: self.partition, offset: self.offset }
    }
}

/// Which dead letters a list holds.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// `DeadLetterReason` in snake_case.
    pub reason: Option<String>,
    /// True: only those that were never sent again.
    pub open_only: bool,
    /// The last one of the page before.
    pub after: Option<(DateTime<Utc>, RecordPlace)>,
    pub limit: u32,
}

/// Dead letters, the latest first (by log time, then place).
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn list(
    clickhouse: &ClickHouse,
    scope: DeadLetterScope<'_>,
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetter>, ClickHouseError> {
    let mut conditions = vec![tenant_condition(scope)];
    if let Some(reason) = &filter.reason {
        conditions.push(format!("reason = {}", sql::text(reason)));
    }
    if filter.open_only {
        conditions.push("toUnixTimestamp64Micro(resubmitted_at) = 0".to_owned());
    }
    if let Some((log_time, place)) = &filter.after {
        let time = micros(*log_time);
        conditions.push(format!(
            "(log_time, topic, partition, offset) < ({time}, {}, {}, {})",
            sql::text(&place.topic),
            place.partition,
            place.offset
        ));
    }
    let tail = format!(
        "{} ORDER BY log_time DESC, topic DESC, partition DESC, offset DESC LIMIT {}",
        conditions.join(" AND "),
        filter.limit
    );
    letters_where(clickhouse, scope, &tail).await
}

/// One dead letter by its place in the log; None when there is none in this scope.
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn get(
    clickhouse: &ClickHouse,
    scope: DeadLetterScope<'_>,
    place: &RecordPlace,
) -> Result<Option<DeadLetter>, ClickHouseError> {
    let tail = format!("{} AND {} LIMIT 1", tenant_condition(scope), place_condition(place));
    Ok(letters_where(clickhouse, scope, &tail).await?.pop())
}

/// The dead letters of one identity, the latest first.
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn of_identity(
    clickhouse: &ClickHouse,
    scope: DeadLetterScope<'_>,
    identity: Identity,
    limit: u32,
) -> Result<Vec<DeadLetter>, ClickHouseError> {
    let tail = format!(
        "{} AND identity = toUInt128('{}') ORDER BY log_time DESC, partition DESC, offset DESC LIMIT {limit}",
        tenant_condition(scope),
        identity.0
    );
    letters_where(clickhouse, scope, &tail).await
}

/// Notes that a dead letter was sent again at `at`. The row is replaced by itself with the mark; the record keeps its place.
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn mark_resubmitted(
    clickhouse: &ClickHouse,
    scope: DeadLetterScope<'_>,
    place: &RecordPlace,
    at: DateTime<Utc>,
) -> Result<(), ClickHouseError> {
    let statement = format!(
        "INSERT INTO dead_letters ({COLUMNS}, resubmitted_at) SELECT {COLUMNS}, {} FROM dead_letters FINAL WHERE {} AND {}",
        micros(at),
        tenant_condition(scope),
        place_condition(place)
    );
    clickhouse.execute(scoped(clickhouse, scope, &statement)).await
}

const COLUMNS: &str = "tenant_id, topic, partition, offset, source, id, identity, event_type, reason, field, detail, way_out, payload, \
     headers, log_time, epoch";

fn scoped(clickhouse: &ClickHouse, scope: DeadLetterScope<'_>, statement: &str) -> Query {
    match scope {
        DeadLetterScope::Tenant(tenant) => clickhouse.tenant_query(tenant, statement),
        DeadLetterScope::All => clickhouse.query(statement),
    }
}

fn tenant_condition(scope: DeadLetterScope<'_>) -> String {
    match scope {
        DeadLetterScope::Tenant(tenant) => format!("tenant_id = {}", sql::text(tenant.as_str())),
        DeadLetterScope::All => "1".to_owned(),
    }
}

fn place_condition(place: &RecordPlace) -> String {
    format!("topic = {} AND partition = {} AND offset = {}", sql::text(&place.topic), place.partition, place.offset)
}

fn micros(time: DateTime<Utc>) -> String {
    format!("fromUnixTimestamp64Micro(toInt64({}), 'UTC')", time.timestamp_micros())
}

#[derive(Row, Deserialize)]
struct LetterRow {
    tenant_id: String,
    topic: String,
    partition: u32,
    offset: u64,
    source: String,
    id: String,
    identity: u128,
    event_type: String,
    reason: String,
    field: String,
    detail: String,
    way_out: String,
    /// In hex: a payload need not be UTF-8, which a text column of the client must be.
    payload_hex: String,
    headers_hex: Vec<(String, String)>,
    log_time: i64,
    epoch: u64,
    resubmitted_at: i64,
}

async fn letters_where(
    clickhouse: &ClickHouse,
    scope: DeadLetterScope<'_>,
    tail: &str,
) -> Result<Vec<DeadLetter>, ClickHouseError> {
    let query = format!(
        "SELECT tenant_id, topic, partition, offset, source, id, identity, event_type, reason, field, detail, way_out, \
         hex(payload) AS payload_hex, arrayMap(h -> (tupleElement(h, 1), hex(tupleElement(h, 2))), headers) AS headers_hex, \
         log_time, epoch, resubmitted_at FROM dead_letters FINAL WHERE {tail}"
    );
    let rows = clickhouse.rows::<LetterRow>(scoped(clickhouse, scope, &query)).await?;
    rows.into_iter().map(letter).collect()
}

fn letter(row: LetterRow) -> Result<DeadLetter, ClickHouseError> {
    let headers = row
        .headers_hex
        .into_iter()
        .map(|(name, value)| Ok((name, unhex(&value)?)))
        .collect::<Result<_, ClickHouseError>>()?;
    Ok(DeadLetter {
        tenant_id: row.tenant_id,
        topic: row.topic,
        partition: row.partition,
        offset: row.offset,
        source: row.source,
        id: row.id,
        identity: row.identity,
        event_type: row.event_type,
        reason: row.reason,
        field: row.field,
        detail: row.detail,
        way_out: row.way_out,
        payload: unhex(&row.payload_hex)?,
        headers,
        log_time: sql::from_micros(row.log_time),
        epoch: row.epoch,
        resubmitted_at: (row.resubmitted_at != 0).then(|| sql::from_micros(row.resubmitted_at)),
    })
}

fn unhex(text: &str) -> Result<Vec<u8>, ClickHouseError> {
    let digits = text.as_bytes();
    digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| ClickHouseError::Row("a payload is not hex".to_owned()))
}
