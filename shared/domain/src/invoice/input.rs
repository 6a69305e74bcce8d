//! Everything that an invoice depends on: what was sold, used and billed before, and the terms beside the plan.

use super::{BilledLine, InvoiceSettings};
use crate::charge::Charge;
use crate::discount::AppliedCoupon;
use crate::party::Party;
use crate::period::{Fraction, Period};
use crate::plan::PlanBook;
use crate::rating::{Held, TransactionSplit, Usage, UsageGroup};
use crate::subscription::{BillMoment, Subscription, UsageNeed};
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
