//! An event's `data`, read once: its leaves, and the canonical form that its body hash is made of.
//!
//! The canonical form is RFC 8785 (members sorted by UTF-16 code units, minimal escapes), except that numbers are exact
//! decimals instead of doubles: `1`, `1.0` and `1e0` are one number, and no digit is lost. A member name that occurs
//! twice in one object is refused, because its readers would differ.

use super::EventLimits;
use super::json::{Members, by_utf16, decode_text, push_escaped, push_pointer};
use crate::error::FieldError;
use crate::quantity::{Quantity, Spelling};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What is read from `data`.
#[derive(Default)]
pub(super) struct Data {
    pub(super) numbers: Vec<(String, Quantity)>,
    pub(super) texts: Vec<(String, String)>,
    pub(super) unreadable: Vec<String>,
    /// Empty when there is no `data`.
    pub(super) canonical: String,
}

/// Reads `data`. A value that is no object becomes one leaf at the pointer "".
pub(super) fn read_data(raw: Option<&RawValue>, limits: &EventLimits) -> Result<Data, FieldError> {
    let Some(raw) = raw else {
        return Ok(Data::default());
    };
    let data = Data { canonical: String::with_capacity(raw.get().len()), ..Data::default() };
    let mut reader = Reader { data, pointer: String::new(), limits };
    reader.read(raw, limits.max_depth)?;
    Ok(reader.data)
}

struct Reader<'l> {
    data: Data,
    /// Where the reader stands, as a JSON pointer into `data`.
    pointer: String,
    limits: &'l EventLimits,
}

impl Reader<'_> {
    /// Reads a value that is a leaf, or an object with leaves in it.
    fn read(&mut self, raw: &RawValue, depth: usize) -> Result<(), FieldError> {
        let start = self.data.canonical.len();
        match raw.get().as_bytes().first() {
            Some(b'{') => self.read_object(raw, depth),
            Some(b'[') => {
                self.write_array(raw, depth)?;
                let text = self.data.canonical[start..].to_owned();
                self.push_text(text)
            }
            Some(b'"') => {
                let text = self.text(raw)?;
                push_escaped(&mut self.data.canonical, &text);
                self.push_text(text.into_owned())
            }
            Some(b'n') => {
                self.data.canonical.push_str("null");
                Ok(())
            }
            Some(b't' | b'f') => {
                self.data.canonical.push_str(raw.get());
                self.push_text(raw.get().to_owned())
            }
            _ => self.read_number(raw),
        }
    }

    fn read_number(&mut self, raw: &RawValue) -> Result<(), FieldError> {
        let number = self.number(raw)?;
        let start = self.data.canonical.len();
        number.write_canonical(&mut self.data.canonical);
        self.check_leaf()?;
        match number.quantity() {
            Some(quantity) => self.data.numbers.push((self.pointer.clone(), quantity)),
            None => {
                // Not bounded like other texts: a number never costs the event, whose size is bounded.
                let text = self.data.canonical[start..].to_owned();
                self.data.texts.push((self.pointer.clone(), text));
                self.data.unreadable.push(self.pointer.clone());
            }
        }
        Ok(())
    }

    fn read_object(&mut self, raw: &RawValue, depth: usize) -> Result<(), FieldError> {
        let above = self.pointer.len();
        self.write_members(raw, depth, |reader, name, value, depth| {
            push_pointer(&mut reader.pointer, name);
            reader.read(value, depth)?;
            reader.pointer.truncate(above);
            Ok(())
        })
    }

    /// Writes a value inside an array: part of the array's leaf, no leaf itself.
    fn write(&mut self, raw: &RawValue, depth: usize) -> Result<(), FieldError> {
        match raw.get().as_bytes().first() {
            Some(b'{') => self.write_members(raw, depth, |reader, _, value, depth| reader.write(value, depth)),
            Some(b'[') => self.write_array(raw, depth),
            Some(b'"') => {
                let text = self.text(raw)?;
                push_escaped(&mut self.data.canonical, &text);
                Ok(())
            }
            Some(b'n' | b't' | b'f') => {
                self.data.canonical.push_str(raw.get());
                Ok(())
            }
            _ => {
                self.number(raw)?.write_canonical(&mut self.data.canonical);
                Ok(())
            }
        }
    }

    fn write_array(&mut self, raw: &RawValue, depth: usize) -> Result<(), FieldError> {
        let depth = self.deeper(depth)?;
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|error| self.malformed(error))?;
        self.data.canonical.push('[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.data.canonical.push(',');
            }
            self.write(item, depth)?;
        }
        self.data.canonical.push(']');
        Ok(())
    }

    fn write_members(
        &mut self,
        raw: &RawValue,
        depth: usize,
        mut value_reader: impl FnMut(&mut Self, &str, &RawValue, usize) -> Result<(), FieldError>,
    ) -> Result<(), FieldError> {
        let depth = self.deeper(depth)?;
        let Members(mut members) = serde_json::from_str(raw.get()).map_err(|error| self.malformed(error))?;
        members.sort_unstable_by(|(left, _), (right, _)| by_utf16(left, right));
        self.data.canonical.push('{');
        for (index, (name, value)) in members.iter().enumerate() {
            if index > 0 {
                self.data.canonical.push(',');
                if members[index - 1].0 == *name {
                    push_pointer(&mut self.pointer, name);
                    return Err(self.wrong("occurs twice", "send each member of an object once"));
                }
            }
            push_escaped(&mut self.data.canonical, name);
            self.data.canonical.push(':');
            value_reader(self, name, value, depth)?;
        }
        self.data.canonical.push('}');
        Ok(())
    }

    fn push_text(&mut self, text: String) -> Result<(), FieldError> {
        self.check_leaf()?;
        let max = self.limits.max_text_bytes;
        if text.len() > max {
            return Err(self.wrong(
                format!("has more than {max} bytes"),
                "send what is metered and leave the rest out, or raise the setting events.max_text_bytes",
            ));
        }
        self.data.texts.push((self.pointer.clone(), text));
        Ok(())
    }

    fn check_leaf(&self) -> Result<(), FieldError> {
        let (max, max_pointer) = (self.limits.max_leaves, self.limits.max_pointer_bytes);
        if self.data.numbers.len() + self.data.texts.len() >= max {
            return Err(FieldError::new(
                "/data",
                format!("has more than {max} values"),
                "send what is metered and leave the rest out, or raise the setting events.max_leaves",
            ));
        }
        if self.pointer.len() > max_pointer {
            let way_out = "use shorter member names, or raise the setting events.max_pointer_bytes";
            return Err(FieldError::new(
                "/data",
                format!("has a JSON pointer of more than {max_pointer} bytes"),
                way_out,
            ));
        }
        Ok(())
    }

    fn deeper(&self, depth: usize) -> Result<usize, FieldError> {
        depth.checked_sub(1).ok_or_else(|| {
            let reason = format!("is nested deeper than {}", self.limits.max_depth);
            FieldError::new("/data", reason, "send flatter data, or raise the setting events.max_depth")
        })
    }

    fn text<'a>(&self, raw: &'a RawValue) -> Result<Cow<'a, str>, FieldError> {
        decode_text(raw).map_err(|reason| self.wrong(reason, "send valid Unicode"))
    }

    fn number<'a>(&self, raw: &'a RawValue) -> Result<Spelling<'a>, FieldError> {
        Spelling::parse(raw.get()).ok_or_else(|| self.wrong("is not a number", "send a JSON number"))
    }

    fn malformed(&self, error: serde_json::Error) -> FieldError {
        self.wrong(format!("is not valid JSON: {error}"), "send valid JSON in valid Unicode")
    }

    fn wrong(&self, reason: impl Into<String>, way_out: &str) -> FieldError {
        FieldError::new(format!("/data{}", self.pointer), reason, way_out)
    }
}
