//! What is wrong with an input, said so that its sender can mend it.

use serde::{Deserialize, Serialize};

/// One fault of an input. It names the field, the reason and the way out; it never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, thiserror::Error)]
#[error("{field}: {reason}; {way_out}")]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the input, or the attribute's name where there is no JSON.
    pub field: String,
    /// What is wrong, as a sentence without a full stop.
    pub reason: String,
    /// What the sender can do about it.
    pub way_out: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, reason: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), way_out: way_out.into() }
    }
}
