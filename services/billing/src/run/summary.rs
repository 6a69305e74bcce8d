//! What a run did, for its caller, the log and the metrics.

use super::Candidate;
use chrono::{DateTime, Utc};
use serde::Serialize;
use talea_domain::id::{InvoiceId, SubscriptionId, TenantId};
use talea_domain::invoice::invoice_id;

/// Refusals that a summary lists; all are counted and logged.
const LISTED_REFUSALS: usize = 1000;

/// A subscription whose invoice could not be made. Everything else went on.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = RefusedSubscription)]
pub struct Refused {
    pub tenant_id: TenantId,
    pub subscription_id: SubscriptionId,
    /// The bill moment.
    pub billed_at: Option<DateTime<Utc>>,
    pub reason: String,
}

impl Refused {
    pub(super) fn of(candidate: &Candidate, reason: String) -> Self {
        Self {
            tenant_id: candidate.subscription.tenant.clone(),
            subscription_id: candidate.subscription.id.clone(),
            billed_at: Some(candidate.moment.at),
            reason,
        }
    }

    /// Names the moment, so that it is logged once.
    pub(super) fn invoice_id(&self) -> InvoiceId {
        invoice_id(&self.subscription_id, self.billed_at.unwrap_or_default(), 0)
    }
}

/// What a run did and what it left.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = BillingRun)]
pub struct Summary {
    pub as_of: DateTime<Utc>,
    pub drafted: u64,
    pub finalized: u64,
    /// Moments that are done and owe nothing.
    pub closed_without_amount: u64,
    /// Subscriptions whose next moment is past, but not its grace.
    pub waiting_for_grace: u64,
    /// Subscriptions whose grace is over, while metering has not consumed what the log held then.
    pub waiting_for_metering: u64,
    /// The earliest bill moment among those that wait.
    pub oldest_waiting: Option<DateTime<Utc>>,
    pub refused_count: u64,
    /// The first thousand.
    pub refused: Vec<Refused>,
}

impl Summary {
    pub(super) fn new(as_of: DateTime<Utc>) -> Self {
        Self {
            as_of,
            drafted: 0,
            finalized: 0,
            closed_without_amount: 0,
            waiting_for_grace: 0,
            waiting_for_metering: 0,
            oldest_waiting: None,
            refused_count: 0,
            refused: Vec::new(),
        }
    }

    /// Who waits is counted anew in each wave, so that the last one says what is left.
    pub(super) fn start_wave(&mut self) {
        (self.waiting_for_grace, self.waiting_for_metering, self.oldest_waiting) = (0, 0, None);
    }

    pub(super) fn oldest(&mut self, waiting: impl Iterator<Item = DateTime<Utc>>) {
        self.oldest_waiting = waiting.chain(self.oldest_waiting).min();
    }

    pub(super) fn refuse(&mut self, refusal: Refused) {
        self.refused_count += 1;
        if self.refused.len() < LISTED_REFUSALS {
            self.refused.push(refusal);
        }
    }

    pub(super) fn did_something(&self) -> bool {
        self.drafted + self.finalized + self.closed_without_amount > 0
    }

    pub(super) fn measure(&self) {
        metrics::counter!("talea_billing_drafted_total").increment(self.drafted);
        metrics::counter!("talea_billing_finalized_total").increment(self.finalized);
        metrics::counter!("talea_billing_closed_without_amount_total").increment(self.closed_without_amount);
        metrics::gauge!("talea_billing_waiting", "for" => "grace").set(self.waiting_for_grace as f64);
        metrics::gauge!("talea_billing_waiting", "for" => "metering").set(self.waiting_for_metering as f64);
        metrics::gauge!("talea_billing_refused").set(self.refused_count as f64);
    }
}
