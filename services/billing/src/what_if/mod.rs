//! What past periods would have cost by another plan: their real usage, inside the cut up to which it was billed, rated by
//! the same functions that bill. Nothing is recorded.
//!
//! [`history`] reads the closed periods of a page of subscriptions and what was issued about them, [`alternative`] finds and
//! checks the other plan, this module measures and assembles, [`answer`] compares.

mod alternative;
mod answer;
mod history;

pub use alternative::Alternative;
pub use answer::WhatIf;
pub use history::{Chosen, MAX_SUBSCRIPTIONS};

use crate::catalogue::Catalogue;
use crate::context::Context;
use crate::run::{Candidate, measure_at_cuts};
use history::PastPeriod;
use std::collections::BTreeMap;
use std::sync::Arc;
use talea_domain::id::MeterKey;
use talea_domain::invoice::{BillInput, BillTerms, Invoice, UsageFigure, assemble, verify};
use talea_domain::party::Party;
use talea_domain::plan::PlanVersion;
use talea_domain::subscription::{BillMoment, Subscription, UsageNeed};
use talea_platform::http::Problem;
use talea_platform::postgres::Tx;

/// One page of a comparison, over what `tx` may see.
pub async fn compare(context: &Context, mut tx: Tx, chosen: &Chosen, other: &Alternative) -> Result<WhatIf, Problem> {
    let catalogue = Catalogue::load(&mut tx).await.map_err(Problem::internal)?;
    let plan = Arc::new(alternative::plan(&catalogue, other)?);
    let page = history::page(&mut tx, chosen).await?;
    drop(tx);
    let (mut candidates, mut cuts) = (Vec::new(), Vec::new());
    for past in &page.subscriptions {
        for period in &past.periods {
            candidates.push(candidate(&past.subscription, &plan, period));
            cuts.push(period.cut.clone());
        }
    }
    let measured = measure_at_cuts(context, &catalogue, &candidates, &cuts).await?;
    let rated = candidates.iter().zip(measured).map(|(candidate, usage)| rated(context, candidate, &usage?));
    answer::compared(page, rated.collect())
}

/// The subscription as if it had this plan, at a moment at which everything about one period is billed: what is paid for it
/// in advance, and what was used in it.
fn candidate(subscription: &Subscription, plan: &Arc<PlanVersion>, past: &PastPeriod) -> Candidate {
    let needs = plan.billed_meters().into_iter();
    let moment = BillMoment {
        subscription_id: subscription.id.clone(),
        at: past.period.served.end,
        closes: Some(past.period),
        opens: Some(past.period),
        is_last: false,
        revision: 0,
        usage: needs.map(|meter| UsageNeed { meter: meter.clone(), window: past.period.served }).collect(),
    };
    let subscription = Subscription { plan: plan.key.clone(), plan_version: plan.version, ..subscription.clone() };
    Candidate { subscription, plan: Arc::clone(plan), moment, version: 0, recorded_at: past.period.served.start }
}

fn rated(context: &Context, candidate: &Candidate, usage: &BTreeMap<MeterKey, UsageFigure>) -> Result<Invoice, String> {
    let subscription = &candidate.subscription;
    if subscription.interval != candidate.plan.interval {
        return Err(
            "the alternative bills by another interval; compare it with subscriptions of its own interval".into()
        );
    }
    let invoice = assemble(&BillInput {
        subscription,
        plan: &candidate.plan,
        moment: &candidate.moment,
        usage,
        billed: &[],
        remeasured: &[],
        settings: &context.settings,
        bill_to: &Party::named(subscription.tenant.as_str()),
        // Lines are compared, and nothing that comes after them.
        terms: BillTerms::default(),
    });
    let invoice = invoice.and_then(|invoice| verify(&invoice).map(|()| invoice));
    invoice.map_err(|error| error.to_string())
}
