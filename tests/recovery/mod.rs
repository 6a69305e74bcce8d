//! A process that ends anywhere, and the next one that goes on: everything acknowledged counts exactly once.

pub mod backlog;
pub mod crash;
pub mod kill;
mod local_engines;
pub mod shutdown;
pub mod stored;
pub mod stuck;
