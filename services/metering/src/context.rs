//! What every part of metering shares.

use crate::totals::TotalsPublisher;
use chrono::{DateTime, Duration, Utc};
use std::sync::Arc;
use talea_domain::event::{EventLimits, Window};
use talea_platform::clock::Clock;
use talea_platform::config::Config;
use talea_platform::runtime::Platform;
use tokio::sync::Notify;

/// The consumer group of metering.
pub const GROUP: &str = "talea-metering";

pub struct Context {
    pub platform: Platform,
    pub settings: Settings,
    pub totals: TotalsPublisher,
    /// Wakes the bucket worker.
    pub buckets_changed: Arc<Notify>,
}

impl Context {
    pub fn clock(&self) -> &Clock {
        &self.platform.clock
    }
}

pub struct Settings {
    pub partitions: u32,
    pub window: Window,
    pub limits: EventLimits,
    pub block_events: usize,
    pub linger: std::time::Duration,
}

/// How far the clocks that stamp records may stand apart.
const CLOCKS_APART_MINUTES: i64 = 60;

impl Settings {
    /// From which log time on identities are remembered when records are judged that the log took at `appended_at` or later.
    pub fn remembered_from(&self, appended_at: DateTime<Utc>) -> DateTime<Utc> {
        appended_at - self.window.late - Duration::minutes(CLOCKS_APART_MINUTES)
    }

    pub fn new(config: &Config) -> Self {
        let metering = &config.metering;
        Self {
            partitions: config.log.partitions,
            window: Window {
                late: Duration::days(i64::try_from(metering.window_days).unwrap_or(i64::from(u16::MAX))),
                future: Duration::minutes(i64::try_from(metering.future_minutes).unwrap_or(i64::from(u16::MAX))),
            },
            limits: config.events.clone(),
            block_events: metering.block_events,
            linger: std::time::Duration::from_millis(metering.block_linger_milliseconds),
        }
    }
}
