//! Subscriptions of a plan, moved to another version of it together: which ones it is about, and what becomes of each. The
//! change of each is decided as if it were asked for alone.

use super::change::{Alteration, InvoiceTiming, Proration, Quantities};
use super::command::{ChangeTerms, Effective, SubscriptionCommand, SubscriptionError, decide, evolve};
use super::timeline::END_OF_TIME;
use super::{EffectiveAt, Subscription};
use crate::error::FieldError;
use crate::id::{PlanKey, PlanMigrationId, SubscriptionId, TenantId};
use crate::journal::JournalEvent;
use crate::period::Interval;
use crate::plan::PlanBook;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The most tenants, subscriptions or versions that a migration names.
const MAX_NAMED: usize = 1000;
/// Blocked subscriptions that a migration lists; all are counted.
const LISTED: usize = 1000;

/// What a migration is asked for: `{"plan": "pro", "to_version": 3, "when": "at_renewal"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationTerms {
    pub plan: PlanKey,
    /// Every older version when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_versions: Vec<u32>,
    pub to_version: u32,
    #[serde(default)]
    pub when: MigrateWhen,
    #[serde(default)]
    pub proration: Proration,
    #[serde(default)]
    pub invoice: InvoiceTiming,
    /// Of these tenants only; of all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantId>,
    /// These only; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<SubscriptionId>,
}

/// From when on the new version holds: `at_renewal`, when the period ends in which the migration was asked for; `now`; or an
/// instant. Before a subscription starts, it is from its start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "at_renewal")]
pub struct MigrateWhen(pub Effective);

impl Default for MigrateWhen {
    fn default() -> Self {
        Self(Effective::PeriodEnd)
    }
}

impl From<MigrateWhen> for String {
    fn from(when: MigrateWhen) -> Self {
        match when.0 {
            Effective::PeriodEnd => "at_renewal".to_owned(),
            other => EffectiveAt(other).into(),
        }
    }
}

impl TryFrom<String> for MigrateWhen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "at_renewal" {
            return Ok(Self(Effective::PeriodEnd));
        }
        match EffectiveAt::try_from(text.clone()) {
            Ok(EffectiveAt(at)) if at != Effective::PeriodEnd => Ok(Self(at)),
            _ => Err(format!(
                "{text:?} is no time of a migration; write at_renewal, now, or an instant like 2026-10-01T00:00:00Z"
            )),
        }
    }
}

/// Why a subscription stays as it is. Nothing about the others changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMigrated {
    #[error(
        "at {at} it is on plan {plan} version {version}; migrate it at an instant at which it is on a version that is migrated"
    )]
    OnAnother { plan: PlanKey, version: u32, at: DateTime<Utc> },
    #[error(
        "a change of its plan that is decided already holds from {at} on and would take this one back; migrate it from then on, or change it alone"
    )]
    ChangedLater { at: DateTime<Utc> },
    #[error(transparent)]
    Refused(#[from] SubscriptionError),
}

impl MigrationTerms {
    /// What is wrong with it, by pointer.
    pub fn check(&self, plans: &dyn PlanBook) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let mut check_version = |field: String, version: u32| {
            if plans.version(&self.plan, version).is_none() {
                let reason = format!("plan {} has no version {version}", self.plan);
                faults.push(FieldError::new(field, reason, "name a version that was published"));
            }
        };
        check_version("/to_version".to_owned(), self.to_version);
        for (index, version) in self.from_versions.iter().enumerate().take(MAX_NAMED) {
            check_version(format!("/from_versions/{index}"), *version);
        }
        if let Some(index) = self.from_versions.iter().position(|version| *version == self.to_version) {
            let way_out = "leave it out";
            faults.push(FieldError::new(format!("/from_versions/{index}"), "is the version to move to", way_out));
        }
        let sizes = [
            ("/from_versions", self.from_versions.len()),
            ("/tenants", self.tenants.len()),
            ("/subscriptions", self.subscriptions.len()),
        ];
        for (field, _) in sizes.into_iter().filter(|(_, size)| *size > MAX_NAMED) {
            let way_out = format!("name at most {MAX_NAMED}, and migrate the rest by themselves");
            faults.push(FieldError::new(field, "is too long", way_out));
        }
        faults
    }

    /// Whether it is about a subscription: the plan that was decided for it last is in a version that is migrated, it is named
    /// where any is, and it has not ended.
    pub fn is_about(&self, state: &Subscription, asked_at: DateTime<Utc>) -> bool {
        let (plan, version) = state.plan_before(END_OF_TIME);
        self.is_from(&plan, version)
            && state.ended_at.is_none_or(|end| end > asked_at)
            && (self.tenants.is_empty() || self.tenants.contains(&state.tenant))
            && (self.subscriptions.is_empty() || self.subscriptions.contains(&state.id))
    }

    fn is_from(&self, plan: &PlanKey, version: u32) -> bool {
        let is_named = self.from_versions.contains(&version);
        *plan == self.plan && (is_named || (self.from_versions.is_empty() && version < self.to_version))
    }

    /// Moves a subscription, by the change that one who asked for it alone would get. `asked_at` is when the migration was asked
    /// for, `now` when the change is recorded.
    pub fn migrate(
        &self,
        state: &Subscription,
        plans: &dyn PlanBook,
        billed_until: Option<DateTime<Utc>>,
        asked_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Moved, NotMigrated> {
        let asked_at = asked_at.max(state.started_at);
        let at = match self.when.0 {
            Effective::Now => asked_at,
            Effective::PeriodEnd => state.period_end(asked_at).map_err(SubscriptionError::from)?,
            Effective::At(at) => at.max(state.started_at),
        };
        if let Some(terms) = state.terms_at(at).filter(|terms| !self.is_from(&terms.plan, terms.plan_version)) {
            return Err(NotMigrated::OnAnother { plan: terms.plan, version: terms.plan_version, at });
        }
        let what = Alteration::PlanChanged {
            plan: self.plan.clone(),
            plan_version: self.to_version,
            // The plan's, which the decision knows.
            interval: Interval::MONTHLY,
            quantities: Quantities::default(),
        };
        let terms =
            ChangeTerms { what, effective: Effective::At(at), proration: self.proration, invoice: self.invoice };
        let event = decide(Some(state), &SubscriptionCommand::Change { terms, plans, billed_until }, now)?;
        let after = evolve(Some(state.clone()), &event).ok_or(SubscriptionError::Unknown)?;
        let is_later =
            |change: &&super::Change| change.at > at && matches!(change.what, Alteration::PlanChanged { .. });
        match state.changes.iter().filter(is_later).map(|change| change.at).min() {
            Some(at) => Err(NotMigrated::ChangedLater { at }),
            None => Ok(Moved { at, event, after }),
        }
    }
}

/// What moves a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// From when on the new version holds.
    pub at: DateTime<Utc>,
    /// To be recorded.
    pub event: JournalEvent,
    pub after: Subscription,
}

/// A migration was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMigrationStarted {
    pub id: PlanMigrationId,
    pub terms: MigrationTerms,
    pub asked_at: DateTime<Utc>,
}

/// Some of its subscriptions were moved, each by a decision of its own; the others stay, each for its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMigrationAdvanced {
    pub migration_id: PlanMigrationId,
    pub moved: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedSubscription>,
    /// The last subscription that was looked at; absent where none is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<MigrationPlace>,
}

/// A subscription that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BlockedSubscription {
    pub tenant: TenantId,
    pub subscription: SubscriptionId,
    /// With the way out.
    pub reason: String,
}

/// Subscriptions are moved in the order of tenants and ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationPlace {
    pub tenant: TenantId,
    pub subscription: SubscriptionId,
}

/// How far a migration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMigration {
    pub started: PlanMigrationStarted,
    pub moved: u64,
    pub blocked_count: u64,
    /// The first thousand.
    pub blocked: Vec<BlockedSubscription>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<MigrationPlace>,
    pub is_done: bool,
}

impl PlanMigration {
    /// The state after an event. An event of something else changes nothing.
    pub fn evolve(state: Option<Self>, event: &JournalEvent) -> Option<Self> {
        match (state, event) {
            (None, JournalEvent::PlanMigrationStarted(started)) => Some(Self {
                started: started.clone(),
                moved: 0,
                blocked_count: 0,
                blocked: Vec::new(),
                after: None,
                is_done: false,
            }),
            (Some(mut state), JournalEvent::PlanMigrationAdvanced(advanced))
                if advanced.migration_id == state.started.id =>
            {
                state.moved += advanced.moved;
                state.blocked_count += advanced.blocked.len() as u64;
                let room = LISTED.saturating_sub(state.blocked.len());
                state.blocked.extend(advanced.blocked.iter().take(room).cloned());
                state.after = advanced.after.clone();
                state.is_done = advanced.after.is_none();
                Some(state)
            }
            (state, _) => state,
        }
    }
}
