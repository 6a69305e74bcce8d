//! From lines to a document: numbered, discounted, taxed, summed.

use super::discounts::discount;
use super::taxes::{Taxed, tax};
use super::{
    DiscountRow, Invoice, InvoiceError, InvoiceLine, InvoiceReference, InvoiceSettings, InvoiceStatus, TaxRow,
};
use crate::discount::AppliedCoupon;
use crate::id::{InvoiceId, SubscriptionId, TenantId};
use crate::money::{Currency, Money, MoneyError};
use crate::party::Party;
use crate::period::{Period, TimeZone};
use crate::tax::TaxTerms;
use chrono::{DateTime, Utc};

/// What a document is, beside its lines.
pub(super) struct Head<'a> {
    pub id: InvoiceId,
    pub tenant: &'a TenantId,
    pub subscription: Option<&'a SubscriptionId>,
    pub billed_at: DateTime<Utc>,
    pub revision: u32,
    pub replaces: Option<InvoiceReference>,
    pub period: Period,
    pub currency: Currency,
    pub zone: TimeZone,
    pub settings: &'a InvoiceSettings,
    pub bill_to: &'a Party,
    pub taxes: TaxTerms<'a>,
}

/// Lines that the same coupons are for.
pub(super) struct Part<'a> {
    pub coupons: &'a [AppliedCoupon],
    pub lines: Vec<InvoiceLine>,
}

/// Lines become a document: numbered, discounted part by part, taxed as a whole.
pub(super) fn document(head: Head<'_>, parts: Vec<Part<'_>>) -> Result<Invoice, InvoiceError> {
    let (currency, settings) = (head.currency, head.settings);
    let (mut lines, mut discounts) = (Vec::new(), Vec::new());
    for mut part in parts {
        for (number, line) in (lines.len() as u32 + 1..).zip(&mut part.lines) {
            line.number = number;
        }
        discounts.extend(discount(part.coupons, head.billed_at, currency, &mut part.lines)?);
        lines.append(&mut part.lines);
    }
    let subtotal = Money::sum(currency, lines.iter().map(|line| line.amount))?;
    let Taxed { rows: taxes, notes } = tax(head.taxes, head.bill_to, currency, head.zone, &lines)?;
    let amounts = Amounts::of(currency, subtotal, &discounts, &taxes)?;
    Ok(Invoice {
        id: head.id,
        tenant: head.tenant.clone(),
        subscription: head.subscription.cloned(),
        status: InvoiceStatus::Draft,
        number: None,
        series: settings.series.clone(),
        billed_at: head.billed_at,
        revision: head.revision,
        replaces: head.replaces,
        period: head.period,
        currency,
        zone: head.zone,
        issuer: settings.issuer.clone(),
        bill_to: head.bill_to.clone(),
        due_days: settings.due_days,
        issue_date: None,
        due_date: None,
        lines,
        subtotal,
        discount: (!discounts.is_empty()).then_some(amounts.discount),
        discounts,
        taxes,
        tax: amounts.tax,
        total: amounts.total,
        notes,
        credits: Vec::new(),
        amount_due: None,
        finalized_at: None,
    })
}

/// The sums below the lines: what makes a document, and what it is checked by.
pub(super) struct Amounts {
    pub discount: Money,
    pub tax: Money,
    pub total: Money,
}

impl Amounts {
    pub fn of(
        currency: Currency,
        subtotal: Money,
        discounts: &[DiscountRow],
        taxes: &[TaxRow],
    ) -> Result<Self, MoneyError> {
        let discount = Money::sum(currency, discounts.iter().map(|row| row.amount))?;
        let tax = Money::sum(currency, taxes.iter().map(|row| row.amount))?;
        let added = Money::sum(currency, taxes.iter().filter(|row| !row.included).map(|row| row.amount))?;
        let total = subtotal.checked_sub(discount)?.checked_add(added)?;
        Ok(Self { discount, tax, total })
    }
}
