//! Billing on real engines: when a period closes, what late usage does, that a document is issued once, and what finance
//! reads.

pub mod charges;
pub mod closing;
pub mod commitment;
pub mod dimensions;
pub mod finance;
pub mod held;
pub mod late;
pub mod lifecycle;
pub mod once;
pub mod payments;
mod support;
pub mod terms;
pub mod voids;
pub mod wallets;
pub mod what_if;
