//! What is recorded about an issued invoice: payments, their reversal, its end. Each says its whole effect, so that a reader
//! needs no earlier state. Payments are recorded from outside; nothing here is, or may hold, a card's data.

use crate::error::FieldError;
use crate::id::{InvoiceId, TenantId};
use crate::journal::JournalEvent;
use crate::money::Money;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The longest reference, method or reason, in characters.
pub const MAX_TEXT_CHARS: usize = 200;
/// Digits of a card's number.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Where the money of a payment came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentSource {
    /// From outside: a transfer, a processor.
    External,
    /// The tenant's open credit.
    OpenCredit,
}

impl PaymentSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::OpenCredit => "open_credit",
        }
    }

    /// The source of this name, where there is one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::External, Self::OpenCredit].into_iter().find(|source| source.as_str() == text)
    }
}

/// A payment of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentRecorded {
    pub tenant_id: TenantId,
    pub invoice_id: InvoiceId,
    pub reference: String,
    pub source: PaymentSource,
    pub amount: Money,
    /// What of it paid the invoice.
    pub applied: Money,
    /// What it adds to the tenant's open credit: an overpayment; below zero when it was paid from there.
    pub credit_change: Money,
    pub received_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    pub recorded_at: DateTime<Utc>,
}

/// A payment was taken back, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentReversed {
    pub tenant_id: TenantId,
    pub invoice_id: InvoiceId,
    pub reference: String,
    pub amount: Money,
    /// What of the invoice is open again.
    pub reopened: Money,
    /// What it adds to the tenant's open credit; below zero where the payment had added to it.
    pub credit_change: Money,
    pub reason: String,
    pub reversed_at: DateTime<Utc>,
}

/// The invoice was taken back before any money was paid. Its number stays used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvoiceVoided {
    pub tenant_id: TenantId,
    pub invoice_id: InvoiceId,
    pub reason: String,
    /// Whether what it billed is owed again, and billed anew, or never asked for again. Absent from before that was asked: then it
    /// counts as not billed, and is billed with what rates its periods anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reissue: Option<bool>,
    /// What prepaid credits had paid of it: it goes back to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepaid_returned: Option<Money>,
    pub voided_at: DateTime<Utc>,
}

/// The open amount was written off. The claim stands: it is only not asked for any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkedUncollectible {
    pub tenant_id: TenantId,
    pub invoice_id: InvoiceId,
    /// What was open.
    pub amount: Money,
    pub reason: String,
    pub marked_at: DateTime<Utc>,
}

/// Open credit was paid back to the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreditRefunded {
    pub tenant_id: TenantId,
    /// Unique among the refunds of the tenant.
    pub reference: String,
    /// Above zero.
    pub amount: Money,
    pub refunded_at: DateTime<Utc>,
}

/// One entry of a tenant's open credit: what it has paid or was credited beyond what it owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreditEntry {
    pub tenant: TenantId,
    /// Above zero adds to the credit.
    pub amount: Money,
    pub cause: CreditCause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceId>,
    /// Of the payment, the note or the refund.
    pub reference: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreditCause {
    /// An invoice whose total is below zero.
    CreditInvoice,
    Overpayment,
    Settlement,
    Reversal,
    CreditNote,
    Refund,
}

impl CreditCause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreditInvoice => "credit_invoice",
            Self::Overpayment => "overpayment",
            Self::Settlement => "settlement",
            Self::Reversal => "reversal",
            Self::CreditNote => "credit_note",
            Self::Refund => "refund",
        }
    }
}

/// What an event adds to the open credit of its tenant; none where it leaves it as it is.
pub fn credit_entry(event: &JournalEvent) -> Option<CreditEntry> {
    let entry = |tenant: &TenantId, amount, cause, invoice: Option<&InvoiceId>, reference: &str| CreditEntry {
        tenant: tenant.clone(),
        amount,
        cause,
        invoice: invoice.cloned(),
        reference: reference.to_owned(),
    };
    let found = match event {
        JournalEvent::InvoiceFinalized(it) if it.total.minor < 0 => {
            let credit = it.total.checked_neg().ok()?;
            let number = it.number.as_deref().unwrap_or(it.id.as_str());
            entry(&it.tenant, credit, CreditCause::CreditInvoice, Some(&it.id), number)
        }
        JournalEvent::PaymentRecorded(it) => {
            let cause = match it.source {
                PaymentSource::External => CreditCause::Overpayment,
                PaymentSource::OpenCredit => CreditCause::Settlement,
            };
            entry(&it.tenant_id, it.credit_change, cause, Some(&it.invoice_id), &it.reference)
        }
        JournalEvent::PaymentReversed(it) => {
            entry(&it.tenant_id, it.credit_change, CreditCause::Reversal, Some(&it.invoice_id), &it.reference)
        }
        JournalEvent::CreditNoteIssued(it) => {
            entry(&it.tenant, it.credit_owed, CreditCause::CreditNote, Some(&it.invoice), &it.number)
        }
        JournalEvent::CreditRefunded(it) => {
            entry(&it.tenant_id, it.amount.checked_neg().ok()?, CreditCause::Refund, None, &it.reference)
        }
        _ => return None,
    };
    (!found.amount.is_zero()).then_some(found)
}

/// Checks a text that people send with a payment: printable, short, and no card's number.
pub fn check_text(field: &str, text: &str) -> Result<(), FieldError> {
    if text.trim().is_empty() || text.chars().count() > MAX_TEXT_CHARS || text.chars().any(char::is_control) {
        let way_out = format!("send 1 to {MAX_TEXT_CHARS} characters without control characters");
        return Err(FieldError::new(field, "is not a line of text", way_out));
    }
    if holds_card_number(text) {
        let way_out = "send the processor's own id of the payment; card data is not kept here";
        return Err(FieldError::new(field, "reads like the number of a payment card", way_out));
    }
    Ok(())
}

/// A run of 13 to 19 digits, with blanks or hyphens between them, that begins as cards do and passes their check digit
/// (ISO/IEC 7812).
fn holds_card_number(text: &str) -> bool {
    let runs = text.split(|c: char| !c.is_ascii_digit() && c != ' ' && c != '-');
    runs.map(|run| run.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect::<Vec<_>>())
        .any(|digits| CARD_DIGITS.contains(&digits.len()) && matches!(digits[0], 2..=6) && passes_check_digit(&digits))
}

fn passes_check_digit(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 =
        (0..).zip(digits.iter().rev()).map(|(place, d)| u32::from(if place % 2 == 1 { doubled(*d) } else { *d })).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_refused_and_a_bank_reference_is_not() {
        for bad in ["4242424242424242", "card 4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005", "", "a\n"]
        {
            assert!(check_text("/reference", bad).is_err(), "{bad}");
        }
        for good in
            ["4242424242424241", "SEPA-2026-000123", "pi_3MtwBwLkdIwHu7ix28a3tqPa", "RF18 5390", "0012345678901"]
        {
            assert_eq!(check_text("/reference", good), Ok(()), "{good}");
        }
    }
}
