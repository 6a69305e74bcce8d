//! Meters: what is counted, over which events, and how values fold into one.
//!
//! A [`MeterDefinition`] reads one event into a [`Reading`]; readings fold into a [`Partial`]; partials of the
//! [`buckets`](bucket_start) of a [window](window_bounds) merge into its value. The SQL of the stored path follows the
//! same rules.

mod definition;
mod digest;
mod partial;
mod reading;
mod validation;
mod window;

pub use definition::{Aggregation, Dimension, Filter, MAX_DIMENSIONS, MeterDefinition, NewMeter};
pub use digest::digest;
pub use partial::{Latest, Partial, ValueHash};
pub use reading::{Reading, UnmeteredReason};
pub use window::{BUCKET_SECONDS, MAX_WINDOWS, WindowSize, bucket_start, window_bounds};

#[cfg(test)]
mod tests;
