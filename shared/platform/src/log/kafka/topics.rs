//! Topics of Kafka: created once, never silently with another partition count; looked at, warned about.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::producer::MAX_MESSAGE_BYTES;
use super::{KafkaLogOptions, REQUEST_TIMEOUT, blocking, unavailable};
use crate::log::{LogError, TopicSpec};

/// Retention drops whole segments: none spans more than a day.
const MAX_SEGMENT: Duration = Duration::from_secs(86_400);
/// Fewer copies, or fewer of them in step, and one lost machine may lose acknowledged events.
const SAFE_REPLICATION: usize = 3;
const SAFE_INSYNC: u32 = 2;

/// A client that answers questions and reads single partitions; it never joins a group.
pub(super) fn inspector(options: &KafkaLogOptions, group: &str) -> Result<BaseConsumer, KafkaError> {
    let required = [
        // librdkafka wants a name even where no group is involved.
        ("group.id", if group.is_empty() { "talea-inspector".to_owned() } else { group.to_owned() }),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("auto.offset.reset", "earliest".to_owned()),
        ("allow.auto.create.topics", "false".to_owned()),
    ];
    options.client(&[("fetch.message.max.bytes", MAX_MESSAGE_BYTES.to_string())], &required).create()
}

pub(super) fn missing(topic: &str) -> LogError {
    let problem = "it does not exist: create it with ensure_topic".to_owned();
    LogError::Topic { topic: topic.to_owned(), problem }
}

/// None when the topic does not exist.
pub(super) async fn partition_count(inspector: Arc<BaseConsumer>, topic: &str) -> Result<Option<u32>, LogError> {
    let topic = topic.to_owned();
    blocking(move || Ok(describe(&inspector, &topic)?.map(|described| described.partitions))).await
}

struct Described {
    partitions: u32,
    replicas: usize,
    all_led: bool,
}

/// Asks for all topics: asking for one by name would create it on a broker that is set up so.
fn describe(inspector: &BaseConsumer, topic: &str) -> Result<Option<Described>, KafkaError> {
    let metadata = inspector.fetch_metadata(None, REQUEST_TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && !found.partitions().is_empty());
    Ok(found.map(|found| Described {
        partitions: u32::try_from(found.partitions().len()).unwrap_or(u32::MAX),
        replicas: found.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
        all_led: found.partitions().iter().all(|partition| partition.leader() >= 0),
    }))
}

pub(super) async fn create(options: &KafkaLogOptions, spec: &TopicSpec) -> Result<(), LogError> {
    let problem = |problem: String| LogError::Topic { topic: spec.name.to_owned(), problem };
    let admin: AdminClient<DefaultClientContext> = options.client(&[], &[]).create().map_err(unavailable)?;
    let partitions = i32::try_from(spec.partitions).map_err(|_| problem("too many partitions".to_owned()))?;
    let replication = TopicReplication::Fixed(i32::try_from(options.replication_factor).unwrap_or(i32::MAX));
    let settings = settings(options, spec);
    let topic = settings
        .iter()
        .fold(NewTopic::new(&spec.name, partitions, replication), |topic, (key, value)| topic.set(key, value));
    let admin_options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
    let outcomes = admin.create_topics([&topic], &admin_options).await.map_err(unavailable)?;
    match outcomes.into_iter().next() {
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(problem(format!("it could not be created: {code}"))),
        None => Err(problem("the broker did not say whether it was created".to_owned())),
    }
}

fn settings(options: &KafkaLogOptions, spec: &TopicSpec) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("min.insync.replicas", options.min_insync_replicas.to_string()),
        ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
        ("cleanup.policy", "delete".to_owned()),
        ("segment.ms", spec.retention.min(MAX_SEGMENT).as_millis().max(1).to_string()),
    ];
    if options.log_append_time {
        settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        settings.push(("retention.ms", spec.retention.as_millis().to_string()));
    } else {
        settings.push(("message.timestamp.type", "CreateTime".to_owned()));
        // The broker refuses stamps far from its own clock, and judges retention by it.
        settings.push(("message.timestamp.after.max.ms", i64::MAX.to_string()));
        settings.push(("message.timestamp.before.max.ms", i64::MAX.to_string()));
        settings.push(("retention.ms", "-1".to_owned()));
    }
    settings
}

/// Waits, bounded, until the new topic can be written to. Answers its partition count.
pub(super) async fn await_leaders(inspector: Arc<BaseConsumer>, topic: &str) -> Result<u32, LogError> {
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    loop {
        let (asked, name) = (inspector.clone(), topic.to_owned());
        match blocking(move || describe(&asked, &name)).await? {
            Some(described) if described.all_led => return Ok(described.partitions),
            _ if Instant::now() >= deadline => {
                let problem = "it was created and its partitions got no leader: look at the brokers".to_owned();
                return Err(LogError::Topic { topic: topic.to_owned(), problem });
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

pub(super) async fn end_offsets(inspector: Arc<BaseConsumer>, topic: &str) -> Result<Vec<u64>, LogError> {
    let partitions = partition_count(inspector.clone(), topic).await?.ok_or_else(|| missing(topic))?;
    let topic = topic.to_owned();
    blocking(move || {
        let end = |partition: u32| {
            let (_, high) = inspector.fetch_watermarks(&topic, partition.cast_signed(), REQUEST_TIMEOUT)?;
            Ok(u64::try_from(high).unwrap_or(0))
        };
        (0..partitions).map(end).collect()
    })
    .await
}

pub(super) async fn committed(inspector: Arc<BaseConsumer>, topic: &str) -> Result<Vec<u64>, LogError> {
    let partitions = partition_count(inspector.clone(), topic).await?.ok_or_else(|| missing(topic))?;
    let topic = topic.to_owned();
    blocking(move || {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(&topic, 0, partitions.cast_signed() - 1);
        let offsets = inspector.committed_offsets(wanted, REQUEST_TIMEOUT)?;
        let offset = |partition: u32| match offsets.find_partition(&topic, partition.cast_signed()) {
            Some(element) => match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
                _ => 0,
            },
            None => 0,
        };
        Ok((0..partitions).map(offset).collect())
    })
    .await
}

pub(super) async fn warnings(
    options: &KafkaLogOptions,
    inspector: Arc<BaseConsumer>,
    topic: &str,
) -> Result<Vec<String>, LogError> {
    let name = topic.to_owned();
    let described = blocking(move || describe(&inspector, &name)).await?.ok_or_else(|| missing(topic))?;
    let insync = min_insync_replicas(options, topic).await?;
    let mut warnings = Vec::new();
    if described.replicas < SAFE_REPLICATION {
        warnings.push(format!(
            "topic {topic} is replicated {} times: below {SAFE_REPLICATION}, one lost broker may lose acknowledged events",
            described.replicas
        ));
    }
    if insync < SAFE_INSYNC {
        warnings.push(format!(
            "topic {topic} has min.insync.replicas {insync}: below {SAFE_INSYNC}, acks=all may mean one copy"
        ));
    }
    Ok(warnings)
}

async fn min_insync_replicas(options: &KafkaLogOptions, topic: &str) -> Result<u32, LogError> {
    let admin: AdminClient<DefaultClientContext> = options.client(&[], &[]).create().map_err(unavailable)?;
    let admin_options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let resources = admin.describe_configs([&ResourceSpecifier::Topic(topic)], &admin_options).await;
    let resource = resources.map_err(unavailable)?.into_iter().next();
    let resource = resource.ok_or_else(|| missing(topic))?.map_err(|code| LogError::Topic {
        topic: topic.to_owned(),
        problem: format!("its settings could not be read: {code}"),
    })?;
    let value = resource.get("min.insync.replicas").and_then(|entry| entry.value.as_deref()?.parse().ok());
    Ok(value.unwrap_or(1))
}
