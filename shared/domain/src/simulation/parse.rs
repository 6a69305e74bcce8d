//! From text to document. A fault is told by its place in the text.

use super::{SimulationDocument, commands};
use crate::error::FieldError;
use crate::objects::{Unreadable, from_text};

/// The largest text of one document, in bytes: what one process reads at once without care.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

const NOT_JSON: &str = "send one document as a JSON object";
const SCHEMA: &str = "write it as schemas/simulation.v1.schema.json says";

/// Reads a document; the error's field is a JSON pointer into it.
pub fn parse(text: &str) -> Result<SimulationDocument, FieldError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(FieldError::new("", format!("has more than {MAX_DOCUMENT_BYTES} bytes"), "split it by tenant"));
    }
    from_text(text).map_err(fault)
}

fn fault(error: Unreadable) -> FieldError {
    let Unreadable { place, reason, is_json } = error;
    let is_command = place.starts_with("/timeline/") && reason.starts_with("unknown field");
    match reason.split_once("; ") {
        _ if !is_json => FieldError::new("", format!("is not JSON: {reason}"), NOT_JSON),
        Some((reason, way_out)) => FieldError::new(place, reason, way_out),
        None if is_command => FieldError::new(place, reason, format!("the commands are {}", commands::names())),
        None => FieldError::new(place, reason, SCHEMA),
    }
}
