//! From one bill moment to the draft of its invoice. Pure: the same inputs give the same bytes, whether for the bill run,
//! for the upcoming invoice or for a check years later.

use super::charge::{adjustment_line, credit_line, current_line};
use super::discounts::discount;
use super::taxes::{Taxed, tax};
use super::{BilledLine, DiscountRow, Invoice, InvoiceError, InvoiceLine, InvoiceStatus, TaxRow, invoice_id};
use crate::discount::AppliedCoupon;
use crate::id::MeterKey;
use crate::journal::InvoiceSettings;
use crate::money::{Currency, Money, MoneyError};
use crate::party::Party;
use crate::period::{Fraction, Period};
use crate::plan::{PlanVersion, Timing};
use crate::rating::{Held, TransactionSplit, Usage, UsageGroup};
use crate::subscription::{BillMoment, Subscription};
use crate::tax::TaxTerms;
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

/// An earlier window whose usage was measured again, with the plan version it was billed by. Meters that did not change
/// may be left out.
#[derive(Debug, Clone)]
pub struct Remeasured<'a> {
    pub window: Period,
    pub plan: &'a PlanVersion,
    pub usage: BTreeMap<MeterKey, UsageFigure>,
}

/// Everything an invoice depends on.
#[derive(Debug, Clone)]
pub struct BillInput<'a> {
    pub subscription: &'a Subscription,
    /// The subscription's version of its plan.
    pub plan: &'a PlanVersion,
    pub moment: &'a BillMoment,
    /// A figure for each of `moment.usage`.
    pub usage: &'a BTreeMap<MeterKey, UsageFigure>,
    /// The lines of every earlier document of the subscription that is about a remeasured window, and, when the
    /// subscription ends, about the period that ends with it.
    pub billed: &'a [BilledLine],
    pub remeasured: &'a [Remeasured<'a>],
    pub settings: &'a InvoiceSettings,
    pub bill_to: &'a Party,
    pub terms: BillTerms<'a>,
}

/// What changes an amount after it is rated. Nothing, by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct BillTerms<'a> {
    pub taxes: TaxTerms<'a>,
    /// Every coupon that was ever applied to the subscription, with what issued invoices say about it.
    pub coupons: &'a [AppliedCoupon],
}

/// The draft of the invoice of a bill moment.
pub fn assemble(input: &BillInput<'_>) -> Result<Invoice, InvoiceError> {
    check_plan(input)?;
    let mut lines = Vec::new();
    for price in &input.plan.prices {
        lines.extend(current_line(input, price)?);
    }
    if let Some(ended) = input.moment.closes.filter(|_| input.moment.is_last) {
        for price in input.plan.prices.iter().filter(|price| price.timing() == Timing::InAdvance) {
            lines.extend(credit_line(input, price, ended)?);
        }
    }
    for remeasured in input.remeasured {
        for price in &remeasured.plan.prices {
            lines.extend(adjustment_line(input, remeasured, price)?);
        }
    }
    for (number, line) in (1..).zip(&mut lines) {
        line.number = number;
    }
    document(input, lines)
}

fn check_plan(input: &BillInput<'_>) -> Result<(), InvoiceError> {
    let (subscription, plan) = (input.subscription, input.plan);
    if subscription.plan == plan.key && subscription.plan_version == plan.version {
        return Ok(());
    }
    Err(InvoiceError::WrongPlan {
        expected: subscription.plan.clone(),
        expected_version: subscription.plan_version,
        given: plan.key.clone(),
        given_version: plan.version,
    })
}

fn document(input: &BillInput<'_>, mut lines: Vec<InvoiceLine>) -> Result<Invoice, InvoiceError> {
    let (subscription, moment, settings, terms) = (input.subscription, input.moment, input.settings, input.terms);
    let currency = subscription.currency;
    let subtotal = Money::sum(currency, lines.iter().map(|line| line.amount))?;
    let discounts = discount(terms.coupons, moment.at, currency, &mut lines)?;
    let Taxed { rows: taxes, notes } = tax(terms.taxes, input.bill_to, currency, subscription.zone, &lines)?;
    let amounts = Amounts::of(currency, subtotal, &discounts, &taxes)?;
    Ok(Invoice {
        id: invoice_id(&subscription.id, moment.at, moment.revision),
        tenant: subscription.tenant.clone(),
        subscription: subscription.id.clone(),
        status: InvoiceStatus::Draft,
        number: None,
        series: settings.series.clone(),
        billed_at: moment.at,
        revision: moment.revision,
        period: period_of(input),
        currency,
        zone: subscription.zone,
        issuer: settings.issuer.clone(),
        bill_to: input.bill_to.clone(),
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

/// What the invoice is about: the moment's period, or, for late usage alone, the span of the windows measured again.
fn period_of(input: &BillInput<'_>) -> Period {
    let windows = || input.remeasured.iter().map(|remeasured| remeasured.window);
    let span = windows().reduce(|all, some| Period::new(all.start.min(some.start), all.end.max(some.end)));
    input.moment.period().or(span).unwrap_or(Period::new(input.moment.at, input.moment.at))
}
