//! The billing run. What is due is found by query ([`due`]); its usage is measured for many subscriptions at once
//! ([`measure`]); [`document`] assembles, [`draft`] and [`mod@close`] record. [`corrections`] bills late usage of subscriptions
//! that have ended; [`mod@reissue`] bills anew what was voided; [`credits`] pays with prepaid credits.
//!
//! A run goes in waves, each with at most one bill moment of a subscription, so that a backlog is billed moment after
//! moment, in order. Nothing here is kept for the next run: killed anywhere, it finds done what is done.

mod billed;
mod charges;
mod close;
mod corrections;
mod credits;
mod document;
mod draft;
mod due;
mod measure;
mod reissue;
pub(crate) mod summary;
mod terms;

pub use summary::{Refused, Summary};

use crate::catalogue::Catalogue;
use crate::context::Context;
use crate::marks::Consumed;
use chrono::{DateTime, Utc};
use due::Cursor;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use talea_domain::id::{SubscriptionId, TenantId};
use talea_domain::plan::PlanVersion;
use talea_domain::subscription::{BillMoment, Subscription, closes_at};

pub(crate) use billed::issued_lines;
pub(crate) use charges::{invoice_now, invoiced, next_number};
pub(crate) use close::close;
pub(crate) use credits::Decided;
pub(crate) use document::assembled;
pub(crate) use due::{SubscriptionRow, candidate, candidate_of, one as find_one};
pub(crate) use measure::at_cuts as measure_at_cuts;

/// How long a run that was asked for waits until metering has what the log holds now.
pub const ASKED_PATIENCE: Duration = Duration::from_secs(30);
/// The worker comes again anyway; this only spares it a whole interval when metering is a moment behind.
const CLOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Who started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The worker. A subscription that was started in the past waits a grace from when it was recorded, so that its history
    /// can be imported before it is billed.
    Clock,
    /// A person: what is due as of the instant is closed over everything that the log holds now.
    Asked,
}

/// A subscription and its next bill moment.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub subscription: Subscription,
    /// The plan that it is on just before the moment: its grace holds.
    pub plan: Arc<PlanVersion>,
    pub moment: BillMoment,
    /// Version of its stream as it was read: a decision in between makes the closing start over.
    pub version: i64,
    /// When its start was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// What a run knows from its beginning, and what it did.
pub(crate) struct Run<'a> {
    pub context: &'a Context,
    pub catalogue: Catalogue,
    pub as_of: DateTime<Utc>,
    pub now: DateTime<Utc>,
    pub trigger: Trigger,
    pub actor: String,
    pub consumed: Consumed,
    pub summary: Summary,
    /// Refused in this run: not tried again in it.
    refused: HashSet<(TenantId, SubscriptionId)>,
}

/// Bills everything that is due as of an instant. Runs of one process take turns.
pub async fn run(context: &Context, as_of: DateTime<Utc>, trigger: Trigger) -> anyhow::Result<Summary> {
    let actor = match trigger {
        Trigger::Clock => "billing",
        Trigger::Asked => "billing, asked",
    };
    let _turn = context.one_run.lock().await;
    let patience = if trigger == Trigger::Asked { ASKED_PATIENCE } else { CLOCK_PATIENCE };
    let mut run = Run::new(context, as_of, trigger, actor.to_owned(), patience).await?;
    reissue::reissue(&mut run).await?;
    while run.wave().await? > 0 {}
    corrections::correct(&mut run).await?;
    credits::end_grants(&mut run).await?;
    run.finish();
    Ok(run.summary)
}

impl<'a> Run<'a> {
    pub async fn new(
        context: &'a Context,
        as_of: DateTime<Utc>,
        trigger: Trigger,
        actor: String,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let now = context.now();
        let consumed = context.marks.wait(&context.platform, patience).await?;
        let mut tx = context.platform.databases.worker.begin().await?;
        let catalogue = Catalogue::load(&mut tx).await?;
        tx.commit().await?;
        let summary = Summary::new(as_of);
        Ok(Self { context, catalogue, as_of, now, trigger, actor, consumed, summary, refused: HashSet::new() })
    }

    /// One bill moment of every subscription that has one due. Answers how many were closed.
    async fn wave(&mut self) -> anyhow::Result<usize> {
        self.summary.start_wave();
        let (mut closed, mut after) = (0, Cursor::default());
        loop {
            let page = due::page(self, &after).await?;
            self.refuse_all(page.unreadable);
            let mut sorted = self.sort(page.found);
            self.summary.oldest(sorted.waiting.iter().map(|candidate| candidate.moment.at));
            draft::draft(self, std::mem::take(&mut sorted.waiting)).await?;
            closed += close(self, sorted.ready).await?.len();
            match page.next {
                Some(next) => after = next,
                None => return Ok(closed),
            }
        }
    }

    fn sort(&mut self, found: Vec<Candidate>) -> Sorted {
        let mut sorted = Sorted::default();
        for candidate in found {
            if self.is_refused(&candidate.subscription) {
                continue;
            }
            match self.readiness(&candidate) {
                Readiness::Ready => sorted.ready.push(candidate),
                Readiness::Grace => {
                    self.summary.waiting_for_grace += 1;
                    sorted.waiting.push(candidate);
                }
                Readiness::Metering => {
                    self.summary.waiting_for_metering += 1;
                    sorted.waiting.push(candidate);
                }
            }
        }
        sorted
    }

    /// A moment without usage waits for nothing.
    fn readiness(&self, candidate: &Candidate) -> Readiness {
        if candidate.moment.usage.is_empty() {
            return Readiness::Ready;
        }
        let recorded_at = match self.trigger {
            Trigger::Clock => candidate.recorded_at,
            Trigger::Asked => candidate.moment.at,
        };
        let grace = self.context.grace(&candidate.plan);
        let Some(grace_ends) = closes_at(&candidate.moment, recorded_at, grace) else {
            return Readiness::Grace;
        };
        let must_hold = if self.trigger == Trigger::Asked { self.now } else { grace_ends };
        if grace_ends > self.as_of {
            Readiness::Grace
        } else if self.consumed.covers(must_hold) {
            Readiness::Ready
        } else {
            Readiness::Metering
        }
    }

    fn is_refused(&self, subscription: &Subscription) -> bool {
        self.refused.contains(&(subscription.tenant.clone(), subscription.id.clone()))
    }

    fn refuse_all(&mut self, refused: Vec<Refused>) {
        for refusal in refused {
            self.refuse(refusal);
        }
    }

    /// Stops one subscription, never the run.
    pub fn refuse(&mut self, refusal: Refused) {
        let key = (refusal.tenant_id.clone(), refusal.subscription_id.clone());
        if self.refused.insert(key) {
            if self.context.is_new_refusal(refusal.invoice_id(), &refusal.reason) {
                tracing::error!(
                    tenant.id = %refusal.tenant_id,
                    subscription.id = %refusal.subscription_id,
                    billed_at = ?refusal.billed_at,
                    reason = refusal.reason,
                    "billing.refused"
                );
            }
            self.summary.refuse(refusal);
        }
    }

    fn finish(&self) {
        self.summary.measure();
        if self.summary.did_something() {
            tracing::info!(
                as_of = %self.as_of,
                drafted = self.summary.drafted,
                finalized = self.summary.finalized,
                closed_without_amount = self.summary.closed_without_amount,
                waiting_for_grace = self.summary.waiting_for_grace,
                waiting_for_metering = self.summary.waiting_for_metering,
                refused = self.summary.refused_count,
                "billing.run_ended"
            );
        }
        self.context.remember_run(&self.summary);
    }
}

#[derive(Default)]
struct Sorted {
    ready: Vec<Candidate>,
    waiting: Vec<Candidate>,
}

enum Readiness {
    Ready,
    Grace,
    Metering,
}
