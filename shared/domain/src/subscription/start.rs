//! How a subscription starts: its own terms, its trial, and the phases that are known from the beginning.

use super::change::{Alteration, InvoiceTiming, Trial};
use super::command::{ChangeTerms, Effective, StartTerms, SubscriptionError};
use super::terms_checked::check_quantities;
use super::{Subscription, alter};
use crate::error::FieldError;
use crate::period::{Alignment, Interval, IntervalUnit, MAX_PERIODS};
use crate::plan::PlanVersion;
use chrono::{DateTime, Duration, Utc};

/// Each phase is checked against all before it.
const MAX_PHASES: usize = 100;

pub(super) fn start(
    terms: &StartTerms,
    plan: &PlanVersion,
    now: DateTime<Utc>,
) -> Result<Subscription, SubscriptionError> {
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
    let (trial, end_at) = trial(terms)?;
    check_quantities("/quantities", plan, &terms.options.quantities)?;
    let anchor_day = anchor_day(terms, calendar, plan.interval)?;
    let subscription = Subscription {
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
        ended_at: end_at,
        quantities: terms.options.quantities.clone(),
        trial,
        changes: Vec::new(),
    };
    phases(subscription, plan, terms, now)
}

/// The trial, and the end: that of a trial which does not convert, where none is named.
fn trial(terms: &StartTerms) -> Result<(Option<Trial>, Option<DateTime<Utc>>), SubscriptionError> {
    let Some(trial) = terms.options.trial else {
        return Ok((None, terms.end_at));
    };
    let fault = |reason, way_out| Err(FieldError::new("/trial/until", reason, way_out).into());
    if trial.until <= terms.start_at {
        return fault("is not after the start", "leave the trial out, or write an instant after start_at");
    }
    if terms.end_at.is_some_and(|end| end < trial.until) {
        return fault("is after the end", "let the trial end with the subscription, or before it");
    }
    let end_at = if trial.converts { terms.end_at } else { Some(trial.until) };
    Ok((Some(Trial { until: trial.until, usage: trial.usage }), end_at))
}

/// Phases are changes that are known from the beginning.
fn phases(
    subscription: Subscription,
    plan: &PlanVersion,
    terms: &StartTerms,
    now: DateTime<Utc>,
) -> Result<Subscription, SubscriptionError> {
    let phases = &terms.options.phases;
    if phases.len() > MAX_PHASES {
        let reason = format!("has {} phases", phases.len());
        return Err(
            FieldError::new("/phases", reason, format!("write at most {MAX_PHASES}, and change it later")).into()
        );
    }
    let plans: Vec<PlanVersion> = std::iter::once(plan).chain(phases.iter().map(|it| &it.plan)).cloned().collect();
    let mut subscription = subscription;
    for (index, phase) in phases.iter().enumerate() {
        let before = if index == 0 { terms.start_at } else { phases[index - 1].at };
        if phase.at <= before {
            let field = format!("/phases/{index}/at");
            let way_out = "list the phases in rising order, after the start";
            return Err(FieldError::new(field, "is not after what comes before", way_out).into());
        }
        let what = Alteration::PlanChanged {
            plan: phase.plan.key.clone(),
            plan_version: phase.plan.version,
            interval: phase.plan.interval,
            quantities: phase.quantities.clone(),
        };
        let terms = ChangeTerms {
            what,
            effective: Effective::At(phase.at),
            proration: phase.proration,
            invoice: InvoiceTiming::Next,
        };
        let change = alter::change(&subscription, &terms, &plans, None, now).map_err(|error| match error {
            SubscriptionError::Field(fault) => {
                FieldError { field: format!("/phases/{index}{}", fault.field), ..fault }.into()
            }
            error => error,
        })?;
        subscription = subscription.with(change);
    }
    Ok(subscription)
}

/// The day that the terms name, where the calendar leaves a choice, or else the one on which the subscription starts to
/// be paid.
fn anchor_day(terms: &StartTerms, calendar: Alignment, interval: Interval) -> Result<u8, SubscriptionError> {
    let Some(day) = terms.anchor_day else {
        return Ok(interval.own_anchor_day(
            calendar,
            terms.options.trial.map_or(terms.start_at, |trial| trial.until),
            terms.zone,
        )?);
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
