//! Quantities in JSON: written as text in canonical form, read from text or from a number, never through a float.

use crate::quantity::{canonical, from_clickhouse_str};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub fn serialize<S: Serializer>(quantity: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&canonical(*quantity))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let text = match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        _ => {
            return Err(D::Error::custom("a quantity is a decimal, written as \"12.5\""));
        }
    };
    // A sum may be larger than what one event may carry, so the wider of the two readers is used.
    from_clickhouse_str(&text).map_err(D::Error::custom)
}

/// The same for a quantity that may be absent.
pub mod optional {
    use super::{Decimal, Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(quantity: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        match quantity {
            Some(quantity) => super::serialize(quantity, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
        #[derive(Deserialize)]
        struct Present(#[serde(with = "super")] Decimal);
        Ok(Option::<Present>::deserialize(deserializer)?.map(|present| present.0))
    }
}
