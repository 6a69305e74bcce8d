//! Insert statements. Each compares the epoch of its owner with the highest one that was written for the partition, in the same
//! statement: an owner that lost its partition cannot write, however late its insert arrives.

use crate::clickhouse::sql;

/// The right to write for one partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub topic: String,
    pub partition: u32,
    pub epoch: u64,
}

impl Fence {
    /// What the ids of this partition's inserts begin with, whoever owns it.
    pub fn query_prefix(&self) -> String {
        format!("{}-{}-", self.topic, self.partition)
    }

    /// The id of one insert: unique by epoch and attempt.
    pub fn query_id(&self, table: Table, attempt: u64) -> String {
        format!("{}{}-{attempt}-{}", self.query_prefix(), self.epoch, table.name())
    }

    /// True for every row while this epoch is the highest; raises `fenced` otherwise, also when none was written.
    pub(super) fn condition(&self) -> String {
        format!(
            "throwIf((SELECT max(epoch) FROM usage_fences WHERE topic = {} AND partition = {}) != {}, 'fenced') = 0",
            sql::text(&self.topic),
            self.partition,
            self.epoch
        )
    }
}

/// The tables that metering writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Events,
    Voids,
    Identities,
    Repeats,
    DeadLetters,
}

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "usage_events",
            Self::Voids => "usage_voids",
            Self::Identities => "usage_identities",
            Self::Repeats => "usage_repeats",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// Columns and types, in the order in which `rows` encodes them.
    fn columns(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Events => &[
                ("tenant_id", "String"),
                ("event_type", "LowCardinality(String)"),
                ("time", "DateTime64(9, 'UTC')"),
                ("identity", "UInt128"),
                ("body_hash", "UInt128"),
                ("source", "String"),
                ("id", "String"),
                ("subject", "String"),
                ("numbers", "Map(LowCardinality(String), Decimal(38, 18))"),
                ("texts", "Map(LowCardinality(String), String)"),
                ("unreadable", "Array(String)"),
                ("partition", "UInt32"),
                ("offset", "UInt64"),
                ("epoch", "UInt64"),
                ("log_time", "DateTime64(6, 'UTC')"),
                ("backfill", "UInt8"),
            ],
            Self::Voids => &[
                ("tenant_id", "String"),
                ("event_type", "LowCardinality(String)"),
                ("time", "DateTime64(9, 'UTC')"),
                ("identity", "UInt128"),
                ("of_partition", "UInt32"),
                ("of_offset", "UInt64"),
                ("of_source", "String"),
                ("of_id", "String"),
                ("source", "String"),
                ("id", "String"),
                ("reason", "String"),
                ("replaced_source", "String"),
                ("replaced_id", "String"),
                ("partition", "UInt32"),
                ("offset", "UInt64"),
                ("epoch", "UInt64"),
                ("log_time", "DateTime64(6, 'UTC')"),
            ],
            Self::Identities => &[
                ("identity", "UInt128"),
                ("body_hash", "UInt128"),
                ("partition", "UInt32"),
                ("offset", "UInt64"),
                ("first_seen", "DateTime64(6, 'UTC')"),
                ("backfill", "UInt8"),
            ],
            Self::Repeats => &[
                ("tenant_id", "String"),
                ("identity", "UInt128"),
                ("body_hash", "UInt128"),
                ("partition", "UInt32"),
                ("offset", "UInt64"),
                ("of_partition", "UInt32"),
                ("of_offset", "UInt64"),
                ("epoch", "UInt64"),
                ("log_time", "DateTime64(6, 'UTC')"),
            ],
            Self::DeadLetters => &[
                ("tenant_id", "String"),
                ("topic", "LowCardinality(String)"),
                ("partition", "UInt32"),
                ("offset", "UInt64"),
                ("source", "String"),
                ("id", "String"),
                ("identity", "UInt128"),
                ("event_type", "String"),
                ("reason", "LowCardinality(String)"),
                ("field", "String"),
                ("detail", "String"),
                ("way_out", "String"),
                ("payload", "String"),
                ("headers", "Array(Tuple(name String, value String))"),
                ("log_time", "DateTime64(6, 'UTC')"),
                ("epoch", "UInt64"),
            ],
        }
    }
}

/// The statement that inserts a RowBinary body into `table` under `fence`.
pub fn statement(table: Table, fence: &Fence) -> String {
    let names: Vec<&str> = table.columns().iter().map(|(name, _)| *name).collect();
    let types: Vec<String> = table.columns().iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    let names = names.join(", ");
    format!(
        "INSERT INTO {} ({names}) SELECT {names} FROM input({}) WHERE {} FORMAT RowBinary",
        table.name(),
        sql::text(&types.join(", ")),
        fence.condition()
    )
}
