//! What the tax office would ask about a customer.

use super::{Jurisdiction, is_country, is_region};
use crate::error::FieldError;
use crate::id::{TaxCategory, TenantId};
use crate::party::Party;
use crate::plan::validate::Faults;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

const MAX_EXEMPTIONS: usize = 20;

/// A customer as the tax office sees it, from a day on. It holds no personal data: that there is a tax id, not
/// which one; the id stands with the party, which can be erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxProfile {
    pub jurisdiction: Jurisdiction,
    /// Whether, as a business, it owes the tax of a supply from another country of the union itself; only where it is
    /// registered for tax.
    #[serde(default = "reverse_charge", skip_serializing_if = "is_reverse_charge")]
    pub reverse_charge: bool,
    /// Whether it is registered for tax in these days, that is, has a tax id. Whether its printed address has one when the
    /// document is made, where absent: say it, so that a later change of the address says nothing about earlier days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exemptions: Vec<Exemption>,
    /// The first day; from the beginning when absent. A line is taxed by the profile of its tax point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<NaiveDate>,
}

/// What a customer need not pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// The products; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<TaxCategory>,
    /// The certificate or provision that says so, as the invoice prints it.
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<NaiveDate>,
    /// The first day on which it is no longer valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<NaiveDate>,
}

/// A customer's tax profile changed. Earlier ones stay valid up to the first day of this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxProfileChanged {
    pub tenant_id: TenantId,
    pub profile: TaxProfile,
}

fn reverse_charge() -> bool {
    true
}

fn is_reverse_charge(eligible: &bool) -> bool {
    *eligible
}

impl Exemption {
    pub fn covers(&self, category: Option<&TaxCategory>, day: NaiveDate) -> bool {
        let is_valid = self.valid_from.is_none_or(|from| from <= day) && self.valid_to.is_none_or(|to| day < to);
        is_valid && (self.category.is_none() || self.category.as_ref() == category)
    }
}

impl TaxProfile {
    /// What the printed address tells of a customer without a profile: the country alone. A tax id counts only for who has
    /// a profile.
    pub fn of_party(party: &Party) -> Option<Self> {
        let country = party.country.clone()?;
        let jurisdiction = Jurisdiction { country, region: None };
        Some(Self { jurisdiction, reverse_charge: false, registered: None, exemptions: Vec::new(), valid_from: None })
    }

    /// Every fault, each with its pointer.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut faults = Faults::new(&mut found);
        check_place(&self.jurisdiction, &mut faults.below("jurisdiction"));
        let mut exemptions = faults.below("exemptions");
        let is_short = self.exemptions.len() <= MAX_EXEMPTIONS;
        exemptions.require(is_short, "is too long", &format!("send at most {MAX_EXEMPTIONS}"));
        for (index, exemption) in self.exemptions.iter().enumerate() {
            exemptions.below(index).below("reason").line_of_text(&exemption.reason);
        }
        found
    }
}

pub(super) fn check_place(place: &Jurisdiction, faults: &mut Faults<'_>) {
    faults.below("country").require(
        is_country(&place.country),
        "is not a country code",
        "send two capital letters of ISO 3166-1, for example DE",
    );
    faults.below("region").require(
        place.region.as_deref().is_none_or(is_region),
        "is not a region code",
        "send what follows the hyphen in ISO 3166-2, for example QC",
    );
}

/// The profile that is valid on a day: the last that began; before the first one, the first.
pub fn profile_on(profiles: &[TaxProfile], day: NaiveDate) -> Option<&TaxProfile> {
    let begun = profiles.iter().filter(|profile| profile.valid_from.is_none_or(|from| from <= day));
    begun.max_by_key(|profile| profile.valid_from).or_else(|| profiles.iter().min_by_key(|profile| profile.valid_from))
}
