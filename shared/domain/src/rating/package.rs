//! A price per package of units: a package that is begun is paid whole.

use super::{Basis, Fault, PricingRules, RatedRow, Rounding, RowDetail, exact};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "package", "meter": "sms", "package_size": "1000", "package_amount": {"USD": "5"}, "free_packages": 1}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub meter: MeterKey,
    /// Units of the meter in a package.
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String, example = "1000")]
    pub package_size: Decimal,
    /// For one package, in major units.
    pub package_amount: Amounts,
    /// Packages that cost nothing in each period.
    #[serde(default)]
    pub free_packages: u32,
}

impl PricingRules for Package {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        self.package_amount.currencies()
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        faults.below("package_size").divisor(self.package_size);
        faults.below("package_amount").unit_amounts(&self.package_amount);
    }

    /// Usage below zero is credited as it would be charged: each package that is begun, and no free one.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let packages = exact::divide_rounded(basis.usage()?, self.package_size, Rounding::Up).ok_or(Fault::Overflow)?;
        let package_amount = self.package_amount.get(currency).ok_or(Fault::CurrencyNotSold)?;
        let free = Decimal::from(self.free_packages);
        let mut rows = Vec::new();
        let mut used = Decimal::ZERO;
        let mut from = Decimal::ZERO;
        if free > Decimal::ZERO && packages > Decimal::ZERO {
            from = exact::multiply(free, self.package_size).ok_or(Fault::Overflow)?;
            used = free.min(packages);
            rows.push(RatedRow { quantity: used, ..RatedRow::of_included(from, from) });
        }
        if packages > used || rows.is_empty() {
            let paid = exact::sum([packages, -used]).ok_or(Fault::Overflow)?;
            rows.push(RatedRow::of_usage(from, None, paid, package_amount, None)?);
        }
        let size = self.package_size;
        Ok(rows.into_iter().map(|row| row.counting(RowDetail::Packages { size })).collect())
    }
}
