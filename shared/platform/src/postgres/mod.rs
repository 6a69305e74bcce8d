//! Postgres: typed pools, one per role, so that code can only do what its role may do; migrations; the table registry.
//!
//! A request handler holds an [`AppPool`] and can only begin a transaction for a tenant. Background work holds a
//! [`WorkerPool`]. Reading over all tenants needs [`AllTenants`], which only an unbound key or the command line gives.

mod error;
mod migrate;
mod pools;
pub mod registry;
mod start;
mod target;
mod transaction;

pub use error::{DatabaseError, ErrorClass, classify};
pub use migrate::{MigrateError, migrate};
pub use pools::{AppPool, Databases, OperatorPool, OwnerPool, PoolSettings, WorkerPool, refuse_unsafe_role};
pub use start::PartitionsError;
pub use target::{Role, RolePasswords, Target};
pub use transaction::{AllTenants, Tx, TxScope};
