//! From a sender's request to the answer about usage, through a real server: every way of counting wrong that comparable
//! systems fell into.

pub mod answers;
pub mod counting;
pub mod failures;
pub mod pages;
pub mod poison;
pub mod status;
pub mod values;
pub mod voids;
pub mod window;
pub mod windows_of_usage;

/// September and October of the tests' year, one after the other.
pub const SEPTEMBER: (&str, &str) = ("2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z");
pub const OCTOBER: (&str, &str) = ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z");
/// From before W to after the future that is admitted.
pub const ALWAYS: (&str, &str) = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
