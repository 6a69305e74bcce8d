//! The seller's side: where it is, and which rates it has to charge.

use super::profile::check_place;
use super::{Jurisdiction, TaxRate, is_country};
use crate::error::FieldError;
use crate::plan::validate::Faults;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const MAX_RATES: usize = 2000;
const MAX_COUNTRIES: usize = 300;
const MAX_REPLACED: usize = 20;
const MAX_RATE_DECIMALS: u32 = 6;

/// Everything that the seller charges tax by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxSettings {
    /// Where the seller is taxed.
    pub seller: Jurisdiction,
    /// Countries between which a business owes the tax itself (reverse charge), for example those of the European Union;
    /// none when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub union_countries: Vec<String>,
    /// What an invoice says where the customer owes the tax; the sentence for the European Union when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse_charge_note: Option<String>,
    /// With those of the past: a rate that changed is two entries.
    pub rates: Vec<TaxRate>,
}

/// Directive 2006/112/EC, article 226(11a) asks for the words.
const REVERSE_CHARGE: &str =
    "Reverse charge: the recipient is liable for the tax (Directive 2006/112/EC, articles 44 and 196).";

impl TaxSettings {
    pub fn reverse_charge_note(&self) -> &str {
        self.reverse_charge_note.as_deref().unwrap_or(REVERSE_CHARGE)
    }

    pub fn is_in_union(&self, country: &str) -> bool {
        self.union_countries.iter().any(|member| member == country)
    }

    /// Whether any rate, of any time and product, is for a country.
    pub fn knows(&self, country: &str) -> bool {
        self.rates.iter().any(|rate| rate.jurisdiction.country == country)
    }

    /// Every fault, each with its pointer.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut faults = Faults::new(&mut found);
        check_place(&self.seller, &mut faults.below("seller"));
        let mut union = faults.below("union_countries");
        union.require(self.union_countries.len() <= MAX_COUNTRIES, "is too long", "name each country once");
        for (index, country) in self.union_countries.iter().enumerate() {
            let way_out = "send two capital letters of ISO 3166-1, for example DE";
            union.below(index).require(is_country(country), "is not a country code", way_out);
        }
        if let Some(note) = &self.reverse_charge_note {
            faults.below("reverse_charge_note").line_of_text(note);
        }
        let mut rates = faults.below("rates");
        rates.require(self.rates.len() <= MAX_RATES, "is too long", &format!("send at most {MAX_RATES}"));
        if self.rates.len() <= MAX_RATES {
            let names: BTreeSet<&str> = self.rates.iter().map(|rate| rate.name.as_str()).collect();
            let all = self.rates.iter().enumerate();
            all.for_each(|(index, rate)| self.validate_rate(index, rate, &names, &mut rates));
        }
        found
    }

    fn validate_rate(&self, index: usize, rate: &TaxRate, names: &BTreeSet<&str>, rates: &mut Faults<'_>) {
        let mut faults = rates.below(index);
        faults.below("name").line_of_text(&rate.name);
        check_place(&rate.jurisdiction, &mut faults.below("jurisdiction"));
        let mut replaces = faults.below("replaces");
        let is_short = rate.replaces.len() <= MAX_REPLACED;
        replaces.require(is_short, "is too long", &format!("name at most {MAX_REPLACED} taxes"));
        for (index, name) in rate.replaces.iter().enumerate().take(MAX_REPLACED) {
            let is_other = name != &rate.name && names.contains(name.as_str());
            let way_out = "write the name of another tax among the rates, as it is written there";
            replaces.below(index).require(is_other, "is not another tax", way_out);
        }
        let percent = rate.rate_percent.normalize();
        faults.below("rate_percent").require(
            percent >= Decimal::ZERO && percent < Decimal::ONE_THOUSAND && percent.scale() <= MAX_RATE_DECIMALS,
            "is not a rate",
            &format!("write 0 or more, below 1000, with at most {MAX_RATE_DECIMALS} decimals"),
        );
        let is_span = rate.valid_from.zip(rate.valid_to).is_none_or(|(from, to)| from < to);
        faults.below("valid_to").require(is_span, "is not after valid_from", "write the first day without the rate");
        for other in &self.rates[..index] {
            if other.jurisdiction.country != rate.jurisdiction.country || !overlap(other, rate) {
                continue;
            }
            let is_same =
                other.name == rate.name && other.jurisdiction == rate.jurisdiction && other.category == rate.category;
            faults.require(
                !is_same,
                "is given twice for the same days",
                "end one with valid_to before the other begins",
            );
            faults.below("included").require(
                other.included == rate.included,
                "differs from another rate of the country",
                "let the prices hold all taxes of a country, or none",
            );
        }
    }
}

fn overlap(a: &TaxRate, b: &TaxRate) -> bool {
    let ends_after =
        |ends: &TaxRate, begins: &TaxRate| ends.valid_to.zip(begins.valid_from).is_none_or(|(to, from)| from < to);
    ends_after(a, b) && ends_after(b, a)
}
