//! Taxes: which rates apply to whom, and what becomes of the lines.
//!
//! [`TaxSettings`] are the seller's rates, [`TaxProfile`] is what is known of a customer. [`treatment()`] says how one line is
//! taxed; how the lines of an invoice become tax rows is the matter of [`mod@crate::invoice`]. Where an engine outside answers
//! instead, it gets a [`TaxQuestion`] and sends a [`TaxAnswer`].
//!
//! The tax point of a line is the last day of its period: supplies that are billed for successive periods are regarded as
//! completed at the expiry of the periods (Directive 2006/112/EC, article 64(1); what article 66 lets a country choose
//! instead, the date of the invoice, is not known while it is a draft). So a correction is taxed by the rate of what it
//! corrects, whenever it is issued.

mod engine;
mod profile;
mod rate;
mod settings;
mod treatment;

pub use engine::{TaxAnswer, TaxLine, TaxQuestion};
pub use profile::{Exemption, TaxProfile, TaxProfileChanged, profile_on};
pub use rate::TaxRate;
pub use settings::TaxSettings;
pub use treatment::{NoTaxRate, Treatment, UntaxedReason, treatment};

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the taxes of an invoice come about.
#[derive(Debug, Clone, Copy, Default)]
pub enum TaxTerms<'a> {
    /// No taxes are configured.
    #[default]
    None,
    /// By the seller's rates. Profiles in any order; without one the country of the printed address counts, and without that
    /// the seller's.
    Rates { settings: &'a TaxSettings, profiles: &'a [TaxProfile] },
    /// As an engine outside answered.
    Answered(&'a TaxAnswer),
}

/// A country, or a region of it: ISO 3166-1 alpha-2, and the part after the hyphen of ISO 3166-2.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Jurisdiction {
    #[schema(example = "CA")]
    pub country: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "QC")]
    pub region: Option<String>,
}

impl fmt::Display for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.region {
            Some(region) => write!(f, "{}-{region}", self.country),
            None => f.write_str(&self.country),
        }
    }
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn is_region(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests;
