//! A plan's subscriptions, moved to another version of it together, by the function that moves them for real.

use super::run::Simulation;
use crate::error::FieldError;
use crate::id::{PlanKey, SubscriptionId};
use crate::subscription::MigrationTerms;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// How often a change looks at all terms of its subscription until it is decided.
const DECISION_LOOKS: usize = 6;

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MigrationView {
    pub at: DateTime<Utc>,
    pub plan: PlanKey,
    pub to_version: u32,
    /// In the order in which they were started, with when each is on the new version.
    pub moved: Vec<MovedView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedView>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MovedView {
    pub subscription: SubscriptionId,
    pub from: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockedView {
    pub subscription: SubscriptionId,
    /// With the way out.
    pub reason: String,
}

impl Simulation<'_> {
    pub(super) fn migrate(
        &mut self,
        place: usize,
        at: DateTime<Utc>,
        terms: &MigrationTerms,
    ) -> Result<(), FieldError> {
        if let Some(fault) = terms.check(self.prepared).into_iter().next() {
            return Err(FieldError { field: format!("/timeline/{place}/migrate_plan{}", fault.field), ..fault });
        }
        let (mut moved, mut blocked) = (Vec::new(), Vec::new());
        let named = terms.tenants.len() + terms.subscriptions.len();
        for course in &mut self.courses {
            // Its last plan, and whether it is named.
            course.look(1)?;
            course.spend(named / 64)?;
            if !terms.is_about(&course.state, at) {
                continue;
            }
            // Before, after, and what is billed already.
            course.look(DECISION_LOOKS)?;
            let subscription = course.state.id.clone();
            match terms.migrate(&course.state, self.prepared, course.progress.until, at, at) {
                Ok(done) => {
                    moved.push(MovedView { subscription, from: done.at });
                    course.take(done.after)?;
                }
                Err(error) => blocked.push(BlockedView { subscription, reason: error.to_string() }),
            }
        }
        let (plan, to_version) = (terms.plan.clone(), terms.to_version);
        self.migrations.push(MigrationView { at, plan, to_version, moved, blocked });
        Ok(())
    }
}
