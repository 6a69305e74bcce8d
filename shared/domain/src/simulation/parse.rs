//! From text to document. A fault is told by its place in the text: the text is read a second time for it, because to know
//! the place costs more than to read.

use super::{SimulationDocument, commands};
use crate::error::FieldError;
use serde_path_to_error::{Path, Segment};

/// The largest text of one document, in bytes: what one process reads at once without care.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

const NOT_JSON: &str = "send one document as a JSON object";
const SCHEMA: &str = "write it as schemas/simulation.v1.schema.json says";

/// Reads a document; the error's field is a JSON pointer into it.
pub fn parse(text: &str) -> Result<SimulationDocument, FieldError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(FieldError::new("", format!("has more than {MAX_DOCUMENT_BYTES} bytes"), "split it by tenant"));
    }
    serde_json::from_str(text).map_err(|error| if error.is_data() { located(text, error) } else { syntax(&error) })
}

fn syntax(error: &serde_json::Error) -> FieldError {
    FieldError::new("", format!("is not JSON: {error}"), NOT_JSON)
}

fn located(text: &str, error: serde_json::Error) -> FieldError {
    let mut reader = serde_json::Deserializer::from_str(text);
    let again: Result<SimulationDocument, _> = serde_path_to_error::deserialize(&mut reader);
    match again {
        Err(found) => {
            let field = pointer(found.path());
            fault(field, &found.into_inner())
        }
        Ok(_) => fault(String::new(), &error),
    }
}

fn fault(field: String, error: &serde_json::Error) -> FieldError {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let is_command = field.starts_with("/timeline/") && text.starts_with("unknown field");
    match text.split_once("; ") {
        Some((reason, way_out)) => FieldError::new(field, reason, way_out),
        None if is_command => FieldError::new(field, text, format!("the commands are {}", commands::names())),
        None => FieldError::new(field, text, SCHEMA),
    }
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
}
