//! `POST /v1/events` over real HTTP into the real Postgres log. Each check gets a migrated database of its own.

pub mod admission;
pub mod import;
pub mod keys;
pub mod requests;
pub mod scene;
pub mod verdicts;
