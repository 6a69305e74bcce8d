//! What Postgres must guarantee: journal, roles, projections, keys, outbox. Each test gets a database of its own that was
//! migrated.

pub mod fixtures;
pub mod journal;
pub mod keys;
pub mod migrate;
pub mod outbox;
pub mod pools;
pub mod projections;
pub mod tenants;
