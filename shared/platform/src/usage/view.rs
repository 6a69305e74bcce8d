//! A stored event as HTTP shows it.

use super::rows::StoredEvent;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use talea_domain::event::UsageEvent;
use talea_domain::quantity::canonical;

/// What the sender sent, and what it is counted under.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EventContent {
    pub source: String,
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub time: DateTime<Utc>,
    /// Leaves of `data` by JSON pointer.
    pub numbers: BTreeMap<String, String>,
    pub texts: BTreeMap<String, String>,
    /// 32 hex digits.
    pub identity: String,
    /// 32 hex digits.
    pub body_hash: String,
}

/// A place in the usage log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Record {
    pub partition: u32,
    pub offset: u64,
    pub log_time: DateTime<Utc>,
}

impl StoredEvent {
    pub fn view(self) -> (EventContent, Record) {
        let Self { event, partition, offset, log_time, .. } = self;
        (content(event), Record { partition, offset, log_time })
    }
}

fn content(event: UsageEvent) -> EventContent {
    EventContent {
        source: event.source,
        id: event.id,
        event_type: event.event_type,
        subject: event.subject,
        time: event.time,
        numbers: event.numbers.into_iter().map(|(pointer, value)| (pointer, canonical(value))).collect(),
        texts: event.texts.into_iter().collect(),
        identity: event.identity.to_string(),
        body_hash: format!("{:032x}", event.body_hash),
    }
}
