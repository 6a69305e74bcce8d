//! The border to a tax engine outside: what it is asked, and what it answers. Data only; who carries it is not the domain's
//! matter.

use super::TaxProfile;
use crate::id::{InvoiceId, PriceKey, TaxCategory, TenantId};
use crate::invoice::{Invoice, InvoiceError, TaxRow, tax_day};
use crate::money::{Currency, Money};
use crate::party::Party;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// An invoice before its taxes, as far as they depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxQuestion {
    /// The same for every question about the same document.
    pub invoice: InvoiceId,
    pub tenant: TenantId,
    pub currency: Currency,
    pub issuer: Party,
    pub bill_to: Party,
    /// What is known of the customer, from which day on.
    pub profiles: Vec<TaxProfile>,
    pub lines: Vec<TaxLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxLine {
    pub line: u32,
    pub price_key: PriceKey,
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<TaxCategory>,
    /// The tax point.
    pub day: NaiveDate,
    /// After discounts; below zero for a credit.
    pub amount: Money,
}

/// The taxes of the invoice, which `assemble` takes in place of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxAnswer {
    pub rows: Vec<TaxRow>,
    /// Sentences that the law asks for on the invoice.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl TaxQuestion {
    /// About an invoice that was assembled without taxes.
    pub fn about(invoice: &Invoice, profiles: Vec<TaxProfile>) -> Result<Self, InvoiceError> {
        let line = |line: &crate::invoice::InvoiceLine| {
            Ok(TaxLine {
                line: line.number,
                price_key: line.price_key.clone(),
                description: line.description.clone(),
                category: line.tax_category.clone(),
                day: tax_day(line, invoice.zone)?,
                amount: line.net()?,
            })
        };
        Ok(Self {
            invoice: invoice.id.clone(),
            tenant: invoice.tenant.clone(),
            currency: invoice.currency,
            issuer: invoice.issuer.clone(),
            bill_to: invoice.bill_to.clone(),
            profiles,
            lines: invoice.lines.iter().map(line).collect::<Result<_, InvoiceError>>()?,
        })
    }
}
