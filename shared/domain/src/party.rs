//! Parties: who a document is from or to. This is the personal data of Talea. It stands in an erasable table by version;
//! a decision refers to the version and never carries it. Only an issued invoice keeps its own copy, because the law asks
//! the issuer to retain it.

use crate::error::FieldError;
use serde::{Deserialize, Serialize};

/// The longest line of a name or address, in characters.
pub const MAX_LINE_CHARS: usize = 200;
/// The most lines of an address.
pub const MAX_ADDRESS_LINES: usize = 8;

/// A legal or natural person as a document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Party {
    pub name: String,
    /// Postal address, line by line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address: Vec<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// VAT or other tax registration number, as printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
}

impl Party {
    /// A party of which only the name is known.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), address: Vec::new(), country: None, email: None, tax_id: None }
    }

    /// Checks lengths and forms; the error's field is a pointer below `pointer`, for example `/party/name`.
    pub fn check(&self, pointer: &str) -> Result<(), FieldError> {
        line(&format!("{pointer}/name"), &self.name)?;
        if self.address.len() > MAX_ADDRESS_LINES {
            return Err(FieldError::new(
                format!("{pointer}/address"),
                format!("has {} lines", self.address.len()),
                format!("send at most {MAX_ADDRESS_LINES} lines"),
            ));
        }
        for (index, text) in self.address.iter().enumerate() {
            line(&format!("{pointer}/address/{index}"), text)?;
        }
        if let Some(country) = &self.country
            && !(country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()))
        {
            return Err(FieldError::new(
                format!("{pointer}/country"),
                "is not a country code",
                "send two capital letters of ISO 3166-1, for example DE",
            ));
        }
        self.email.iter().try_for_each(|text| line(&format!("{pointer}/email"), text))?;
        self.tax_id.iter().try_for_each(|text| line(&format!("{pointer}/tax_id"), text))
    }
}

fn line(field: &str, text: &str) -> Result<(), FieldError> {
    if text.trim().is_empty() || text.chars().count() > MAX_LINE_CHARS || text.chars().any(char::is_control) {
        return Err(FieldError::new(
            field,
            "is not a line of text",
            format!("send 1 to {MAX_LINE_CHARS} characters without control characters"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Party), expect: Option<&str>) {
        let mut party = Party::named("Acme GmbH");
        change(&mut party);
        assert_eq!(party.check("/party").err().map(|e| e.field).as_deref(), expect);
    }

    #[test]
    fn a_party_is_printable_text_and_the_error_names_the_line() {
        check(|_| {}, None);
        check(|p| p.country = Some("DE".into()), None);
        check(|p| p.country = Some("de".into()), Some("/party/country"));
        check(|p| p.name = " ".into(), Some("/party/name"));
        check(|p| p.address = vec!["Street 1".into(), "a\nb".into()], Some("/party/address/1"));
        check(|p| p.address = vec!["x".into(); 9], Some("/party/address"));
        check(|p| p.email = Some("x".repeat(201)), Some("/party/email"));
    }
}
