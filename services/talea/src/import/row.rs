//! One row becomes one CloudEvent, or a reason why it cannot.

use super::mapping::{Kind, Layout, Leaf, Value};
use chrono::SecondsFormat;
use serde_json::{Map, Value as Json, json};
use talea_domain::quantity::parse_quantity;

/// Names the rows of a file that have no id of their own: by the file's content and the row's number. A second import of the
/// file, under whatever name, makes the same ids; two equal rows are two events.
#[derive(Debug, Clone)]
pub struct FileIdentity(String);

impl FileIdentity {
    /// From the SHA-256 of the file's bytes; 128 bits of it are enough to tell files apart.
    pub fn new(sha256: &[u8]) -> Self {
        Self(sha256.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    fn row_id(&self, row: u64) -> String {
        format!("{}-{row}", self.0)
    }
}

/// The event of the `row`-th row (from 1) as structured JSON.
pub fn event(record: &csv::StringRecord, row: u64, layout: &Layout, file: &FileIdentity) -> Result<String, String> {
    if record.len() != layout.columns {
        return Err(format!("the row has {} columns, the first line has {}", record.len(), layout.columns));
    }
    let cell = |place: usize| record.get(place).unwrap_or_default().trim();
    let time = layout.time_format.parse(cell(layout.time))?;
    let id = match layout.id {
        Some(place) if cell(place).is_empty() => return Err("the id is empty".to_owned()),
        Some(place) => cell(place).to_owned(),
        None => file.row_id(row),
    };
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": layout.source,
        "type": layout.event_type,
        "time": time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    });
    for (name, value) in [("tenantid", &layout.tenant), ("subject", &layout.subject)] {
        match value {
            Some(Value::Fixed(text)) => event[name] = text.as_str().into(),
            Some(Value::Cell(place)) if !cell(*place).is_empty() => event[name] = cell(*place).into(),
            _ => {}
        }
    }
    let mut data = Map::new();
    for leaf in &layout.leaves {
        let text = cell(leaf.column);
        if !(text.is_empty() && leaf.optional) {
            insert(&mut data, &leaf.path, leaf_value(leaf, text)?);
        }
    }
    event["data"] = Json::Object(data);
    Ok(event.to_string())
}

/// A number keeps its digits: it goes from the file's text into the event's text and is never a float.
fn leaf_value(leaf: &Leaf, text: &str) -> Result<Json, String> {
    let wrong = || format!("column `{}`: `{text}` is not an exact decimal number", leaf.column_name);
    match leaf.kind {
        Kind::Text => Ok(text.into()),
        Kind::Number => {
            parse_quantity(text).ok_or_else(wrong)?;
            serde_json::from_str(text).map_err(|_| wrong())
        }
    }
}

fn insert(object: &mut Map<String, Json>, path: &[String], value: Json) {
    match path {
        [] => {}
        [name] => {
            object.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = object.entry(name.clone()).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mapping::Mapping;
    use super::*;
    use talea_domain::event::{EventLimits, UsageEvent};

    const MAPPING: &str = r#"
        event = { type = "llm.inference", source = "trace" }
        time = { column = "at" }
        tenant = { column = "customer" }
        subject = { column = "user" }
        [[data]]
        column = "in"
        field = "/tokens/in"
        kind = "number"
        [[data]]
        column = "out"
        field = "/tokens/out"
        kind = "number"
        optional = true
        [[data]]
        column = "model"
        field = "model"
        kind = "text"
    "#;
    const AT: &str = "2023-11-16T18:17:03.97996Z";

    fn layout() -> Layout {
        let header = csv::StringRecord::from(vec!["at", "customer", "user", "in", "out", "model"]);
        Mapping::parse(MAPPING).expect("valid").layout(&header, None).expect("fits")
    }

    fn of(cells: &[&str], row: u64) -> Result<String, String> {
        event(&csv::StringRecord::from(cells.to_vec()), row, &layout(), &FileIdentity::new(&[0xab; 32]))
    }

    #[test]
    fn a_row_is_a_valid_event_with_every_digit() {
        let text = of(&[AT, "acme", "", "123456789.123456789123", "", " gpt \"4\" "], 7).expect("maps");
        let event = UsageEvent::parse_structured(text.as_bytes(), None, &EventLimits::default()).expect("valid");
        assert_eq!((event.tenant.as_str(), event.id.clone()), ("acme", format!("{}-7", "ab".repeat(16))));
        assert_eq!(event.number("/tokens/in").map(|n| n.to_string()).as_deref(), Some("123456789.123456789123"));
        assert_eq!(event.number("/tokens/out"), None);
        assert_eq!(event.text_form("/model").as_deref(), Some("gpt \"4\""));
        assert_eq!((event.subject, event.time.to_rfc3339()), (None, "2023-11-16T18:17:03.979960+00:00".to_owned()));
        assert!(event.unreadable.is_empty());
    }

    #[test]
    fn equal_rows_are_two_events_and_the_same_row_is_one() {
        let cells = [AT, "acme", "u", "1", "2", "m"];
        assert_ne!(of(&cells, 1), of(&cells, 2));
        assert_eq!(of(&cells, 1), of(&cells, 1));
    }

    #[test]
    fn a_faulty_row_says_why() {
        for (cells, says) in [
            (&[AT, "acme", "u", "1", "2"][..], "5 columns"),
            (&[AT, "acme", "u", "1", "2", "m", ""], "7 columns"),
            (&["yesterday", "acme", "u", "1", "2", "m"], "yesterday"),
            (&[AT, "acme", "u", "", "2", "m"], "column `in`"),
            (&[AT, "acme", "u", "1,000", "2", "m"], "1,000"),
            (&[AT, "acme", "u", "NaN", "2", "m"], "NaN"),
            (&[AT, "acme", "u", "1e308", "2", "m"], "1e308"),
            (&[AT, "acme", "u", "1", "\"2\"", "m"], "column `out`"),
        ] {
            let reason = of(cells, 1).expect_err(says);
            assert!(reason.contains(says), "{says}: {reason}");
        }
    }
}
