//! A usage event: one thing that a tenant did, as an app service told it in CloudEvents 1.0.
//!
//! A [`UsageEvent`] that exists is valid. It is read once, here: `data` is flattened to leaves, so that nothing later
//! reads JSON, and its identity and body hash decide later whether it was counted before.

mod attributes;
mod binary;
mod data;
mod dead_letter;
mod identity;
mod json;
mod limits;
mod structured;
mod time;
mod void;

pub use attributes::EVENT_VOIDED;
pub use dead_letter::{DeadLetterReason, Window, window};
pub use identity::{Identity, identity_of};
pub use limits::EventLimits;
pub use void::{EventName, EventVoid, MAX_REASON_BYTES, Submission};

pub(crate) use identity::{hash_128, hex_128};

use crate::id::TenantId;
use crate::quantity::{Quantity, canonical};
use chrono::{DateTime, Utc};
use std::borrow::Cow;

/// One valid usage event. `numbers` and `texts` are the leaves of `data`, keyed by JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    pub tenant: TenantId,
    pub source: String,
    pub id: String,
    pub event_type: String,
    /// Who or what inside the tenant did it.
    pub subject: Option<String>,
    /// When it happened, by its sender; to the nanosecond, within the years 1970 to 2199.
    pub time: DateTime<Utc>,
    pub numbers: Vec<(String, Quantity)>,
    /// Strings, `true` and `false`, arrays in canonical JSON, and the numbers of `unreadable` in their canonical form.
    pub texts: Vec<(String, String)>,
    /// Pointers of the numbers that no quantity holds exactly.
    pub unreadable: Vec<String>,
    /// What makes it the same event: tenant, source and id.
    pub identity: Identity,
    /// What makes it the same content: type, subject and canonical `data`, without time and transport attributes.
    pub body_hash: u128,
}

impl UsageEvent {
    /// The number at a pointer.
    pub fn number(&self, pointer: &str) -> Option<Quantity> {
        self.numbers.iter().find(|(at, _)| at == pointer).map(|(_, value)| *value)
    }

    /// The text form of the leaf at a pointer, as filters, dimensions and unique values see it: a text as it is, a
    /// number in its canonical form.
    pub fn text_form(&self, pointer: &str) -> Option<Cow<'_, str>> {
        match self.texts.iter().find(|(at, _)| at == pointer) {
            Some((_, text)) => Some(Cow::Borrowed(text)),
            None => self.number(pointer).map(|value| Cow::Owned(canonical(value))),
        }
    }

    /// Whether the leaf at a pointer is a number that no quantity holds exactly.
    pub fn is_unreadable(&self, pointer: &str) -> bool {
        self.unreadable.iter().any(|at| at == pointer)
    }
}

#[cfg(test)]
mod tests;
