//! What every part of billing shares.

use crate::marks::Marks;
use crate::run::summary::Summary;
use crate::turns::Turns;
use chrono::{DateTime, Duration, Utc};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use talea_domain::dunning::DunningPolicy;
use talea_domain::id::InvoiceId;
use talea_domain::invoice::InvoiceSettings;
use talea_domain::party::Party;
use talea_domain::plan::PlanVersion;
use talea_platform::config;
use talea_platform::runtime::Platform;
use tokio::sync::Notify;

/// The most invoice ids that are remembered to spare a second look. Past it, memory starts over.
const REMEMBERED: usize = 200_000;

pub struct Context {
    pub platform: Platform,
    pub settings: InvoiceSettings,
    pub marks: Marks,
    /// Runs of this process take turns. Those of other processes meet in the journal, which takes each decision once.
    pub one_run: tokio::sync::Mutex<()>,
    /// Simulations that are asked for over HTTP take turns.
    pub simulations: Turns,
    /// Wakes the worker.
    pub wake: Arc<Notify>,
    /// A migration of a plan was asked for.
    pub migrate: Arc<Notify>,
    /// Something about an invoice was recorded: the outbox has something to publish.
    pub recorded: Arc<Notify>,
    /// Of whom neither tenant nor plan says otherwise.
    pub dunning: DunningPolicy,
    seen: Mutex<Seen>,
}

/// What this process has looked at already. Losing it costs a second look, nothing else.
#[derive(Default)]
struct Seen {
    drafts: HashSet<InvoiceId>,
    refused: HashSet<(InvoiceId, String)>,
    corrections_at: Option<DateTime<Utc>>,
    last: Option<Summary>,
}

impl Context {
    pub fn new(platform: Platform) -> Self {
        let settings = settings(&platform.config.billing);
        // The configuration was checked when it was read.
        let dunning = DunningPolicy::parse(&platform.config.billing.dunning).unwrap_or_default();
        Self {
            platform,
            settings,
            marks: Marks::default(),
            one_run: tokio::sync::Mutex::new(()),
            simulations: Turns::default(),
            wake: Arc::new(Notify::new()),
            migrate: Arc::default(),
            recorded: Arc::default(),
            dunning,
            seen: Mutex::default(),
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.platform.clock.now()
    }

    /// How long after a period's end late usage is waited for.
    pub fn grace(&self, plan: &PlanVersion) -> Duration {
        let hours = plan.grace_hours.map_or(self.platform.config.billing.grace_hours, u64::from);
        Duration::hours(i64::try_from(hours).unwrap_or(i64::from(u32::MAX)))
    }

    /// Whether a draft of this invoice was tried already. A period without amount would otherwise be measured again in
    /// every pass of its grace.
    pub fn is_draft_tried(&self, invoice: &InvoiceId) -> bool {
        self.seen().drafts.contains(invoice)
    }

    pub fn draft_tried(&self, invoice: InvoiceId) {
        let mut seen = self.seen();
        if seen.drafts.len() >= REMEMBERED {
            seen.drafts.clear();
        }
        seen.drafts.insert(invoice);
    }

    /// Whether this refusal is new: it is logged once, not in every pass.
    pub fn is_new_refusal(&self, invoice: InvoiceId, reason: &str) -> bool {
        let mut seen = self.seen();
        if seen.refused.len() >= REMEMBERED {
            seen.refused.clear();
        }
        seen.refused.insert((invoice, reason.to_owned()))
    }

    /// Whether ended subscriptions are to be looked at for late usage, at most once in `pause`.
    pub fn corrections_are_due(&self, now: DateTime<Utc>, pause: Duration) -> bool {
        let mut seen = self.seen();
        let due = seen.corrections_at.is_none_or(|last| last + pause <= now);
        if due {
            seen.corrections_at = Some(now);
        }
        due
    }

    pub fn remember_run(&self, summary: &Summary) {
        self.seen().last = Some(summary.clone());
    }

    pub fn last_run(&self) -> Option<Summary> {
        self.seen().last.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn settings(billing: &config::Billing) -> InvoiceSettings {
    let issuer = &billing.issuer;
    InvoiceSettings {
        issuer: Party {
            address: issuer.address.clone(),
            tax_id: (!issuer.tax_id.is_empty()).then(|| issuer.tax_id.clone()),
            ..Party::named(issuer.name.clone())
        },
        series: issuer.series.clone(),
        due_days: u32::try_from(billing.due_days).unwrap_or(u32::MAX),
        empty_invoices: billing.empty_invoices,
    }
}
