//! What makes an event the same event. Counting once hangs on this: 128 bits over length-prefixed parts, so that
//! (`x`, `y-z`) and (`x-y`, `z`) never meet.

use crate::error::FieldError;
use crate::id::TenantId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The identity of an event: BLAKE3 over tenant, source and id, its first 128 bits. Written as 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
pub struct Identity(#[serde(with = "hex_128")] pub u128);

/// The identity of the event that `tenant` sent from `source` as `id`.
pub fn identity_of(tenant: &TenantId, source: &str, id: &str) -> Identity {
    Identity(hash_128(&[tenant.as_str().as_bytes(), source.as_bytes(), id.as_bytes()]))
}

/// The first 128 bits (little-endian) of BLAKE3 over the parts, each led by its length as 64 bits, little-endian.
pub(crate) fn hash_128(parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut first = [0u8; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Identity {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        hex_128::parse(text)
            .map(Self)
            .ok_or_else(|| FieldError::new("identity", "is not an identity", "give 32 lower-case hex digits"))
    }
}

/// Serde of 128 bits as 32 lower-case hex digits: JSON numbers of that size lose digits in other languages.
pub(crate) mod hex_128 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn parse(text: &str) -> Option<u128> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
    }

    pub(crate) fn serialize<S: Serializer>(bits: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{bits:032x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| D::Error::custom("expected 32 lower-case hex digits"))
    }
}
