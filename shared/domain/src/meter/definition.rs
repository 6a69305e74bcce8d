//! What a meter counts. A version of a meter never changes: another definition is another version.

use crate::id::MeterKey;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most dimensions of a meter: each multiplies the groups of a bucket.
pub const MAX_DIMENSIONS: usize = 5;

/// One version of a meter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MeterDefinition {
    pub key: MeterKey,
    /// From 1.
    pub version: u32,
    /// The CloudEvents `type` that is counted.
    pub event_type: String,
    pub aggregation: Aggregation,
    /// JSON pointer into `data`, for example `/tokens`. Every aggregation but `count` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Only events that pass all of these are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// What usage can be grouped by; at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<Dimension>,
    /// What one is called on an invoice, for example `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// A meter as it is asked for; the version is given.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMeter {
    pub key: MeterKey,
    /// The CloudEvents `type` that is counted.
    pub event_type: String,
    pub aggregation: Aggregation,
    /// JSON pointer into `data`; needed by every aggregation but `count`.
    #[serde(default)]
    pub field: Option<String>,
    #[serde(default)]
    pub filters: Vec<Filter>,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    #[serde(default)]
    pub unit: Option<String>,
}

impl NewMeter {
    pub fn defined(self, version: u32, created_at: DateTime<Utc>) -> MeterDefinition {
        let Self { key, event_type, aggregation, field, filters, dimensions, unit } = self;
        MeterDefinition { key, version, event_type, aggregation, field, filters, dimensions, unit, created_at }
    }
}

/// How the values of events fold into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The number of events.
    Count,
    Sum,
    Max,
    Min,
    /// Sum by count, rounded once to 18 decimals.
    Avg,
    /// The value of the latest event time; of equal times, that of the highest identity.
    Latest,
    /// The number of distinct values, exact.
    UniqueCount,
}

impl Aggregation {
    pub const ALL: [Self; 7] =
        [Self::Count, Self::Sum, Self::Max, Self::Min, Self::Avg, Self::Latest, Self::UniqueCount];

    /// The name as stored and as shown: snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Avg => "avg",
            Self::Latest => "latest",
            Self::UniqueCount => "unique_count",
        }
    }

    /// Whether it needs a field that is a number.
    pub fn needs_number(self) -> bool {
        !matches!(self, Self::Count | Self::UniqueCount)
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Admits events whose leaf has one of these text forms. An event without the leaf does not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Filter {
    /// JSON pointer into `data`.
    pub field: String,
    /// Texts as they are; numbers without exponent and trailing zeros.
    pub one_of: Vec<String>,
}

/// Something that usage can be grouped by. An event without the leaf belongs to the group "".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dimension {
    /// The name in queries, for example `model`.
    pub name: String,
    /// JSON pointer into `data`.
    pub field: String,
}
