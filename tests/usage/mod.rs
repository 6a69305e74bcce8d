//! Usage in ClickHouse, against a real server. Each function is one rule and gets a database of its own with all migrations run.

pub mod billing;
pub mod dead_letters;
pub mod dirty;
pub mod equality;
pub mod fence;
pub mod groups;
pub mod isolation;
pub mod recovery;
pub mod replace;
pub mod support;
