//! Rows as they are stored, and their RowBinary encoding. Encoding appends to one buffer and allocates nothing per field: it is on the
//! path of every event.

use super::voids::StoredVoid;
use chrono::{DateTime, Utc};
use talea_domain::event::{Identity, UsageEvent};
use talea_domain::quantity::{self, QuantityOverflow};

/// One counted event with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    pub event: UsageEvent,
    pub partition: u32,
    pub offset: u64,
    /// The epoch of the owner that stored it.
    pub epoch: u64,
    /// When the log appended the record.
    pub log_time: DateTime<Utc>,
    pub backfill: bool,
}

/// An identity that was counted: derived from the event's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredIdentity {
    pub identity: Identity,
    pub body_hash: u128,
    pub partition: u32,
    pub offset: u64,
    /// The log time of the counted record.
    pub first_seen: DateTime<Utc>,
    pub backfill: bool,
}

/// A record whose event was counted before from another record (`of_partition`, `of_offset`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    pub tenant_id: String,
    pub identity: Identity,
    pub body_hash: u128,
    pub partition: u32,
    pub offset: u64,
    pub of_partition: u32,
    pub of_offset: u64,
    pub epoch: u64,
    pub log_time: DateTime<Utc>,
}

/// A record that cannot be counted. Texts that are not known are empty, an unknown identity is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub tenant_id: String,
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    pub source: String,
    pub id: String,
    pub identity: u128,
    pub event_type: String,
    /// `DeadLetterReason` in snake_case.
    pub reason: String,
    /// The field at fault (JSON pointer or attribute).
    pub field: String,
    pub detail: String,
    pub way_out: String,
    /// The record's value as it came.
    pub payload: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub log_time: DateTime<Utc>,
    pub epoch: u64,
    /// When it was last sent again, if ever. Set by `dead_letters::mark_resubmitted`, never by an insert.
    pub resubmitted_at: Option<DateTime<Utc>>,
}

/// A row that cannot be stored as it is. The buffer is left as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error(transparent)]
    Quantity(#[from] QuantityOverflow),
    #[error("the time {0} cannot be stored; use a time from 1900 to 2262")]
    Time(DateTime<Utc>),
}

/// Appends one row of `usage_events`, in the order of [`super::insert::Table::Events`].
///
/// # Errors
/// See [`EncodeError`]; an event that was parsed within its limits has neither fault.
pub fn encode_event(out: &mut Vec<u8>, row: &StoredEvent) -> Result<(), EncodeError> {
    let start = out.len();
    let result = put_event(out, row);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn put_event(out: &mut Vec<u8>, row: &StoredEvent) -> Result<(), EncodeError> {
    let event = &row.event;
    put_text(out, event.tenant.as_str());
    put_text(out, &event.event_type);
    out.extend_from_slice(&storable_nanos(event.time)?.to_le_bytes());
    out.extend_from_slice(&event.identity.0.to_le_bytes());
    out.extend_from_slice(&event.body_hash.to_le_bytes());
    put_text(out, &event.source);
    put_text(out, &event.id);
    put_text(out, event.subject.as_deref().unwrap_or(""));
    put_length(out, event.numbers.len());
    for (pointer, value) in &event.numbers {
        put_text(out, pointer);
        out.extend_from_slice(&quantity::to_clickhouse(*value)?.to_le_bytes());
    }
    put_length(out, event.texts.len());
    for (pointer, text) in &event.texts {
        put_text(out, pointer);
        put_text(out, text);
    }
    put_length(out, event.unreadable.len());
    for pointer in &event.unreadable {
        put_text(out, pointer);
    }
    out.extend_from_slice(&row.partition.to_le_bytes());
    out.extend_from_slice(&row.offset.to_le_bytes());
    out.extend_from_slice(&row.epoch.to_le_bytes());
    put_micros(out, row.log_time);
    out.push(u8::from(row.backfill));
    Ok(())
}

/// Appends one row of `usage_voids`.
///
/// # Errors
/// [`EncodeError::Time`] when the event's time cannot be stored; a counted event's was.
pub fn encode_void(out: &mut Vec<u8>, row: &StoredVoid) -> Result<(), EncodeError> {
    let (void, event_time) = (&row.void, storable_nanos(row.event_time)?);
    let replaced_by = void.replaced_by.as_ref();
    put_text(out, void.tenant.as_str());
    put_text(out, &row.event_type);
    out.extend_from_slice(&event_time.to_le_bytes());
    out.extend_from_slice(&row.identity().0.to_le_bytes());
    out.extend_from_slice(&row.of.0.to_le_bytes());
    out.extend_from_slice(&row.of.1.to_le_bytes());
    put_text(out, &void.voided.source);
    put_text(out, &void.voided.id);
    put_text(out, &void.source);
    put_text(out, &void.id);
    put_text(out, &void.reason);
    put_text(out, replaced_by.map_or("", |name| &name.source));
    put_text(out, replaced_by.map_or("", |name| &name.id));
    out.extend_from_slice(&row.partition.to_le_bytes());
    out.extend_from_slice(&row.offset.to_le_bytes());
    out.extend_from_slice(&row.epoch.to_le_bytes());
    put_micros(out, row.log_time);
    Ok(())
}

/// Appends one row of `usage_identities`.
pub fn encode_identity(out: &mut Vec<u8>, row: &StoredIdentity) {
    out.extend_from_slice(&row.identity.0.to_le_bytes());
    out.extend_from_slice(&row.body_hash.to_le_bytes());
    out.extend_from_slice(&row.partition.to_le_bytes());
    out.extend_from_slice(&row.offset.to_le_bytes());
    put_micros(out, row.first_seen);
    out.push(u8::from(row.backfill));
}

/// Appends one row of `usage_repeats`.
pub fn encode_repeat(out: &mut Vec<u8>, row: &Repeat) {
    put_text(out, &row.tenant_id);
    out.extend_from_slice(&row.identity.0.to_le_bytes());
    out.extend_from_slice(&row.body_hash.to_le_bytes());
    out.extend_from_slice(&row.partition.to_le_bytes());
    out.extend_from_slice(&row.offset.to_le_bytes());
    out.extend_from_slice(&row.of_partition.to_le_bytes());
    out.extend_from_slice(&row.of_offset.to_le_bytes());
    out.extend_from_slice(&row.epoch.to_le_bytes());
    put_micros(out, row.log_time);
}

/// Appends one row of `dead_letters`; the mark of resubmission is not part of it.
pub fn encode_dead_letter(out: &mut Vec<u8>, row: &DeadLetter) {
    put_text(out, &row.tenant_id);
    put_text(out, &row.topic);
    out.extend_from_slice(&row.partition.to_le_bytes());
    out.extend_from_slice(&row.offset.to_le_bytes());
    put_text(out, &row.source);
    put_text(out, &row.id);
    out.extend_from_slice(&row.identity.to_le_bytes());
    put_text(out, &row.event_type);
    put_text(out, &row.reason);
    put_text(out, &row.field);
    put_text(out, &row.detail);
    put_text(out, &row.way_out);
    put_bytes(out, &row.payload);
    put_length(out, row.headers.len());
    for (name, value) in &row.headers {
        put_text(out, name);
        put_bytes(out, value);
    }
    put_micros(out, row.log_time);
    out.extend_from_slice(&row.epoch.to_le_bytes());
}

/// Nanoseconds since 1970 of a time that `DateTime64(9)` holds as it is.
fn storable_nanos(time: DateTime<Utc>) -> Result<i64, EncodeError> {
    let nanos = crate::clickhouse::sql::nanos(time);
    if crate::clickhouse::sql::from_nanos(nanos) == time { Ok(nanos) } else { Err(EncodeError::Time(time)) }
}

fn put_micros(out: &mut Vec<u8>, time: DateTime<Utc>) {
    out.extend_from_slice(&time.timestamp_micros().to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A length as LEB128, seven bits a byte.
fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_leb128() {
        for (length, bytes) in [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (300, vec![0xac, 2])] {
            let mut out = Vec::new();
            put_length(&mut out, length);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn a_time_is_stored_as_it_is_or_not_at_all() {
        assert_eq!(storable_nanos(DateTime::<Utc>::UNIX_EPOCH), Ok(0));
        assert!(storable_nanos(DateTime::<Utc>::MAX_UTC).is_err());
        assert!(storable_nanos(DateTime::<Utc>::MIN_UTC).is_err());
    }
}
