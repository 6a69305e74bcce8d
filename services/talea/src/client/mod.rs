//! Commands that ask a running server over its HTTP API, with an API key: for whoever could also write the `curl` line.

pub mod apply;
pub mod billing;
pub mod credit_notes;
pub mod dead_letters;
mod document;
mod http;
pub mod invoices;
pub(crate) mod table;
pub mod usage;
