//! Reading JSON in which objects are objects. Derived readers take an array in place of an object too, its members by their
//! places, so that `[[]]` would be a list of one entry with every default. Nothing that people send is read so.

mod adapter;

use adapter::{Objects, Tagged};
use serde::de::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

/// Reads a value in which no array is an object. What lies below a member that names a variant is read before its
/// type is known, and needs this again.
pub fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(Objects(deserializer))
}

/// Reads an enum that names its variant in a member, and what is below it.
pub fn tagged<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(Tagged(deserializer))
}

/// The same, where it may be absent or null.
pub fn optional_tagged<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Variant<T>>::deserialize(deserializer)?.map(|variant| variant.0))
}

struct Variant<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Variant<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer).map(Self)
    }
}

/// Why a text cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// JSON pointer (RFC 6901) into the text.
    pub place: String,
    /// Without line and column, which the pointer tells better.
    pub reason: String,
    /// Whether the text is JSON at all.
    pub is_json: bool,
}

/// Reads a text. It is read a second time for the place of a fault, because to know the place costs more than to read.
pub fn from_text<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Unreadable> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = read(&mut reader).and_then(|value| reader.end().map(|()| value));
    found.map_err(|error| if error.is_data() { located::<T>(text, &error) } else { syntax(&error) })
}

fn syntax(error: &serde_json::Error) -> Unreadable {
    Unreadable { place: String::new(), reason: error.to_string(), is_json: false }
}

fn located<'de, T: Deserialize<'de>>(text: &'de str, error: &serde_json::Error) -> Unreadable {
    let mut reader = serde_json::Deserializer::from_str(text);
    let again: Result<T, _> = serde_path_to_error::deserialize(Objects(&mut reader));
    match again {
        Err(found) => {
            let place = pointer(found.path());
            Unreadable { place, reason: said(&found.into_inner()), is_json: true }
        }
        Ok(_) => Unreadable { place: String::new(), reason: said(error), is_json: true },
    }
}

fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
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
