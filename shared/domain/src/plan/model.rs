//! The price models by name. To add one: write its file under [`crate::rating`], and name it here.

use crate::rating::{
    Dynamic, Flat, Graduated, GraduatedPercentage, Matrix, Package, PerDuration, PerUnit, Percentage, PricingRules,
    Volume,
};
use serde::{Deserialize, Serialize};

/// How a price makes an amount. In JSON the member `type` names the model:
/// `{"type": "per_unit", "meter": "tokens_in", "unit_amount": {"USD": "0.000003"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PriceModel {
    Flat(Flat),
    PerUnit(PerUnit),
    PerDuration(PerDuration),
    Graduated(Graduated),
    Volume(Volume),
    Package(Package),
    Percentage(Percentage),
    GraduatedPercentage(GraduatedPercentage),
    Dynamic(Dynamic),
    Matrix(Matrix),
}

impl PriceModel {
    /// The rules of the model: the one place that tells models apart.
    pub fn rules(&self) -> &dyn PricingRules {
        match self {
            Self::Flat(flat) => flat,
            Self::PerUnit(per_unit) => per_unit,
            Self::PerDuration(per_duration) => per_duration,
            Self::Graduated(graduated) => graduated,
            Self::Volume(volume) => volume,
            Self::Package(package) => package,
            Self::Percentage(percentage) => percentage,
            Self::GraduatedPercentage(graduated) => graduated,
            Self::Dynamic(dynamic) => dynamic,
            Self::Matrix(matrix) => matrix,
        }
    }
}
