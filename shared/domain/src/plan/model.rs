//! The price models by name. To add one: write its file under [`crate::rating`], and name it here.

use crate::rating::{Flat, Graduated, PerUnit, PricingRules};
use serde::{Deserialize, Serialize};

/// How a price makes an amount. In JSON the member `type` names the model:
/// `{"type": "per_unit", "meter": "tokens_in", "unit_amount": {"USD": "0.000003"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PriceModel {
    Flat(Flat),
    PerUnit(PerUnit),
    Graduated(Graduated),
}

impl PriceModel {
    /// The rules of the model: the one place that tells models apart.
    pub fn rules(&self) -> &dyn PricingRules {
        match self {
            Self::Flat(flat) => flat,
            Self::PerUnit(per_unit) => per_unit,
            Self::Graduated(graduated) => graduated,
        }
    }
}
