//! Credit notes: documents of their own that take back an issued invoice, whole or in part. The invoice stays as it is; a
//! note mirrors its lines and their tax, has its own gap-free number, and never changes either.
//!
//! All notes of an invoice together never credit more than it charged: of a line, of its tax, of the whole.

mod draft;

pub use draft::{CreditNoteError, draft};

use crate::id::{CreditNoteId, InvoiceId, SubscriptionId, TenantId, derive_bits, prefixed};
use crate::invoice::TaxRow;
use crate::money::{Money, MoneyError};
use crate::party::Party;
use crate::period::TimeZone;
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Leads every number of the series.
pub const SERIES: &str = "CN";

/// An issued credit note, complete. Its amounts are above zero: what they say is given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditNote {
    pub id: CreditNoteId,
    pub tenant: TenantId,
    /// Without gaps in its series.
    pub number: String,
    pub invoice: InvoiceId,
    pub invoice_number: String,
    /// As on the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// The zone in which its date is written.
    #[schema(value_type = String, example = "Europe/Berlin")]
    pub zone: TimeZone,
    pub issuer: Party,
    pub bill_to: Party,
    pub issue_date: NaiveDate,
    pub reason: String,
    pub lines: Vec<CreditNoteLine>,
    /// The sum of the lines.
    pub subtotal: Money,
    /// As the invoice's rows, of what is credited.
    pub taxes: Vec<TaxRow>,
    pub tax: Money,
    pub total: Money,
    /// What of the total lowers the invoice's open amount.
    pub reduces_open: Money,
    /// The rest: it was paid already, and is the tenant's open credit now.
    pub credit_owed: Money,
    pub issued_at: DateTime<Utc>,
}

/// What is credited of one line of the invoice, after its discount and before tax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditNoteLine {
    /// The number of the invoice's line.
    pub invoice_line: u32,
    pub description: String,
    /// Absent where an amount was credited without a quantity.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub quantity: Option<Decimal>,
    pub amount: Money,
}

/// What a note is to credit: of one line a quantity, an amount, or, with neither, all that is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreditNoteLineInput)]
pub struct CreditLine {
    /// The number of the invoice's line.
    pub line: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub quantity: Option<Decimal>,
    /// Before tax, in major units of the invoice's currency.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub amount: Option<Decimal>,
}

/// The id of an invoice's note, counted from 1 among its notes.
pub fn credit_note_id(invoice: &InvoiceId, place: usize) -> CreditNoteId {
    let bits = derive_bits("credit-note", &[invoice.as_str(), &place.to_string()]);
    CreditNoteId::parse(&prefixed("crn", bits)).expect("a prefix and 26 letters and digits are a key")
}

impl CreditNote {
    /// Whether it adds up: lines to the subtotal, rows to the tax, both to the total, and its effect to the total.
    pub fn adds_up(&self) -> Result<bool, MoneyError> {
        let currency = self.total.currency;
        let lines = Money::sum(currency, self.lines.iter().map(|line| line.amount))?;
        let tax = Money::sum(currency, self.taxes.iter().map(|row| row.amount))?;
        let charged = draft::added_tax(&self.taxes, currency)?;
        Ok(lines == self.subtotal
            && tax == self.tax
            && self.subtotal.checked_add(charged)? == self.total
            && self.reduces_open.checked_add(self.credit_owed)? == self.total)
    }
}

#[cfg(test)]
mod tests;
