//! One-off charges: what is asked once and has no price in a plan, such as a day of training. A charge waits for the next
//! invoice of its subscription or tenant, or makes an invoice of its own at once; until then it can be withdrawn.

mod decide;
mod input;

pub use decide::{ChargeError, ChargeStage, ChargeState};
pub use input::{ChargedTo, DEFAULT_KEY, MAX_AT_ONCE, NewCharge};

use crate::id::{ChargeId, InvoiceId, PriceKey, SubscriptionId, TaxCategory, TenantId};
use crate::money::Currency;
use crate::period::Period;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A charge, complete. Its amount is `quantity x unit_amount`, rounded once, and above zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    pub id: ChargeId,
    pub tenant: TenantId,
    /// Whose next invoice it waits for; absent where any of the tenant's will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// By which coupons and wallets for some prices know it.
    pub price_key: PriceKey,
    pub description: String,
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub quantity: Decimal,
    /// In major units of the currency.
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub unit_amount: Decimal,
    pub currency: Currency,
    /// When what is charged was, or will be, supplied: its end is the tax point.
    pub period: Period,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_category: Option<TaxCategory>,
    pub added_at: DateTime<Utc>,
}

/// A charge that was waiting is not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeWithdrawn {
    pub tenant_id: TenantId,
    pub charge_id: ChargeId,
    pub withdrawn_at: DateTime<Utc>,
}

/// A charge stands on an issued invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeInvoiced {
    pub tenant_id: TenantId,
    pub charge_id: ChargeId,
    pub invoice_id: InvoiceId,
    pub invoiced_at: DateTime<Utc>,
}

impl Charge {
    /// Whether it waits for the invoices of this subscription, among others.
    pub fn is_for(&self, tenant: &TenantId, subscription: &SubscriptionId, currency: Currency) -> bool {
        self.tenant == *tenant
            && self.currency == currency
            && self.subscription.as_ref().is_none_or(|own| own == subscription)
    }
}

#[cfg(test)]
mod tests;
