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
use talea_domain::invoice::{BillInput, BillTerms, Invoice, UsageFigure, assemble, verify};
use talea_domain::party::Party;
use talea_domain::plan::PlanVersion;
use talea_domain::subscription::{Alteration, BillMoment, Subscription, UsageNeed, after_end, usage_needs};
use talea_platform::http::Problem;
use talea_platform::postgres::Tx;

/// One page of a comparison, over what `tx` may see.
pub async fn compare(context: &Context, mut tx: Tx, chosen: &Chosen, other: &Alternative) -> Result<WhatIf, Problem> {
    let catalogue = Catalogue::load(&mut tx).await.map_err(Problem::internal)?;
    let plan = Arc::new(alternative::plan(&catalogue, other)?);
    let page = history::page(&mut tx, chosen).await?;
    drop(tx);
    let catalogue = catalogue.with(Arc::clone(&plan));
    let (mut candidates, mut cuts, mut compared) = (Vec::new(), Vec::new(), Vec::new());
    for past in &page.subscriptions {
        for period in &past.periods {
            let candidate = candidate(&catalogue, &past.subscription, &plan, period);
            compared.push(candidate.as_ref().map(|_| candidates.len()).map_err(Clone::clone));
            if let Ok(candidate) = candidate {
                candidates.push(candidate);
                cuts.push(period.cut.clone());
            }
        }
    }
    let measured = measure_at_cuts(context, &catalogue, &candidates, &cuts).await?;
    let rated = compared.into_iter().map(|compared| {
        let place = compared?;
        let usage = measured[place].as_ref().map_err(Clone::clone)?;
        rated(context, &catalogue, &candidates[place], usage)
    });
    answer::compared(page, rated.collect())
}

/// The subscription as if it had this plan from its start, at a moment at which everything about one period is billed: what is
/// paid for it in advance, and what was used in it. What else was changed about it stays changed.
fn candidate(
    catalogue: &Catalogue,
    subscription: &Subscription,
    plan: &Arc<PlanVersion>,
    past: &PastPeriod,
) -> Result<Candidate, String> {
    if past.interval != plan.interval {
        return Err("the alternative bills by another interval; compare it with periods of its own interval".to_owned());
    }
    let mut subscription = Subscription {
        plan: plan.key.clone(),
        plan_version: plan.version,
        interval: plan.interval,
        ..subscription.clone()
    };
    subscription.changes.retain(|change| !is_of_the_plan(&change.what));
    let needs = usage_needs(&subscription, catalogue, past.period.served).map_err(|error| error.to_string())?;
    let moment = BillMoment {
        opens: Some(past.period),
        closes: Some(past.period),
        // What the other plan commits to is part of what it would have cost.
        commits: true,
        usage: needs.into_iter().collect(),
        ..after_end(&subscription, past.period.served.end, 0)
    };
    let recorded_at = past.period.served.start;
    Ok(Candidate { subscription, plan: Arc::clone(plan), moment, version: 0, recorded_at })
}

/// Changes of the plan that the alternative stands for, and of its prices.
fn is_of_the_plan(what: &Alteration) -> bool {
    matches!(what, Alteration::PlanChanged { .. } | Alteration::PriceOverridden { add_on: None, .. })
}

fn rated(
    context: &Context,
    catalogue: &Catalogue,
    candidate: &Candidate,
    usage: &BTreeMap<UsageNeed, UsageFigure>,
) -> Result<Invoice, String> {
    let invoice = assemble(&BillInput {
        subscription: &candidate.subscription,
        plans: catalogue,
        moment: &candidate.moment,
        usage,
        billed: &[],
        late: &BTreeMap::new(),
        settings: &context.settings,
        bill_to: &Party::named(candidate.subscription.tenant.as_str()),
        // Lines are compared, and nothing that comes after them.
        terms: BillTerms::default(),
    });
    let invoice = invoice.and_then(|invoice| verify(&invoice).map(|()| invoice));
    invoice.map_err(|error| error.to_string())
}
