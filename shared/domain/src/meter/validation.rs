//! What a meter's definition must hold before it is journalled. All faults are told at once.

use super::{Aggregation, MAX_DIMENSIONS, MeterDefinition};
use crate::error::FieldError;

/// The most filters of a meter, and values of a filter: both become part of every query.
const MAX_FILTERS: usize = 16;
const MAX_FILTER_VALUES: usize = 100;
/// As long as a leaf of an event can be by default.
const MAX_VALUE_BYTES: usize = 1024;
const MAX_POINTER_BYTES: usize = 256;
const MAX_TYPE_BYTES: usize = 128;
const MAX_NAME_BYTES: usize = 64;

impl MeterDefinition {
    /// Every fault of the definition; fields are JSON pointers into it. Journal only what has none.
    pub fn validate(&self) -> Result<(), Vec<FieldError>> {
        let mut faults = Faults(Vec::new());
        if self.version == 0 {
            faults.add("/version", "is zero", "count versions from 1");
        }
        faults.text("/event_type", &self.event_type, MAX_TYPE_BYTES);
        match (&self.field, self.aggregation) {
            (None, Aggregation::Count) => {}
            (Some(_), Aggregation::Count) => {
                faults.add("/field", "is not read by count", "leave it out, or use another aggregation")
            }
            (None, aggregation) => {
                faults.add("/field", format!("is missing, and {aggregation} needs it"), "give a JSON pointer into data")
            }
            (Some(field), _) => faults.pointer("/field", field),
        }
        self.check_filters(&mut faults);
        self.check_dimensions(&mut faults);
        if let Some(unit) = &self.unit {
            faults.text("/unit", unit, MAX_NAME_BYTES);
        }
        if faults.0.is_empty() { Ok(()) } else { Err(faults.0) }
    }

    fn check_filters(&self, faults: &mut Faults) {
        if self.filters.len() > MAX_FILTERS {
            faults.add("/filters", format!("has more than {MAX_FILTERS} filters"), "split the meter by event type");
        }
        for (index, filter) in self.filters.iter().enumerate() {
            faults.pointer(&format!("/filters/{index}/field"), &filter.field);
            let field = format!("/filters/{index}/one_of");
            if filter.one_of.is_empty() || filter.one_of.len() > MAX_FILTER_VALUES {
                faults.add(
                    &field,
                    format!("does not have 1 to {MAX_FILTER_VALUES} values"),
                    "list the values that are counted",
                );
            }
            for (at, value) in filter.one_of.iter().enumerate() {
                if value.len() > MAX_VALUE_BYTES {
                    faults.add(
                        &format!("{field}/{at}"),
                        format!("has more than {MAX_VALUE_BYTES} bytes"),
                        "no event has a longer value",
                    );
                }
            }
        }
    }

    fn check_dimensions(&self, faults: &mut Faults) {
        if self.dimensions.len() > MAX_DIMENSIONS {
            faults.add(
                "/dimensions",
                format!("has more than {MAX_DIMENSIONS} dimensions"),
                "keep those that usage is grouped by",
            );
        }
        for (index, dimension) in self.dimensions.iter().enumerate() {
            faults.pointer(&format!("/dimensions/{index}/field"), &dimension.field);
            let field = format!("/dimensions/{index}/name");
            let name = &dimension.name;
            let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
            let goes_on_well =
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if name.len() > MAX_NAME_BYTES || !starts_well || !goes_on_well {
                let way_out = format!("use 1 to {MAX_NAME_BYTES} of a-z 0-9 _ and start with a letter");
                faults.add(&field, "is not a name", way_out);
            }
            if self.dimensions[..index].iter().any(|other| other.name == *name) {
                faults.add(&field, "occurs twice", "give each dimension its own name");
            }
        }
    }
}

struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, field: &str, reason: impl Into<String>, way_out: impl Into<String>) {
        self.0.push(FieldError::new(field, reason, way_out));
    }

    fn text(&mut self, field: &str, text: &str, max_bytes: usize) {
        if text.is_empty() || text.len() > max_bytes || text.chars().any(char::is_control) {
            self.add(field, "is not a name", format!("send 1 to {max_bytes} bytes of printable text"));
        }
    }

    /// RFC 6901: empty, or each part led by `/`, with `~` only as `~0` or `~1`.
    fn pointer(&mut self, field: &str, pointer: &str) {
        let is_led = pointer.is_empty() || pointer.starts_with('/');
        let is_escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !is_led || !is_escaped || pointer.len() > MAX_POINTER_BYTES {
            let way_out = format!("send a pointer into data of at most {MAX_POINTER_BYTES} bytes, for example /tokens");
            self.add(field, "is not a JSON pointer", way_out);
        }
    }
}
