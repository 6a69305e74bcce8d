//! What may be asked of a subscription, and what comes of it.

use super::change::{Alteration, InvoiceTiming, Proration, Quantities, SubscriptionChanged, TrialUsage};
use super::{Subscription, TimelineError, alter, start};
use crate::error::FieldError;
use crate::id::{SubscriptionId, TenantId};
use crate::journal::{CancelMode, JournalEvent, SubscriptionCancelled};
use crate::money::Currency;
use crate::period::{Alignment, PeriodError, TimeZone};
use crate::plan::{PlanBook, PlanVersion};
use chrono::{DateTime, Utc};

/// The terms of a new subscription. Ids are given, never drawn here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartTerms {
    pub id: SubscriptionId,
    pub tenant: TenantId,
    pub currency: Currency,
    pub zone: TimeZone,
    /// The plan's calendar when absent.
    pub calendar: Option<Alignment>,
    /// The day on which its periods begin, when it is not the day on which it starts: of months and years by anniversary the
    /// day of the month, of weeks the day of the week, 1 for Monday.
    pub anchor_day: Option<u8>,
    /// May lie in the past: the periods since then are due at once.
    pub start_at: DateTime<Utc>,
    /// Exclusive; when the end is known from the beginning.
    pub end_at: Option<DateTime<Utc>>,
    pub options: StartOptions,
}

/// What a new subscription may have beside the plain terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// How many of each flat price are bought.
    pub quantities: Quantities,
    pub trial: Option<TrialTerms>,
    /// Plans that follow, each from its instant on, in rising order.
    pub phases: Vec<Phase>,
}

/// A time at the start in which nothing recurring is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialTerms {
    /// Exclusive.
    pub until: DateTime<Utc>,
    pub usage: TrialUsage,
    /// Whether it goes on as a paid subscription by itself; else it ends with the trial, unless it is reactivated.
    pub converts: bool,
}

/// A plan that a subscription takes later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    pub at: DateTime<Utc>,
    pub plan: PlanVersion,
    pub quantities: Quantities,
    pub proration: Proration,
}

/// A change as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeTerms {
    /// The interval of a plan and the end that is undone are filled in by [`decide`].
    pub what: Alteration,
    pub effective: Effective,
    pub proration: Proration,
    pub invoice: InvoiceTiming,
}

/// From when on a change is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effective {
    Now,
    /// When the running period ends.
    PeriodEnd,
    /// Later, or backdated.
    At(DateTime<Utc>),
}

#[derive(Clone)]
pub enum SubscriptionCommand<'a> {
    Start {
        terms: StartTerms,
        plan: &'a PlanVersion,
    },
    Cancel {
        mode: CancelMode,
        /// The last bill moment that was billed, or closed without an invoice.
        billed_until: Option<DateTime<Utc>>,
    },
    Change {
        terms: ChangeTerms,
        plans: &'a dyn PlanBook,
        /// The last bill moment that was billed, or closed without an invoice.
        billed_until: Option<DateTime<Utc>>,
    },
}

/// Why a command is refused. The state stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error(transparent)]
    Period(#[from] PeriodError),
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    #[error("the subscription exists already; use another id, or cancel it first")]
    Exists,
    #[error("there is no such subscription; check its id")]
    Unknown,
    #[error("the subscription ends at {at} already; start a new one instead")]
    EndsAlready { at: DateTime<Utc> },
    #[error("the subscription starts at {start} only; cancel it then")]
    NotStarted { start: DateTime<Utc> },
    #[error("everything up to {billed_until} is billed; cancel after this instant, or at the end of the period")]
    BilledAlready { billed_until: DateTime<Utc> },
    #[error(
        "everything up to {billed_until} is billed, and its periods are fixed; let periods of another length begin after this instant"
    )]
    PeriodsAreBilled { billed_until: DateTime<Utc> },
    #[error("it is so already; nothing was changed, name other terms or another instant")]
    ChangesNothing,
    #[error("the subscription does not run at {at}; name an instant at which it does, or reactivate it")]
    NotRunning { at: DateTime<Utc> },
    #[error("the subscription has no end that could be undone; cancel it first")]
    HasNoEnd,
    #[error("the subscription has {most} changes already; start a new one instead")]
    TooManyChanges { most: usize },
}

/// What a command leads to at `now`. An answer is an event to append; an error changes nothing.
pub fn decide(
    state: Option<&Subscription>,
    command: &SubscriptionCommand<'_>,
    now: DateTime<Utc>,
) -> Result<JournalEvent, SubscriptionError> {
    match (state, command) {
        (Some(_), SubscriptionCommand::Start { .. }) => Err(SubscriptionError::Exists),
        (None, SubscriptionCommand::Start { terms, plan }) => {
            Ok(JournalEvent::SubscriptionStarted(start::start(terms, plan, now)?))
        }
        (None, SubscriptionCommand::Cancel { .. } | SubscriptionCommand::Change { .. }) => {
            Err(SubscriptionError::Unknown)
        }
        (Some(state), SubscriptionCommand::Cancel { mode, billed_until }) => {
            Ok(JournalEvent::SubscriptionCancelled(cancel(state, *mode, *billed_until, now)?))
        }
        (Some(state), SubscriptionCommand::Change { terms, plans, billed_until }) => {
            let change = alter::change(state, terms, *plans, *billed_until, now)?;
            Ok(JournalEvent::SubscriptionChanged(SubscriptionChanged { subscription_id: state.id.clone(), change }))
        }
    }
}

/// The state after an event. An event of something else changes nothing.
pub fn evolve(state: Option<Subscription>, event: &JournalEvent) -> Option<Subscription> {
    match (state, event) {
        (None, JournalEvent::SubscriptionStarted(subscription)) => Some(subscription.clone()),
        (Some(state), JournalEvent::SubscriptionCancelled(cancelled)) if cancelled.subscription_id == state.id => {
            Some(Subscription { ended_at: Some(cancelled.at), ..state })
        }
        (Some(state), JournalEvent::SubscriptionChanged(changed)) if changed.subscription_id == state.id => {
            Some(state.with(changed.change.clone()))
        }
        (state, _) => state,
    }
}

fn cancel(
    state: &Subscription,
    mode: CancelMode,
    billed_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<SubscriptionCancelled, SubscriptionError> {
    if now <= state.started_at {
        return Err(SubscriptionError::NotStarted { start: state.started_at });
    }
    let at = match mode {
        CancelMode::Now => now,
        CancelMode::PeriodEnd => state.period_end(now)?,
    };
    // An earlier end may replace a later one, never the other way round: what ended is over.
    if let Some(end) = state.ended_at
        && end <= at
    {
        return Err(SubscriptionError::EndsAlready { at: end });
    }
    if let Some(billed_until) = billed_until
        && at <= billed_until
    {
        return Err(SubscriptionError::BilledAlready { billed_until });
    }
    Ok(SubscriptionCancelled { subscription_id: state.id.clone(), at, mode })
}
