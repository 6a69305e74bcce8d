//! Everything that needs an engine, as one program, so that the engines start once.
//!
//! Reading order: [`harness`] (what a test stands on), [`suites`] (which cases exist), then a folder a subject.

mod billing;
mod events;
mod harness;
mod ingest;
mod isolation;
mod log;
mod openapi;
mod postgres;
mod proof;
mod quota;
mod recovery;
mod suites;
mod tidy;
mod usage;
