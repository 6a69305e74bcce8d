//! Dunning: what happens when an invoice is not paid by its due date, as a list of steps, each a number of days after it.
//! Pure: which steps are reached follows from the invoice's state, the policy and an instant.

use crate::error::FieldError;
use crate::id::{InvoiceId, TenantId};
use crate::invoice::{InvoiceStage, InvoiceState};
use crate::money::Money;
use crate::period::{PeriodError, zone::day_of, zone::start_of_day};
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// The most steps of a policy.
pub const MAX_STEPS: usize = 20;
/// The latest step, in days after the due date.
pub const MAX_DAYS: u32 = 365;

/// What a step leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DunningAction {
    /// It is told, and nothing else.
    #[default]
    Notify,
    /// The tenant is suspended until the invoice is no longer overdue.
    Suspend,
}

impl DunningAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Suspend => "suspend",
        }
    }

    fn is_notify(&self) -> bool {
        *self == Self::Notify
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DunningStep {
    /// For example `reminder`; unique in its policy.
    pub name: String,
    /// Days after the due date: reached when that day begins in the invoice's zone. From 1.
    pub after_days: u32,
    #[serde(default, skip_serializing_if = "DunningAction::is_notify")]
    pub action: DunningAction,
}

/// The steps, in rising order of their days. None at all means that nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DunningPolicy {
    pub steps: Vec<DunningStep>,
}

impl DunningPolicy {
    /// From lines as a configuration writes them: `reminder 3`, or `suspension 30 suspend`.
    pub fn parse(lines: &[String]) -> Result<Self, FieldError> {
        let step = |(index, line): (usize, &String)| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, days, action) = match words[..] {
                [name, days] => (name, days.parse(), DunningAction::Notify),
                [name, days, "suspend"] => (name, days.parse(), DunningAction::Suspend),
                _ => ("", "".parse(), DunningAction::Notify),
            };
            let after_days = days.map_err(|_: std::num::ParseIntError| {
                let way_out = "write a name and days, for example `reminder 3` or `suspension 30 suspend`";
                FieldError::new(format!("/steps/{index}"), format!("holds `{line}`, which is no step"), way_out)
            })?;
            Ok(DunningStep { name: name.to_owned(), after_days, action })
        };
        let policy = Self { steps: lines.iter().enumerate().map(step).collect::<Result<_, FieldError>>()? };
        policy.check("").map(|()| policy)
    }

    /// Checks names and days; the error's field is a pointer below `pointer`.
    pub fn check(&self, pointer: &str) -> Result<(), FieldError> {
        let fault = |index: usize, member: &str, reason: &str, way_out: String| {
            Err(FieldError::new(format!("{pointer}/steps/{index}/{member}"), reason, way_out))
        };
        if self.steps.len() > MAX_STEPS {
            let reason = format!("has {} steps", self.steps.len());
            return Err(FieldError::new(format!("{pointer}/steps"), reason, format!("write at most {MAX_STEPS}")));
        }
        for (index, step) in self.steps.iter().enumerate() {
            let name = &step.name;
            if name.trim().is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
                return fault(index, "name", "is not a name", "write 1 to 64 printable characters".to_owned());
            }
            if self.steps[..index].iter().any(|earlier| earlier.name == *name) {
                return fault(index, "name", "is used twice", "give each step its own name".to_owned());
            }
            let least = index.checked_sub(1).map_or(1, |before| self.steps[before].after_days.saturating_add(1));
            if !(least..=MAX_DAYS).contains(&step.after_days) {
                return fault(index, "after_days", "is out of order", format!("write {least} to {MAX_DAYS}"));
            }
        }
        Ok(())
    }
}

/// A step of an invoice's dunning was reached while it was overdue. Recorded once for each invoice, step and round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DunningStepReached {
    pub tenant_id: TenantId,
    pub invoice_id: InvoiceId,
    pub step: String,
    pub action: DunningAction,
    pub after_days: u32,
    pub due_date: NaiveDate,
    /// What was open.
    pub open: Money,
    /// When the step's day began.
    pub reached_at: DateTime<Utc>,
    /// How often the invoice had been settled and become open again: each time the steps are told anew.
    #[serde(default, skip_serializing_if = "is_first")]
    pub round: u32,
}

fn is_first(round: &u32) -> bool {
    *round == 0
}

impl DunningStepReached {
    /// Names the invoice, the step and the round: what was recorded under it is not recorded again.
    pub fn key(&self) -> String {
        match self.round {
            0 => format!("dunning/{}/{}", self.invoice_id, self.step),
            round => format!("dunning/{}/{}/{round}", self.invoice_id, self.step),
        }
    }
}

/// The steps that an invoice has reached at `as_of`, in order; none where nothing of it is asked for. Which of them were
/// recorded before is the journal's to say.
pub fn dunning_steps(
    state: &InvoiceState,
    policy: &DunningPolicy,
    as_of: DateTime<Utc>,
) -> Result<Vec<DunningStepReached>, PeriodError> {
    let mut reached = Vec::new();
    let Some(due_date) = state.due_date.filter(|_| state.stage.is_asked_for()) else {
        return Ok(reached);
    };
    for step in &policy.steps {
        let reached_at = reached_at(state, due_date, step.after_days)?;
        if reached_at > as_of {
            break;
        }
        reached.push(DunningStepReached {
            tenant_id: state.tenant.clone(),
            invoice_id: state.invoice.clone(),
            step: step.name.clone(),
            action: step.action,
            after_days: step.after_days,
            due_date,
            open: state.open,
            reached_at,
            round: state.round,
        });
    }
    Ok(reached)
}

/// When the first step of an invoice that `is_known` does not name will be reached, if nothing is paid until then.
pub fn next_step_at(
    state: &InvoiceState,
    policy: &DunningPolicy,
    is_known: impl Fn(&str) -> bool,
) -> Result<Option<DateTime<Utc>>, PeriodError> {
    let Some(due_date) = state.due_date.filter(|_| state.stage.is_asked_for()) else {
        return Ok(None);
    };
    let step = policy.steps.iter().find(|step| !is_known(&step.name));
    step.map(|step| reached_at(state, due_date, step.after_days)).transpose()
}

/// Since when, or from when on, a recorded step suspends the tenant; none where it does not, or where nothing is open. A
/// claim that was written off still suspends: to serve again is for a person to decide.
pub fn suspends_from(
    state: &InvoiceState,
    after_days: u32,
    action: DunningAction,
) -> Result<Option<DateTime<Utc>>, PeriodError> {
    let is_owed = state.stage.is_asked_for() || state.stage == InvoiceStage::Uncollectible;
    let due_date = state.due_date.filter(|_| is_owed && action == DunningAction::Suspend);
    due_date.map(|due_date| reached_at(state, due_date, after_days)).transpose()
}

/// Days count from the due date; of an invoice that was paid and is open again, from the day on which its payment was
/// reversed, so that nobody is suspended on the day of a chargeback.
fn reached_at(state: &InvoiceState, due_date: NaiveDate, after_days: u32) -> Result<DateTime<Utc>, PeriodError> {
    let from = due_date.max(day_of(state.open_since, state.zone)?);
    let day = from.checked_add_days(Days::new(after_days.into())).ok_or(PeriodError::OutOfRange)?;
    start_of_day(day, state.zone)
}

#[cfg(test)]
mod tests;
