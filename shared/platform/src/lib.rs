//! I/O adapters around the domain: the logs, the stores, configuration, HTTP, and the loop that workers run in.

pub mod catalogue;
pub mod charges;
pub mod clickhouse;
pub mod clock;
pub mod config;
pub mod credits;
pub mod epochs;
pub mod health;
pub mod http;
pub mod journal;
pub mod keys;
pub mod log;
pub mod outbox;
pub mod parties;
pub mod postgres;
pub mod projections;
pub mod random;
pub mod receivables;
pub mod runtime;
pub mod secret;
pub mod telemetry;
pub mod tenants;
pub mod terms;
pub mod usage;
pub mod worker;
