//! Records as Kafka delivers them, and the reading of one partition without a group.

use std::time::Instant;

use bytes::Bytes;
use chrono::DateTime;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::{REQUEST_TIMEOUT, blocking};
use crate::log::{LogError, LogRecord};

/// Other people's records may have no key, value or time: they come as empty and as 1970. None for what is no record.
pub(super) fn log_record(message: &BorrowedMessage<'_>) -> Option<LogRecord> {
    let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
    // One allocation holds both.
    let mut both = Vec::with_capacity(key.len() + value.len());
    both.extend_from_slice(key);
    both.extend_from_slice(value);
    let mut rest = Bytes::from(both);
    let key = rest.split_to(key.len());
    let headers = message.headers().map(|headers| {
        let owned = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
        };
        headers.iter().map(owned).collect()
    });
    let millis = message.timestamp().to_millis().unwrap_or(0);
    Some(LogRecord {
        partition: u32::try_from(message.partition()).ok()?,
        offset: u64::try_from(message.offset()).ok()?,
        appended_at: DateTime::from_timestamp_millis(millis).unwrap_or_default(),
        key,
        value: rest,
        headers: headers.unwrap_or_default(),
    })
}

/// At most `limit` records from an offset on; fewer at the partition's end.
pub(super) async fn read(
    reader: BaseConsumer,
    topic: String,
    partition: u32,
    from: u64,
    limit: usize,
) -> Result<Vec<LogRecord>, LogError> {
    blocking(move || {
        let (earliest, end) = reader.fetch_watermarks(&topic, partition.cast_signed(), REQUEST_TIMEOUT)?;
        let from = from.cast_signed().max(earliest);
        let mut records: Vec<LogRecord> = Vec::new();
        if from >= end {
            return Ok(records);
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&topic, partition.cast_signed(), Offset::Offset(from))?;
        reader.assign(&assignment)?;
        let mut deadline = Instant::now() + REQUEST_TIMEOUT;
        while records.len() < limit && records.last().is_none_or(|last| last.offset.cast_signed() + 1 < end) {
            let left = deadline.saturating_duration_since(Instant::now());
            match reader.poll(left.min(std::time::Duration::from_millis(200))) {
                Some(message) => {
                    records.extend(log_record(&message?));
                    deadline = Instant::now() + REQUEST_TIMEOUT;
                }
                // Transaction marks at the end hold offsets and are no records.
                None if position(&reader, &topic, partition) >= end => break,
                None if left.is_zero() => {
                    return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                }
                None => {}
            }
        }
        Ok(records)
    })
    .await
}

fn position(reader: &BaseConsumer, topic: &str, partition: u32) -> i64 {
    let position = reader.position().ok();
    let offset = position.and_then(|list| list.find_partition(topic, partition.cast_signed())?.offset().to_raw());
    offset.unwrap_or(-1)
}
