//! How one line is taxed.

use super::{Jurisdiction, TaxProfile, TaxRate, TaxSettings, profile_on};
use crate::id::TaxCategory;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why no tax is charged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case", deny_unknown_fields)]
pub enum UntaxedReason {
    /// A business in another country of the union owes the tax itself.
    ReverseCharge,
    /// The customer is exempt, by this certificate or provision.
    Exempt { by: String },
    /// The customer is where the seller charges no tax.
    OutsideScope,
}

/// How a line is taxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment<'a> {
    /// By these rates, which add up; never none, in the order of their names.
    Taxed(Vec<&'a TaxRate>),
    Untaxed {
        place: Jurisdiction,
        reason: UntaxedReason,
    },
}

/// A country is taxed, but nobody said by how much: better no invoice than one without its tax.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no tax rate is configured for {} in {place} on {day}; add one to the tax rates",
    .category.as_ref().map_or("products without a category", TaxCategory::as_str)
)]
pub struct NoTaxRate {
    pub place: Jurisdiction,
    pub category: Option<TaxCategory>,
    pub day: NaiveDate,
}

/// How a line is taxed whose tax point is `day`; `has_tax_id` tells whether the customer's printed address has one, for profiles
/// that do not say. An exemption first, then reverse charge, then the rates of the customer's place. A customer in the union whose country has no rates is taxed where the seller is (Directive 2006/112/EC, article
/// 59c: the seller is below the threshold, or would have registered there); one outside is not taxed.
pub fn treatment<'a>(
    settings: &'a TaxSettings,
    profiles: &[TaxProfile],
    has_tax_id: bool,
    category: Option<&TaxCategory>,
    day: NaiveDate,
) -> Result<Treatment<'a>, NoTaxRate> {
    let profile = profile_on(profiles, day);
    let place = profile.map_or(&settings.seller, |profile| &profile.jurisdiction);
    let untaxed = |reason| Ok(Treatment::Untaxed { place: place.clone(), reason });
    let exemption = profile.and_then(|profile| profile.exemptions.iter().find(|it| it.covers(category, day)));
    if let Some(exemption) = exemption {
        return untaxed(UntaxedReason::Exempt { by: exemption.reason.clone() });
    }
    let is_abroad = place.country != settings.seller.country;
    let is_in_union = settings.is_in_union(&place.country) && settings.is_in_union(&settings.seller.country);
    let is_business = |profile: &TaxProfile| profile.reverse_charge && profile.registered.unwrap_or(has_tax_id);
    let owes_itself = profile.is_some_and(is_business);
    if is_abroad && is_in_union && owes_itself {
        return untaxed(UntaxedReason::ReverseCharge);
    }
    let taxed_in = match settings.knows(&place.country) {
        true => place,
        false if is_in_union || !is_abroad => &settings.seller,
        false => return untaxed(UntaxedReason::OutsideScope),
    };
    let rates = rates(settings, taxed_in, category, day);
    if rates.is_empty() {
        return Err(NoTaxRate { place: taxed_in.clone(), category: category.cloned(), day });
    }
    Ok(Treatment::Taxed(rates))
}

/// Of each tax the rate that is meant most narrowly; without the taxes that another one stands in for.
fn rates<'a>(
    settings: &'a TaxSettings,
    place: &Jurisdiction,
    category: Option<&TaxCategory>,
    day: NaiveDate,
) -> Vec<&'a TaxRate> {
    let mut by_name: BTreeMap<&str, &TaxRate> = BTreeMap::new();
    for rate in settings.rates.iter().filter(|rate| rate.is_valid(day) && rate.matches(place, category)) {
        let best = by_name.entry(&rate.name).or_insert(rate);
        if rate.specificity() > best.specificity() {
            *best = rate;
        }
    }
    let mut rates: Vec<&TaxRate> = by_name.into_values().collect();
    let replaced: Vec<&String> = rates.iter().flat_map(|rate| &rate.replaces).collect();
    rates.retain(|rate| !replaced.contains(&&rate.name));
    rates
}
