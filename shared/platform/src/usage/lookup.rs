//! What became of an event, and which events a tenant sent lately.

use super::UsageError;
use super::dead_letters::{self, DeadLetterScope};
use super::recovery::{self, Known};
use super::rows::{DeadLetter, Repeat, StoredEvent};
use super::value::from_scaled;
use super::voids::{self, StoredVoid};
use crate::clickhouse::{ClickHouse, sql};
use ::clickhouse::Row;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use talea_domain::event::{Identity, UsageEvent};
use talea_domain::id::TenantId;

/// How many repeats and dead letters of one identity are told.
const MAX_RECORDS: u32 = 100;

/// Everything that is stored about one identity. All empty: nothing is known of it (yet).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fate {
    /// The counted record. Known longer than its event, which a retention policy may have removed.
    pub known: Option<Known>,
    pub event: Option<StoredEvent>,
    /// What took it out of the count again.
    pub voided: Option<StoredVoid>,
    /// Records that came again and were not counted, the first ones.
    pub repeats: Vec<Repeat>,
    /// Records that could not be counted, conflicts among them, the latest first.
    pub dead_letters: Vec<DeadLetter>,
}

/// Where an event stands in the order of (time, identity).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventKey {
    pub time: DateTime<Utc>,
    pub identity: Identity,
}

impl EventKey {
    pub fn of(row: &StoredEvent) -> Self {
        Self { time: row.event.time, identity: row.event.identity }
    }

    /// The condition that an event comes after this key, as SQL.
    pub(super) fn is_before(&self) -> String {
        // The first comparison narrows by the sort key; the tuple decides.
        let time = sql::time(self.time);
        format!("time >= {time} AND (time, identity) > ({time}, toUInt128('{}'))", self.identity.0)
    }
}

/// What became of the event with this identity.
///
/// # Errors
/// See [`UsageError`].
pub async fn what_became_of(
    clickhouse: &ClickHouse,
    tenant: &TenantId,
    identity: Identity,
) -> Result<Fate, UsageError> {
    let known = recovery::known_identities(clickhouse, &[identity.0]).await?.remove(&identity.0);
    // An event can be stored whose identity is not written yet; its place is then unknown, and the tenant's events are searched.
    let place = match &known {
        Some(known) => format!(" AND partition = {} AND offset = {}", known.partition, known.offset),
        None => String::new(),
    };
    let condition = format!(
        "tenant_id = {} AND identity = toUInt128('{}'){place} ORDER BY partition, offset LIMIT 1",
        sql::text(tenant.as_str()),
        identity.0
    );
    let event = events_where(clickhouse, tenant, &condition).await?.pop();
    let place = known.map(|known| (known.partition, known.offset));
    let place = place.or(event.as_ref().map(|event| (event.partition, event.offset)));
    let records: Vec<voids::Place> = place.into_iter().collect();
    let voided = voids::of_records(clickhouse, tenant, &records).await?.into_values().next();
    let repeats = repeats_of(clickhouse, tenant, identity).await?;
    let scope = DeadLetterScope::Tenant(tenant);
    let dead_letters = dead_letters::of_identity(clickhouse, scope, identity, MAX_RECORDS).await?;
    Ok(Fate { known, event, voided, repeats, dead_letters })
}

/// The record after which a page of [`recent_events`] goes on, in the order of the log's time, the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentKey {
    pub log_time: DateTime<Utc>,
    pub partition: u32,
    pub offset: u64,
}

impl RecentKey {
    pub fn of(row: &StoredEvent) -> Self {
        Self { log_time: row.log_time, partition: row.partition, offset: row.offset }
    }
}

/// Counted events of a tenant that came since `since`, those that came last first, after a key.
///
/// # Errors
/// See [`UsageError`].
pub async fn recent_events(
    clickhouse: &ClickHouse,
    tenant: &TenantId,
    since: DateTime<Utc>,
    after: Option<RecentKey>,
    limit: u32,
) -> Result<Vec<StoredEvent>, UsageError> {
    let at = |time: DateTime<Utc>| format!("fromUnixTimestamp64Micro(toInt64({}), 'UTC')", time.timestamp_micros());
    let after = match after {
        Some(key) => {
            let time = at(key.log_time);
            format!(
                " AND log_time <= {time} AND (log_time, partition, offset) < ({time}, {}, {})",
                key.partition, key.offset
            )
        }
        None => String::new(),
    };
    let condition = format!(
        "tenant_id = {} AND log_time >= {}{after} ORDER BY log_time DESC, partition DESC, offset DESC LIMIT {limit}",
        sql::text(tenant.as_str()),
        at(since)
    );
    events_where(clickhouse, tenant, &condition).await
}

#[derive(Row, Deserialize)]
struct EventRow {
    tenant_id: String,
    event_type: String,
    time: i64,
    identity: u128,
    body_hash: u128,
    source: String,
    id: String,
    subject: String,
    numbers: Vec<(String, i128)>,
    texts: Vec<(String, String)>,
    unreadable: Vec<String>,
    partition: u32,
    offset: u64,
    epoch: u64,
    log_time: i64,
    backfill: u8,
}

/// The tenant's events for which a condition (with its ORDER BY and LIMIT) holds.
pub(super) async fn events_where(
    clickhouse: &ClickHouse,
    tenant: &TenantId,
    condition: &str,
) -> Result<Vec<StoredEvent>, UsageError> {
    let query = format!(
        "SELECT tenant_id, event_type, time, identity, body_hash, source, id, subject, numbers, texts, unreadable, partition, offset, \
         epoch, log_time, backfill FROM usage_events WHERE {condition}"
    );
    let rows = clickhouse.rows::<EventRow>(clickhouse.tenant_query(tenant, &query)).await?;
    rows.into_iter().map(stored_event).collect()
}

fn stored_event(row: EventRow) -> Result<StoredEvent, UsageError> {
    let numbers = row
        .numbers
        .into_iter()
        .map(|(pointer, scaled)| Ok((pointer, from_scaled(scaled)?)))
        .collect::<Result<Vec<_>, UsageError>>()?;
    let event = UsageEvent {
        tenant: TenantId::parse(&row.tenant_id)?,
        source: row.source,
        id: row.id,
        event_type: row.event_type,
        subject: (!row.subject.is_empty()).then_some(row.subject),
        time: sql::from_nanos(row.time),
        numbers,
        texts: row.texts,
        unreadable: row.unreadable,
        identity: Identity(row.identity),
        body_hash: row.body_hash,
    };
    Ok(StoredEvent {
        event,
        partition: row.partition,
        offset: row.offset,
        epoch: row.epoch,
        log_time: sql::from_micros(row.log_time),
        backfill: row.backfill != 0,
    })
}

#[derive(Row, Deserialize)]
struct RepeatRow {
    tenant_id: String,
    identity: u128,
    body_hash: u128,
    partition: u32,
    offset: u64,
    of_partition: u32,
    of_offset: u64,
    epoch: u64,
    log_time: i64,
}

async fn repeats_of(clickhouse: &ClickHouse, tenant: &TenantId, identity: Identity) -> Result<Vec<Repeat>, UsageError> {
    let query = format!(
        "SELECT tenant_id, identity, body_hash, partition, offset, of_partition, of_offset, epoch, log_time FROM usage_repeats \
         WHERE tenant_id = {} AND identity = toUInt128('{}') ORDER BY partition, offset LIMIT 1 BY partition, offset LIMIT {MAX_RECORDS}",
        sql::text(tenant.as_str()),
        identity.0
    );
    let rows = clickhouse.rows::<RepeatRow>(clickhouse.tenant_query(tenant, &query)).await?;
    Ok(rows
        .into_iter()
        .map(|row| Repeat {
            tenant_id: row.tenant_id,
            identity: Identity(row.identity),
            body_hash: row.body_hash,
            partition: row.partition,
            offset: row.offset,
            of_partition: row.of_partition,
            of_offset: row.of_offset,
            epoch: row.epoch,
            log_time: sql::from_micros(row.log_time),
        })
        .collect())
}
