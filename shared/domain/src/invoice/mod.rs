//! Invoices: what is owed, line by line, and why. [`assemble()`] makes the draft of one bill moment, [`finalize()`] the issued
//! document, which never changes again: a correction is a new document or a line of a later one.

mod assemble;
mod charge;
mod commitment;
mod discounts;
mod document;
mod finalize;
mod forgiven;
mod input;
mod line;
mod line_tax;
mod number;
mod one_off;
mod owed;
mod settings;
mod settlement;
mod state;
mod taxes;
mod terms;

pub use assemble::assemble;
pub use discounts::{DiscountRow, redemptions};
pub use finalize::{InvoiceError, finalize, verify};
pub use input::{BillInput, BillTerms, UsageFigure};
pub use line::{BilledLine, InvoiceLine, LineKind, LineShare, Lineage};
pub use line_tax::LineTax;
pub use number::format_number;
pub use one_off::{OneOffInput, assemble_charges, charge_amount};
pub use settings::InvoiceSettings;
pub use settlement::{
    CreditCause, CreditEntry, CreditRefunded, InvoiceVoided, MAX_TEXT_CHARS, MarkedUncollectible, PaymentRecorded,
    PaymentReversed, PaymentSource, check_text, credit_entry,
};
pub use state::{InvoiceCommand, InvoiceStage, InvoiceState, Payment, StateError, Voided, check_reissue};
pub use taxes::{TaxRow, tax_day};
pub use terms::{BillingTerms, BillingTermsChanged, MAX_DUE_DAYS};

use crate::credit::CreditApplied;
use crate::id::{InvoiceId, SubscriptionId, TenantId, derive_bits, prefixed};
use crate::money::{Currency, Money};
use crate::party::Party;
use crate::period::{Period, TimeZone};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Where an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    /// May still change; has no number.
    Draft,
    /// Issued; never changes.
    Finalized,
}

impl InvoiceStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Finalized => "finalized",
        }
    }
}

/// An invoice, complete: with its own copy of both parties, because it must read the same after they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invoice {
    pub id: InvoiceId,
    pub tenant: TenantId,
    /// Absent where it is of one-off charges alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    pub status: InvoiceStatus,
    /// Given when it is issued, without gaps in its series.
    pub number: Option<String>,
    pub series: String,
    /// The bill moment it belongs to.
    pub billed_at: DateTime<Utc>,
    /// 0; further documents about the same moment count up.
    pub revision: u32,
    /// The voided invoice in whose place it is issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<InvoiceReference>,
    /// What it is about: the period that ended, or the first one paid in advance, or those of its late usage. Half-open.
    pub period: Period,
    pub currency: Currency,
    /// The zone in which its dates are written.
    #[schema(value_type = String, example = "Europe/Berlin")]
    pub zone: TimeZone,
    pub issuer: Party,
    pub bill_to: Party,
    /// Days from issue to due.
    pub due_days: u32,
    pub issue_date: Option<NaiveDate>,
    pub due_date: Option<NaiveDate>,
    pub lines: Vec<InvoiceLine>,
    /// The sum of the lines.
    pub subtotal: Money,
    /// What coupons take off it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<DiscountRow>,
    /// The sum of the discount rows; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Money>,
    pub taxes: Vec<TaxRow>,
    /// The sum of the tax rows.
    pub tax: Money,
    /// Subtotal less discount plus tax, as far as the lines do not include the tax already.
    pub total: Money,
    /// Sentences that the law asks for, such as that of a reverse charge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What prepaid credits pay of the total, in the order in which they are spent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credits: Vec<CreditApplied>,
    /// The total less the credits; absent where none was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_due: Option<Money>,
    pub finalized_at: Option<DateTime<Utc>>,
}

/// An issued invoice, as another document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceReference {
    pub id: InvoiceId,
    pub number: String,
}

impl Invoice {
    /// Whether nothing is charged and nothing credited: no line has an amount.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.amount.is_zero())
    }

    /// What is to be paid: the total, less what prepaid credits pay.
    pub fn amount_due(&self) -> Money {
        self.amount_due.unwrap_or(self.total)
    }

    /// Whether its moment makes an invoice. One without amount does only by the setting, and never as a correction.
    pub fn is_owed(&self, settings: &InvoiceSettings) -> bool {
        !self.is_empty() || (settings.empty_invoices && self.revision == 0)
    }
}

/// The id of the invoice of a bill moment: the same for every run that comes to it.
pub fn invoice_id(subscription: &SubscriptionId, billed_at: DateTime<Utc>, revision: u32) -> InvoiceId {
    let at = billed_at.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let bits = derive_bits("invoice", &[subscription.as_str(), &at, &revision.to_string()]);
    InvoiceId::parse(&prefixed("inv", bits)).expect("a prefix and 26 letters and digits are a key")
}

#[cfg(test)]
mod tests;
