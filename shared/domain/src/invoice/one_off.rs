//! The line of a one-off charge, and the invoice that charges make by themselves.

use super::InvoiceSettings;
use super::charge::outcome;
use super::document::{Head, Part, document};
use super::{Invoice, InvoiceError, InvoiceLine, LineKind, Lineage};
use crate::charge::Charge;
use crate::id::{ChargeId, InvoiceId, TenantId, derive_bits, prefixed};
use crate::money::{Currency, Money, MoneyError};
use crate::party::Party;
use crate::period::{Period, TimeZone};
use crate::rating::{Rated, RatedRow, RatingError, explain, sum_of_rows};
use crate::tax::TaxTerms;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

/// Everything that an invoice of charges alone depends on.
#[derive(Clone)]
pub struct OneOffInput<'a> {
    pub tenant: &'a TenantId,
    pub zone: TimeZone,
    pub currency: Currency,
    /// At least one; all of the tenant and in the currency.
    pub charges: &'a [Charge],
    pub at: DateTime<Utc>,
    pub settings: &'a InvoiceSettings,
    pub bill_to: &'a Party,
    pub taxes: TaxTerms<'a>,
}

/// The draft of an invoice of charges alone. It belongs to no subscription, so that no coupon is for it.
pub fn assemble_charges(input: &OneOffInput<'_>) -> Result<Invoice, InvoiceError> {
    let spans = input.charges.iter().map(|charge| charge.period);
    let span = spans.reduce(|all, some| Period::new(all.start.min(some.start), all.end.max(some.end)));
    let head = Head {
        id: one_off_id(input.tenant, input.charges),
        tenant: input.tenant,
        subscription: None,
        billed_at: input.at,
        revision: 0,
        replaces: None,
        period: span.unwrap_or(Period::new(input.at, input.at)),
        currency: input.currency,
        zone: input.zone,
        settings: input.settings,
        bill_to: input.bill_to,
        taxes: input.taxes,
    };
    let lines = input.charges.iter().map(one_off_line).collect::<Result<_, _>>()?;
    document(head, vec![Part { coupons: &[], lines }])
}

/// The id of the invoice of some charges: a request that is repeated comes to the same.
fn one_off_id(tenant: &TenantId, charges: &[Charge]) -> InvoiceId {
    let ids = charges.iter().map(|charge| charge.id.as_str());
    let parts: Vec<&str> = std::iter::once(tenant.as_str()).chain(ids).collect();
    InvoiceId::parse(&prefixed("inv", derive_bits("one-off-invoice", &parts))).expect("a prefix and digits are a key")
}

/// What a charge asks: rounded once, half away from zero.
pub fn charge_amount(charge: &Charge) -> Result<Money, InvoiceError> {
    Ok(rated(charge)?.amount)
}

fn rated(charge: &Charge) -> Result<Rated, InvoiceError> {
    let overflow = || RatingError::Overflow { price: charge.price_key.clone() };
    let row = RatedRow::once(charge.quantity, charge.unit_amount).ok_or_else(overflow)?;
    let rows = vec![row];
    let exact = sum_of_rows(&rows).ok_or_else(overflow)?;
    let amount = Money::rounded(exact, charge.currency).map_err(MoneyError::from)?;
    Ok(Rated { rows, exact, amount })
}

pub(super) fn one_off_line(charge: &Charge) -> Result<InvoiceLine, InvoiceError> {
    let rated = rated(charge)?;
    let mut explanation = explain(charge.currency, &rated.rows);
    explanation.extend(outcome(&rated, None, rated.amount));
    Ok(InvoiceLine {
        number: 0,
        kind: LineKind::OneOff,
        price_key: charge.price_key.clone(),
        description: charge.description.clone(),
        period: charge.period,
        quantity: charge.quantity,
        amount: rated.amount,
        rows: rated.rows,
        already_billed: None,
        discounts: Vec::new(),
        already_discounted: Vec::new(),
        already_taxed: Vec::new(),
        tax_category: charge.tax_category.clone(),
        explanation,
        lineage: lineage(charge),
    })
}

fn lineage(charge: &Charge) -> Lineage {
    Lineage {
        plan: None,
        plan_version: None,
        price_key: charge.price_key.clone(),
        charge: Some(charge.id.clone()),
        add_on: None,
        overridden_by: None,
        window: charge.period,
        period_start: None,
        period_end: None,
        meter: None,
        meter_version: None,
        measured_quantity: None::<Decimal>,
        previous_quantity: None,
        cut: Vec::new(),
        event_count: None,
        digest: None,
    }
}

impl Invoice {
    /// The one-off charges that stand on it.
    pub fn charges(&self) -> impl Iterator<Item = &ChargeId> {
        self.lines.iter().filter_map(|line| line.lineage.charge.as_ref())
    }
}
