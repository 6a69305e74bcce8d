//! Settings that a file writes as a list or with dots in their names, for which the environment has no words of its own.

use crate::secret::Secret;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// Lines: a list, or one text with `;` between them.
pub(super) fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of lines, or one text with `;` between them")]
    enum Lines {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Lines::deserialize(deserializer)? {
        Lines::List(lines) => lines,
        Lines::Text(text) => {
            text.split(';').map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        }
    })
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, a whole number, true or false")]
enum Property {
    Switch(bool),
    Number(i64),
    Text(String),
    Group(BTreeMap<String, Property>),
}

/// Properties whose names hold dots: whole, or as groups in groups, which is how the environment writes them.
pub(super) fn properties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    let (groups, whole): (Vec<_>, Vec<_>) = BTreeMap::<String, Property>::deserialize(deserializer)?
        .into_iter()
        .partition(|(_, property)| matches!(property, Property::Group(_)));
    let mut flat = BTreeMap::new();
    // Groups last: the environment wins over a file that writes the name whole.
    for (name, property) in whole.into_iter().chain(groups) {
        flatten(name, property, &mut flat);
    }
    Ok(flat)
}

fn flatten(name: String, property: Property, flat: &mut BTreeMap<String, Secret>) {
    let text = match property {
        Property::Group(inner) => {
            for (part, property) in inner {
                flatten(format!("{name}.{part}"), property, flat);
            }
            return;
        }
        Property::Switch(value) => value.to_string(),
        Property::Number(value) => value.to_string(),
        Property::Text(text) => text,
    };
    flat.insert(name, Secret::new(text));
}
