//! Voids as they are stored: which events were taken out of the count, by which record and why; and the conditions by which every
//! reader of events leaves them out.
//!
//! A void names one record, not an identity: an identity that was counted anew after its window has two records, and the void is
//! of the one that stood when it came.

use super::UsageError;
use crate::clickhouse::{ClickHouse, ClickHouseError, sql};
use ::clickhouse::Row;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::HashMap;
use talea_domain::event::{EventName, EventVoid, Identity};
use talea_domain::id::TenantId;

/// A place in the usage log: partition and offset.
pub type Place = (u32, u64);

/// The most voids of one name that are told; senders give each its own.
const MAX_OF_NAME: u32 = 1;

/// A void that took effect, with its place in the log and the event that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVoid {
    pub void: EventVoid,
    /// Type and time of the voided event.
    pub event_type: String,
    pub event_time: DateTime<Utc>,
    /// The record that counted it.
    pub of: Place,
    pub partition: u32,
    pub offset: u64,
    /// The epoch of the owner that stored it.
    pub epoch: u64,
    pub log_time: DateTime<Utc>,
}

/// What a void needs to know of the event that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    pub event_type: String,
    pub time: DateTime<Utc>,
}

/// The condition that an event was not voided, whatever the cut. `of` narrows the voids that are looked at to those of the events that
/// are read: a condition on `tenant_id`, `event_type` and `time`, which mean the event's.
pub(super) fn not_voided(of: &str) -> String {
    format!("(partition, offset) NOT IN (SELECT of_partition, of_offset FROM usage_voids WHERE {of})")
}

fn places(places: &[Place]) -> String {
    let list: Vec<String> = places.iter().map(|(partition, offset)| format!("({partition},{offset})")).collect();
    format!("(SELECT arrayJoin(CAST({}, 'Array(Tuple(UInt32, UInt64))')))", sql::text(&format!("[{}]", list.join(","))))
}

fn tenants<'t>(of: impl Iterator<Item = &'t TenantId>) -> String {
    sql::text_set(of.map(TenantId::as_str).collect::<std::collections::BTreeSet<_>>())
}

/// Which of these records are voided, each with the place of its void.
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn voids_of(
    clickhouse: &ClickHouse,
    of: &[(&TenantId, Place)],
) -> Result<HashMap<Place, Place>, ClickHouseError> {
    let wanted: Vec<Place> = of.iter().map(|(_, place)| *place).collect();
    let query = format!(
        "SELECT of_partition, of_offset, partition, offset FROM usage_voids WHERE tenant_id IN {} AND (of_partition, of_offset) IN {}",
        tenants(of.iter().map(|(tenant, _)| *tenant)),
        places(&wanted)
    );
    let rows = clickhouse.rows::<(u32, u64, u32, u64)>(clickhouse.query(&query)).await?;
    Ok(rows
        .into_iter()
        .map(|(of_partition, of_offset, at, offset)| ((of_partition, of_offset), (at, offset)))
        .collect())
}

/// Type and time of the events of these records. One whose row a retention policy has removed is missing.
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn originals(
    clickhouse: &ClickHouse,
    of: &[(&TenantId, Place)],
) -> Result<HashMap<Place, Original>, ClickHouseError> {
    let wanted: Vec<Place> = of.iter().map(|(_, place)| *place).collect();
    let query = format!(
        "SELECT partition, offset, toString(event_type), toUnixTimestamp64Nano(time) FROM usage_events \
         WHERE tenant_id IN {} AND (partition, offset) IN {}",
        tenants(of.iter().map(|(tenant, _)| *tenant)),
        places(&wanted)
    );
    let rows = clickhouse.rows::<(u32, u64, String, i64)>(clickhouse.query(&query)).await?;
    Ok(rows
        .into_iter()
        .map(|(partition, offset, event_type, time)| {
            ((partition, offset), Original { event_type, time: sql::from_nanos(time) })
        })
        .collect())
}

/// The voids of a tenant's records, by the record.
///
/// # Errors
/// See [`UsageError`].
pub async fn of_records(
    clickhouse: &ClickHouse,
    tenant: &TenantId,
    records: &[Place],
) -> Result<HashMap<Place, StoredVoid>, UsageError> {
    if records.is_empty() {
        return Ok(HashMap::new());
    }
    let found = where_is(clickhouse, tenant, &format!("(of_partition, of_offset) IN {}", places(records))).await?;
    Ok(found.into_iter().map(|void| (void.of, void)).collect())
}

/// The void that a tenant sent under a name of its own.
///
/// # Errors
/// See [`UsageError`].
pub async fn by_name(
    clickhouse: &ClickHouse,
    tenant: &TenantId,
    source: &str,
    id: &str,
) -> Result<Option<StoredVoid>, UsageError> {
    let condition = format!(
        "source = {} AND id = {} ORDER BY log_time, partition, offset LIMIT {MAX_OF_NAME}",
        sql::text(source),
        sql::text(id)
    );
    Ok(where_is(clickhouse, tenant, &condition).await?.pop())
}

#[derive(Row, Deserialize)]
struct VoidRow {
    event_type: String,
    time: i64,
    of_partition: u32,
    of_offset: u64,
    source: String,
    id: String,
    of_source: String,
    of_id: String,
    reason: String,
    replaced_source: String,
    replaced_id: String,
    partition: u32,
    offset: u64,
    epoch: u64,
    log_time: i64,
}

async fn where_is(clickhouse: &ClickHouse, tenant: &TenantId, condition: &str) -> Result<Vec<StoredVoid>, UsageError> {
    let query = format!(
        "SELECT event_type, time, of_partition, of_offset, source, id, of_source, of_id, reason, replaced_source, replaced_id, \
         partition, offset, epoch, log_time FROM usage_voids WHERE tenant_id = {} AND {condition}",
        sql::text(tenant.as_str())
    );
    let rows = clickhouse.rows::<VoidRow>(clickhouse.tenant_query(tenant, &query)).await?;
    Ok(rows.into_iter().map(|row| stored(tenant, row)).collect())
}

fn stored(tenant: &TenantId, row: VoidRow) -> StoredVoid {
    let replaced_by = EventName { source: row.replaced_source, id: row.replaced_id };
    StoredVoid {
        void: EventVoid {
            tenant: tenant.clone(),
            source: row.source,
            id: row.id,
            voided: EventName { source: row.of_source, id: row.of_id },
            reason: row.reason,
            replaced_by: (!replaced_by.id.is_empty()).then_some(replaced_by),
        },
        event_type: row.event_type,
        event_time: sql::from_nanos(row.time),
        of: (row.of_partition, row.of_offset),
        partition: row.partition,
        offset: row.offset,
        epoch: row.epoch,
        log_time: sql::from_micros(row.log_time),
    }
}

impl StoredVoid {
    /// The identity that was voided.
    pub fn identity(&self) -> Identity {
        self.void.voided_identity()
    }
}
