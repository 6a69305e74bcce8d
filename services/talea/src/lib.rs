//! Talea's command line: every role as a subcommand, the local engines, the demo.

pub mod admin;
mod cli;
pub mod client;
pub mod demo;
pub mod engines;
pub mod import;
pub mod local;
mod openapi;
pub mod serve;
pub mod simulate;

pub use cli::main;
