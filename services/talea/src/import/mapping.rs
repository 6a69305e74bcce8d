//! The mapping file: which column is what. It is checked against the file's header before the first row is read.

use super::time::TimeFormat;
use anyhow::{Context, bail, ensure};
use chrono_tz::Tz;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use talea_domain::id::TenantId;

/// The mapping as it is written. `schemas/examples/import` has a commented example.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What stands between two columns; a comma if it is left out.
    #[serde(default = "comma")]
    delimiter: char,
    event: Event,
    time: Time,
    tenant: Option<Choice>,
    subject: Option<Choice>,
    id: Option<Column>,
    data: Vec<Field>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    #[serde(rename = "type")]
    event_type: String,
    source: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    column: String,
    /// Of chrono's strftime; RFC 3339 if it is left out.
    format: Option<String>,
    /// Where the clock hung that wrote times without an offset; UTC if it is left out.
    #[serde(default)]
    zone: Tz,
}

/// The same for all rows, or from a column.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Choice {
    Fixed(String),
    Column(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    column: String,
}

/// A column that becomes a leaf of `data`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    column: String,
    /// A name, or a JSON pointer such as `/tokens/in`.
    field: String,
    kind: Kind,
    /// An empty cell leaves the field out; otherwise it is a fault of the row.
    #[serde(default)]
    optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An exact decimal, written as JSON writes numbers.
    Number,
    Text,
}

/// A value that each event has: one for all rows, or the cell at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Fixed(String),
    Cell(usize),
}

/// A mapping whose columns were found in a header.
#[derive(Debug, Clone)]
pub struct Layout {
    pub columns: usize,
    pub event_type: String,
    pub source: String,
    pub time: usize,
    pub time_format: TimeFormat,
    pub tenant: Option<Value>,
    pub subject: Option<Value>,
    pub id: Option<usize>,
    pub leaves: Vec<Leaf>,
}

/// A leaf of `data`: the path of names that leads to it, and the cell it comes from.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub path: Vec<String>,
    pub column_name: String,
    pub column: usize,
    pub kind: Kind,
    pub optional: bool,
}

fn comma() -> char {
    ','
}

impl Mapping {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading the mapping {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("the mapping {}", path.display()))
    }

    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mapping: Self = toml::from_str(text)?;
        ensure!(
            mapping.delimiter.is_ascii(),
            "`delimiter` is not an ASCII character; use for example \";\" or \"\\t\""
        );
        ensure!(!mapping.data.is_empty(), "`data` has no field; add a [[data]] table with column, field and kind");
        Ok(mapping)
    }

    pub fn delimiter(&self) -> u8 {
        // `parse` lets only ASCII pass.
        u8::try_from(self.delimiter).unwrap_or(b',')
    }

    /// Finds the columns. `tenant` overrides the mapping's.
    pub fn layout(&self, header: &csv::StringRecord, tenant: Option<&TenantId>) -> anyhow::Result<Layout> {
        let find = |name: &str| find_column(header, name);
        let choose = |choice: &Choice| match choice {
            Choice::Fixed(text) => Ok(Value::Fixed(text.clone())),
            Choice::Column(name) => find(name).map(Value::Cell),
        };
        let tenant = match (tenant, &self.tenant) {
            (Some(tenant), _) => Some(Value::Fixed(tenant.to_string())),
            (None, Some(choice)) => Some(choose(choice)?),
            (None, None) => None,
        };
        if let Some(Value::Fixed(name)) = &tenant {
            TenantId::parse(name)?;
        }
        let leaf = |field: &Field| {
            let column = find(&field.column)?;
            let path = path_of(&field.field)?;
            anyhow::Ok(Leaf {
                path,
                column_name: field.column.clone(),
                column,
                kind: field.kind,
                optional: field.optional,
            })
        };
        let leaves = self.data.iter().map(leaf).collect::<anyhow::Result<Vec<_>>>()?;
        check_paths(&leaves)?;
        Ok(Layout {
            columns: header.len(),
            event_type: self.event.event_type.clone(),
            source: self.event.source.clone(),
            time: find(&self.time.column)?,
            time_format: TimeFormat::new(self.time.format.as_deref(), self.time.zone)?,
            tenant,
            subject: self.subject.as_ref().map(choose).transpose()?,
            id: self.id.as_ref().map(|id| find(&id.column)).transpose()?,
            leaves,
        })
    }
}

fn find_column(header: &csv::StringRecord, name: &str) -> anyhow::Result<usize> {
    let mut places = header.iter().enumerate().filter(|(_, column)| column.trim() == name).map(|(place, _)| place);
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => bail!("the column `{name}` is there twice; rename one in the file's first line"),
        (None, _) => {
            let names: Vec<&str> = header.iter().collect();
            bail!("the file has no column `{name}`; its first line names: {}", names.join(", "))
        }
    }
}

/// The names of a path: of a JSON pointer (RFC 6901), or the one name itself.
fn path_of(field: &str) -> anyhow::Result<Vec<String>> {
    let path: Vec<String> = match field.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![field.to_owned()],
    };
    ensure!(
        path.iter().all(|name| !name.is_empty()),
        "the field `{field}` has an empty name; write `name` or `/outer/name`"
    );
    Ok(path)
}

/// No field may be there twice or inside another.
fn check_paths(leaves: &[Leaf]) -> anyhow::Result<()> {
    let paths: BTreeSet<&[String]> = leaves.iter().map(|leaf| leaf.path.as_slice()).collect();
    ensure!(paths.len() == leaves.len(), "two [[data]] tables have the same `field`; rename one");
    for leaf in leaves {
        let inside = (1..leaf.path.len()).any(|length| paths.contains(&leaf.path[..length]));
        ensure!(!inside, "the field `/{}` lies inside another field that is a value; rename one", leaf.path.join("/"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: &str = r#"
        event = { type = "llm.inference", source = "trace" }
        time = { column = "at", format = "%Y-%m-%d %H:%M:%S%.f", zone = "Asia/Kathmandu" }
        tenant = { column = "customer" }
        subject = { fixed = "batch" }
        id = { column = "request" }
        [[data]]
        column = "in"
        field = "/tokens/in"
        kind = "number"
        [[data]]
        column = "model"
        field = "model"
        kind = "text"
        optional = true
    "#;

    fn header(names: &[&str]) -> csv::StringRecord {
        csv::StringRecord::from(names.to_vec())
    }

    #[test]
    fn columns_are_found_by_name() {
        let mapping = Mapping::parse(MAPPING).expect("valid");
        let header = header(&["model", "request", "at", "customer", "in"]);
        let layout = mapping.layout(&header, None).expect("all there");
        assert_eq!((layout.columns, layout.time, layout.id), (5, 2, Some(1)));
        assert_eq!(layout.tenant, Some(Value::Cell(3)));
        assert_eq!(layout.subject, Some(Value::Fixed("batch".into())));
        assert_eq!(layout.leaves[0].path, ["tokens", "in"]);
        let acme = TenantId::parse("acme").expect("a key");
        assert_eq!(mapping.layout(&header, Some(&acme)).expect("all there").tenant, Some(Value::Fixed("acme".into())));
    }

    #[test]
    fn a_wrong_mapping_says_what_is_wrong() {
        let all = ["model", "request", "at", "customer", "in"];
        for (text, names, says) in [
            (MAPPING.to_owned(), &all[..4], "no column `in`"),
            (MAPPING.to_owned(), &["model", "request", "at", "customer", "in", "in"], "`in` is there twice"),
            (MAPPING.replace("\"model\"\n        kind", "\"/tokens/in\"\n        kind"), &all, "same `field`"),
            (MAPPING.replace("\"model\"\n        kind", "\"tokens\"\n        kind"), &all, "inside another"),
            (MAPPING.replace("\"model\"\n        kind", "\"/tokens/\"\n        kind"), &all, "empty name"),
            (MAPPING.replace("{ column = \"customer\" }", "{ fixed = \"a b\" }"), &all, "tenant"),
            (MAPPING.replace("%H", "%Q"), &all, "%Q"),
        ] {
            let outcome = Mapping::parse(&text).and_then(|mapping| mapping.layout(&header(names), None).map(|_| ()));
            let error = format!("{:#}", outcome.expect_err(says));
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn a_mapping_that_is_none_is_refused() {
        for (text, says) in [
            (MAPPING.replace("Asia/Kathmandu", "Nowhere"), "Nowhere"),
            (MAPPING.replace("\"number\"", "\"float\""), "float"),
            (MAPPING.replace("optional", "opt"), "opt"),
            ("delimiter = \"é\"\n".to_owned() + MAPPING, "delimiter"),
        ] {
            let error = format!("{:#}", Mapping::parse(&text).expect_err(says));
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
