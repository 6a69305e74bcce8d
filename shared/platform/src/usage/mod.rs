//! Usage in ClickHouse: how it is stored, recovered, rolled up, asked for and billed.
//!
//! One builder ([`expressions`]) turns a meter into SQL, and every reader uses it: the usage query, the buckets, billing and quota.
//! Quantities are decimals from end to end: sums run in `Decimal(76, 18)`, come back as text and are narrowed with a check.
//!
//! Reading order: [`rows`] and [`insert`] (what is written), [`recovery`], [`query`] over [`buckets`] and raw events,
//! [`billing`] (what an invoice line stands on), [`lookup`] and [`dead_letters`] (what became of an event). Whoever reads events
//! leaves out those of [`voids`].

pub mod billing;
pub mod buckets;
pub mod dead_letters;
pub mod dirty;
mod expressions;
pub mod fence;
pub mod groups;
pub mod held;
pub mod insert;
pub mod lookup;
pub mod partials;
mod plan;
pub mod query;
mod ranges;
pub mod recovery;
pub mod rows;
mod spans;
pub mod splits;
mod value;
pub mod view;
pub mod voids;

use crate::clickhouse::ClickHouseError;
use talea_domain::error::FieldError;
use talea_domain::quantity::QuantityOverflow;

/// Why a question about usage has no answer.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The question is at fault; it names the field.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A total is larger than a quantity can be; it is never rounded.
    #[error(transparent)]
    Overflow(#[from] QuantityOverflow),
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] ClickHouseError),
}
