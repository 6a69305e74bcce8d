//! From one bill moment to the draft of its invoice. Pure: the same inputs give the same bytes, whether for the bill run,
//! for the upcoming invoice or for a check years later.

use super::document::{Head, Part, document};
use super::input::BillInput;
use super::one_off::one_off_line;
use super::owed::lines;
use super::{Invoice, InvoiceError, invoice_id};
use crate::period::Period;

/// The draft of the invoice of a bill moment.
pub fn assemble(input: &BillInput<'_>) -> Result<Invoice, InvoiceError> {
    let (subscription, moment) = (input.subscription, input.moment);
    let head = Head {
        id: invoice_id(&subscription.id, moment.at, moment.revision),
        tenant: &subscription.tenant,
        subscription: Some(&subscription.id),
        billed_at: moment.at,
        revision: moment.revision,
        replaces: moment.replaces.clone(),
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

/// What the invoice is about: the moment's period, or, for corrections alone, the span of what is corrected.
fn period_of(input: &BillInput<'_>) -> Period {
    let moment = input.moment;
    let reopened = moment.reopens.iter().map(|reopened| reopened.period.served);
    let corrected = reopened.chain(input.late.keys().map(|need| need.window));
    let span = corrected.reduce(|all, some| Period::new(all.start.min(some.start), all.end.max(some.end)));
    moment.period().or(span).unwrap_or(Period::new(moment.at, moment.at))
}
