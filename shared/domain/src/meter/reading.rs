//! What a meter reads from one event.

use super::{Aggregation, MeterDefinition};
use crate::event::UsageEvent;
use crate::quantity::Quantity;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What a meter reads from one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// The type or a filter does not match: the event is not this meter's.
    Ignored,
    /// The event is this meter's, but has no value that it can read.
    Unmetered(UnmeteredReason),
    Value {
        /// The number, for the aggregations that need one.
        value: Option<Quantity>,
        /// The text form, for a unique count.
        text: Option<String>,
        /// One text form for each dimension, in the definition's order; "" where the event has none.
        dimensions: Vec<String>,
    },
}

/// Why an event of a meter's type has no value for it. The event stays stored and is counted as unmetered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnmeteredReason {
    /// The field is absent, null, or an object.
    FieldMissing,
    /// The field is a text, a boolean or an array.
    NotANumber,
    /// The field is a number that does not fit exactly.
    NumberDoesNotFit,
}

impl UnmeteredReason {
    /// The name as shown: snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FieldMissing => "field_missing",
            Self::NotANumber => "not_a_number",
            Self::NumberDoesNotFit => "number_does_not_fit",
        }
    }
}

impl fmt::Display for UnmeteredReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl MeterDefinition {
    /// Whether an event is this meter's: its type, and every filter.
    pub fn matches(&self, event: &UsageEvent) -> bool {
        self.event_type == event.event_type
            && self.filters.iter().all(|filter| {
                event.text_form(&filter.field).is_some_and(|text| filter.one_of.iter().any(|value| *value == text))
            })
    }

    /// Reads an event. A `count` reads no value, and a `unique_count` reads any leaf by its text form.
    pub fn read(&self, event: &UsageEvent) -> Reading {
        if !self.matches(event) {
            return Reading::Ignored;
        }
        let field = self.field.as_deref().unwrap_or("");
        let (value, text) = match self.aggregation {
            Aggregation::Count => (None, None),
            Aggregation::UniqueCount => match event.text_form(field) {
                Some(text) => (None, Some(text.into_owned())),
                None => return Reading::Unmetered(UnmeteredReason::FieldMissing),
            },
            _ => match event.number(field) {
                Some(value) => (Some(value), None),
                None => return Reading::Unmetered(unmetered(event, field)),
            },
        };
        let dimension = |pointer: &str| event.text_form(pointer).map(Cow::into_owned).unwrap_or_default();
        let dimensions = self.dimensions.iter().map(|at| dimension(&at.field)).collect();
        Reading::Value { value, text, dimensions }
    }
}

fn unmetered(event: &UsageEvent, field: &str) -> UnmeteredReason {
    if event.is_unreadable(field) {
        UnmeteredReason::NumberDoesNotFit
    } else if event.text_form(field).is_some() {
        UnmeteredReason::NotANumber
    } else {
        UnmeteredReason::FieldMissing
    }
}
