//! Appending to Kafka: idempotent, acknowledged by all in-sync replicas, bounded.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};

use super::KafkaLogOptions;
use crate::log::{AppendError, Clock, MAX_RECORD_BYTES, NewRecord, Position, record_size};

/// Time for small batches to gather: far below the latency goal, far above the time between two records under load.
const LINGER: Duration = Duration::from_millis(5);
/// After this a record counts as not acknowledged. librdkafka retries until then, without writing twice.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Room for what Kafka adds to a record, and for a batch of a few large ones.
pub(super) const MAX_MESSAGE_BYTES: usize = 2 * MAX_RECORD_BYTES;

pub(super) struct KafkaProducer {
    config: ClientConfig,
    /// Replaced after a fatal error (the broker forgot the producer's sequence), which ends an idempotent producer.
    current: Mutex<FutureProducer>,
    /// Stamps records when the broker does not.
    clock: Option<Clock>,
}

impl KafkaProducer {
    pub fn new(options: &KafkaLogOptions, clock: Clock) -> Result<Self, KafkaError> {
        let config = producer_config(options);
        let current = Mutex::new(config.create()?);
        Ok(KafkaProducer { config, current, clock: (!options.log_append_time).then_some(clock) })
    }

    /// Hands all records to librdkafka, then waits for all acknowledgements.
    pub async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        let producer = match self.living() {
            Ok(producer) => producer,
            Err(error) => return vec![Err(AppendError::Unavailable(error.to_string())); records.len()],
        };
        let timestamp = self.clock.as_ref().map(|clock| clock().timestamp_millis());
        let mut sent = Vec::with_capacity(records.len());
        let mut full = false;
        for record in &records {
            // After one refusal nothing more is sent: records of one key must not overtake each other.
            let outcome = if full { Err(AppendError::QueueFull) } else { send(&producer, topic, record, timestamp) };
            full |= matches!(outcome, Err(AppendError::QueueFull));
            sent.push(outcome);
        }
        drop(records);
        let mut answers = Vec::with_capacity(sent.len());
        for outcome in sent {
            answers.push(match outcome {
                Ok(delivery) => acknowledged(delivery).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    fn living(&self) -> Result<FutureProducer, KafkaError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reason)) = current.client().fatal_error() {
            tracing::warn!(reason, "the Kafka producer is replaced after a fatal error");
            *current = self.config.create()?;
        }
        Ok(current.clone())
    }
}

fn producer_config(options: &KafkaLogOptions) -> ClientConfig {
    let defaults = [
        ("compression.type", "lz4".to_owned()),
        ("linger.ms", LINGER.as_millis().to_string()),
        // How long a topic that the brokers do not know may be new rather than missing.
        ("topic.metadata.propagation.max.ms", "5000".to_owned()),
        ("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string()),
        ("message.max.bytes", MAX_MESSAGE_BYTES.to_string()),
        ("queue.buffering.max.messages", options.queue_records.to_string()),
        ("queue.buffering.max.kbytes", options.queue_bytes.div_ceil(1_024).to_string()),
    ];
    let required = [
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        ("partitioner", "murmur2_random".to_owned()),
    ];
    options.client(&defaults, &required)
}

fn send(
    producer: &FutureProducer,
    topic: &str,
    record: &NewRecord,
    timestamp: Option<i64>,
) -> Result<DeliveryFuture, AppendError> {
    let size = record_size(record);
    if size > MAX_RECORD_BYTES {
        return Err(AppendError::TooLarge { size, limit: MAX_RECORD_BYTES });
    }
    let mut message = FutureRecord::to(topic).key(record.key.as_ref()).payload(record.value.as_ref());
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let add = |headers: OwnedHeaders, (name, value): &(String, bytes::Bytes)| {
            headers.insert(Header { key: name, value: Some(value.as_ref()) })
        };
        message = message.headers(record.headers.iter().fold(headers, add));
    }
    if let Some(timestamp) = timestamp {
        message = message.timestamp(timestamp);
    }
    producer.send_result(message).map_err(|(error, _)| append_error(&error, size))
}

async fn acknowledged(delivery: DeliveryFuture) -> Result<Position, AppendError> {
    match delivery.await {
        Ok(Ok(delivery)) => position(delivery.partition, delivery.offset),
        Ok(Err((error, message))) => {
            let size = rdkafka::Message::payload(&message).map_or(0, <[u8]>::len);
            Err(append_error(&error, size))
        }
        Err(_) => Err(AppendError::Unavailable("the producer ended".to_owned())),
    }
}

fn position(partition: i32, offset: i64) -> Result<Position, AppendError> {
    match (u32::try_from(partition), u64::try_from(offset)) {
        (Ok(partition), Ok(offset)) => Ok(Position { partition, offset }),
        _ => Err(AppendError::Unavailable(format!("the broker answered partition {partition}, offset {offset}"))),
    }
}

fn append_error(error: &KafkaError, size: usize) -> AppendError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => AppendError::QueueFull,
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            AppendError::TooLarge { size, limit: MAX_RECORD_BYTES }
        }
        _ => AppendError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_cannot_take_durability_away() {
        let mut options = KafkaLogOptions::new("127.0.0.1:1");
        for (key, value) in [("acks", "1"), ("enable.idempotence", "false"), ("linger.ms", "50")] {
            options.properties.push((key.to_owned(), value.to_owned()));
        }
        let config = producer_config(&options);
        let expected =
            [("acks", "all"), ("enable.idempotence", "true"), ("partitioner", "murmur2_random"), ("linger.ms", "50")];
        for (key, value) in expected {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
    }
}
