//! From one bill moment to the draft of its invoice. Pure: the same inputs give the same bytes, whether for the bill run,
//! for the upcoming invoice or for a check years later.

use super::discounts::discount;
use super::one_off::one_off_line;
use super::owed::lines;
use super::taxes::{Taxed, tax};
use super::{BilledLine, DiscountRow, Invoice, InvoiceError, InvoiceLine, InvoiceStatus, TaxRow, invoice_id};
use crate::charge::Charge;
use crate::discount::AppliedCoupon;
use crate::id::{InvoiceId, SubscriptionId, TenantId};
use crate::journal::InvoiceSettings;
use crate::money::{Currency, Money, MoneyError};
use crate::party::Party;
use crate::period::{Fraction, Period, TimeZone};
use crate::plan::PlanBook;
use crate::rating::{Held, TransactionSplit, Usage, UsageGroup};
use crate::subscription::{BillMoment, Subscription, UsageNeed};
use crate::tax::TaxTerms;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The usage of one meter in one window, as metering measured it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFigure {
    /// In the meter's unit; 0 where the meter has no value.
    #[serde(with = "crate::money::exact_decimal")]
    pub quantity: Decimal,
    pub event_count: u64,
    /// 64 hex digits.
    pub digest: String,
    /// Per partition of the usage log, the first offset that was not counted.
    pub cut: Vec<u64>,
    pub meter_version: u32,
    /// The same quantity by the dimensions of the prices that need it; empty where none does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<UsageGroup>,
    /// Its transactions told apart for the prices that need it; empty where none does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<TransactionSplit>,
    /// What it held, for the prices that weigh by time; empty where none does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
}

impl UsageFigure {
    /// What is rated, in a window that is this share of its period.
    pub fn rated(&self, share: Fraction, full: Period) -> Usage<'_> {
        let seconds = full.end.timestamp() - full.start.timestamp();
        Usage {
            quantity: self.quantity,
            event_count: self.event_count,
            groups: &self.groups,
            splits: &self.splits,
            held: &self.held,
            period_seconds: u64::try_from(seconds).unwrap_or_default(),
            share,
        }
    }
}

/// Everything an invoice depends on.
#[derive(Clone)]
pub struct BillInput<'a> {
    pub subscription: &'a Subscription,
    /// Every version of a plan that the subscription was on.
    pub plans: &'a dyn PlanBook,
    pub moment: &'a BillMoment,
    /// A figure for each of `moment.usage`.
    pub usage: &'a BTreeMap<UsageNeed, UsageFigure>,
    /// The lines of every earlier document of the subscription that is about one of [`BillMoment::compared`], or about a period
    /// with late usage. More do no harm.
    pub billed: &'a [BilledLine],
    /// Windows of closed periods whose usage was measured again. Those that did not change may be left out.
    pub late: &'a BTreeMap<UsageNeed, UsageFigure>,
    pub settings: &'a InvoiceSettings,
    pub bill_to: &'a Party,
    pub terms: BillTerms<'a>,
}

/// What a document says beside what its plans charge. Nothing, by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct BillTerms<'a> {
    pub taxes: TaxTerms<'a>,
    /// Every coupon that was ever applied to the subscription, with what issued invoices say about it.
    pub coupons: &'a [AppliedCoupon],
    /// One-off charges that the document takes: of the subscription, or of no subscription of the tenant.
    pub charges: &'a [Charge],
}

/// The draft of the invoice of a bill moment.
pub fn assemble(input: &BillInput<'_>) -> Result<Invoice, InvoiceError> {
    let (subscription, moment) = (input.subscription, input.moment);
    let head = Head {
        id: invoice_id(&subscription.id, moment.at, moment.revision),
        tenant: &subscription.tenant,
        subscription: Some(&subscription.id),
        billed_at: moment.at,
        revision: moment.revision,
        period: period_of(input),
        currency: subscription.currency,
        zone: subscription.zone,
        settings: input.settings,
        bill_to: input.bill_to,
        taxes: input.terms.taxes,
    };
    document(head, parts(input)?)
}

/// The lines of a subscription with the charges that wait for it, and those that wait for any invoice of the tenant.
fn parts<'a>(input: &BillInput<'a>) -> Result<Vec<Part<'a>>, InvoiceError> {
    let mut own = lines(input)?;
    let mut of_tenant = Vec::new();
    for charge in input.terms.charges {
        let lines = if charge.subscription.is_some() { &mut own } else { &mut of_tenant };
        lines.push(one_off_line(charge)?);
    }
    Ok(vec![Part { coupons: input.terms.coupons, lines: own }, Part { coupons: &[], lines: of_tenant }])
}

/// What a document is, beside its lines.
pub(super) struct Head<'a> {
    pub id: InvoiceId,
    pub tenant: &'a TenantId,
    pub subscription: Option<&'a SubscriptionId>,
    pub billed_at: DateTime<Utc>,
    pub revision: u32,
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

/// What the invoice is about: the moment's period, or, for corrections alone, the span of what is corrected.
fn period_of(input: &BillInput<'_>) -> Period {
    let moment = input.moment;
    let reopened = moment.reopens.iter().map(|reopened| reopened.period.served);
    let corrected = reopened.chain(input.late.keys().map(|need| need.window));
    let span = corrected.reduce(|all, some| Period::new(all.start.min(some.start), all.end.max(some.end)));
    moment.period().or(span).unwrap_or(Period::new(moment.at, moment.at))
}
