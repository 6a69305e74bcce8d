//! Benches alone: see `benches/`.
