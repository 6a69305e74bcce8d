//! The moment at which a voided invoice is billed anew: the same instant, and the periods that its lines were about. What they
//! owe follows from everything that is known now.

use super::course::billed_since;
use super::moments::{MAX_RERATED, after_end};
use super::usage::usage_needs;
use super::{BillMoment, Reopened, Subscription, TimelineError};
use crate::invoice::{BilledLine, Invoice, InvoiceReference};
use crate::plan::PlanBook;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// The moment that takes the place of a voided invoice. `billed_until` is the last bill moment of the subscription that is
/// closed; `revision` counts from 1 at the invoice's instant. A period that is not served any more owes nothing: what documents
/// that stand have billed for it is given back.
pub fn reissued(
    subscription: &Subscription,
    plans: &dyn PlanBook,
    voided: &Invoice,
    billed_until: DateTime<Utc>,
    revision: u32,
) -> Result<BillMoment, TimelineError> {
    let segments = subscription.segments()?;
    let mut periods = BTreeMap::new();
    let begins: BTreeSet<_> = BilledLine::of(voided).map(|line| line.belongs_to).collect();
    for at in begins {
        for Reopened { period, .. } in billed_since(subscription, &segments, at, at, MAX_RERATED)? {
            periods.insert((period.served.start, period.served.end), period);
        }
    }
    let reopens = periods.into_values().map(|period| Reopened { period, is_closed: period.served.end <= billed_until });
    let reopens: Vec<Reopened> = reopens.collect();
    let mut usage = BTreeSet::new();
    for reopened in reopens.iter().filter(|reopened| reopened.is_closed) {
        usage.extend(usage_needs(subscription, plans, reopened.period.served)?);
    }
    let number = voided.number.clone().unwrap_or_default();
    let replaces = Some(InvoiceReference { id: voided.id.clone(), number });
    let usage = usage.into_iter().collect();
    Ok(BillMoment { reopens, usage, replaces, ..after_end(subscription, voided.billed_at, revision) })
}
