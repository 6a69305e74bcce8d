//! What may be asked of a subscription, and what comes of it.

use super::Subscription;
use crate::error::FieldError;
use crate::id::{SubscriptionId, TenantId};
use crate::journal::{CancelMode, JournalEvent, SubscriptionCancelled};
use crate::money::Currency;
use crate::period::{Alignment, Interval, IntervalUnit, MAX_PERIODS, PeriodError, TimeZone};
use crate::plan::PlanVersion;
use chrono::{DateTime, Duration, Utc};

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
}

#[derive(Debug, Clone)]
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
}

/// Why a command is refused. The state stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error(transparent)]
    Period(#[from] PeriodError),
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
            Ok(JournalEvent::SubscriptionStarted(start(terms, plan, now)?))
        }
        (None, SubscriptionCommand::Cancel { .. }) => Err(SubscriptionError::Unknown),
        (Some(state), SubscriptionCommand::Cancel { mode, billed_until }) => {
            Ok(JournalEvent::SubscriptionCancelled(cancel(state, *mode, *billed_until, now)?))
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
        (state, _) => state,
    }
}

fn start(terms: &StartTerms, plan: &PlanVersion, now: DateTime<Utc>) -> Result<Subscription, SubscriptionError> {
    let calendar = terms.calendar.unwrap_or(plan.calendar);
    if plan.currencies().is_some_and(|sold| !sold.contains(&terms.currency)) {
        let reason = format!("{} is not a currency of this plan", terms.currency);
        return Err(FieldError::new("/currency", reason, "choose one in which the plan has amounts").into());
    }
    if terms.end_at.is_some_and(|end| end <= terms.start_at) {
        let way_out = "leave it out, or write an instant after start_at";
        return Err(FieldError::new("/end_at", "is not after the start", way_out).into());
    }
    let longest = Duration::days(31) * i32::try_from(MAX_PERIODS).unwrap_or(i32::MAX);
    if now.signed_duration_since(terms.start_at).abs() > longest {
        return Err(FieldError::new("/start_at", "is more than a century away", "check the year").into());
    }
    if terms.end_at.is_some_and(|end| end.signed_duration_since(terms.start_at) > longest) {
        return Err(FieldError::new(
            "/end_at",
            "is more than a century after the start",
            "check the year, or leave it out",
        )
        .into());
    }
    let anchor_day = anchor_day(terms, calendar, plan.interval)?;
    Ok(Subscription {
        id: terms.id.clone(),
        tenant: terms.tenant.clone(),
        plan: plan.key.clone(),
        plan_version: plan.version,
        currency: terms.currency,
        zone: terms.zone,
        calendar,
        interval: plan.interval,
        anchor_day,
        started_at: terms.start_at,
        ended_at: terms.end_at,
    })
}

/// The day that the terms name, where the calendar leaves a choice, or else the one on which the subscription starts.
fn anchor_day(terms: &StartTerms, calendar: Alignment, interval: Interval) -> Result<u8, SubscriptionError> {
    let Some(day) = terms.anchor_day else {
        return Ok(interval.own_anchor_day(calendar, terms.start_at, terms.zone)?);
    };
    let days = interval.anchor_days(calendar);
    if days.contains(&day) {
        return Ok(day);
    }
    let (reason, way_out) = match (interval.unit, calendar) {
        (IntervalUnit::Week, _) => ("is not a day of a week", "write 1 for Monday to 7 for Sunday"),
        (IntervalUnit::Day, _) => ("has no meaning for days", "leave it out"),
        (_, Alignment::Calendar) => {
            ("a calendar subscription begins on day 1", "leave it out, or subscribe by anniversary")
        }
        (_, Alignment::Anniversary) => ("is not a day of a month", "write 1 to 31"),
    };
    Err(FieldError::new("/anchor_day", reason, way_out).into())
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
        CancelMode::PeriodEnd => state.anchor()?.period_containing(now)?.end,
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
