//! How much one event may hold. Every limit bounds something that is stored or kept in memory once per event.

use serde::{Deserialize, Serialize};

/// The limits of one event; the settings are `events.<field>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventLimits {
    /// The whole event as sent, in bytes. Keeps a batch of 10,000 within a block.
    pub max_event_bytes: usize,
    /// Leaves of `data`: each is an entry of a map column.
    pub max_leaves: usize,
    /// One text leaf, in bytes; arrays count in their canonical form.
    pub max_text_bytes: usize,
    /// One leaf's JSON pointer, in bytes. Pointers are dictionary-coded, so they should be few and short.
    pub max_pointer_bytes: usize,
    /// Nested objects and arrays of `data`: the reader recurses, so this bounds its stack.
    pub max_depth: usize,
    pub max_source_bytes: usize,
    pub max_id_bytes: usize,
    pub max_type_bytes: usize,
    pub max_subject_bytes: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            max_event_bytes: 64 * 1024,
            max_leaves: 64,
            max_text_bytes: 1024,
            max_pointer_bytes: 256,
            max_depth: 16,
            max_source_bytes: 512,
            max_id_bytes: 256,
            max_type_bytes: 128,
            max_subject_bytes: 256,
        }
    }
}
