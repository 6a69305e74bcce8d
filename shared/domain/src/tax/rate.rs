//! One rate of one tax.

use super::Jurisdiction;
use crate::id::TaxCategory;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What a tax asks in a place, from a day on. A change of the rate is another entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxRate {
    /// Of the tax, as the invoice prints it, for example `VAT`. Of the rates with one name the most specific applies; rates
    /// with different names add up, unless one replaces the other.
    pub name: String,
    /// Names of other taxes that are not charged where this one is: the HST of Ontario replaces the GST of Canada.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
    pub jurisdiction: Jurisdiction,
    /// The products it is for; every product without a rate of its own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<TaxCategory>,
    /// 19 for 19 %.
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String, example = "19")]
    pub rate_percent: Decimal,
    /// Whether the prices hold the tax already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub included: bool,
    /// The first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<NaiveDate>,
    /// The first day on which it is no longer valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<NaiveDate>,
}

impl TaxRate {
    pub fn is_valid(&self, day: NaiveDate) -> bool {
        self.valid_from.is_none_or(|from| from <= day) && self.valid_to.is_none_or(|to| day < to)
    }

    /// Whether it may apply to a product in a place.
    pub fn matches(&self, place: &Jurisdiction, category: Option<&TaxCategory>) -> bool {
        let in_place = self.jurisdiction.country == place.country
            && (self.jurisdiction.region.is_none() || self.jurisdiction.region == place.region);
        in_place && (self.category.is_none() || self.category.as_ref() == category)
    }

    /// How narrowly it is meant: the place first, then the product.
    pub fn specificity(&self) -> (bool, bool) {
        (self.jurisdiction.region.is_some(), self.category.is_some())
    }
}
