//! A plan's subscriptions, moved to another version of it together, by the function that moves them for real.

use super::run::Simulation;
use crate::error::FieldError;
use crate::id::{PlanKey, SubscriptionId};
use crate::subscription::MigrationTerms;
use chrono::{DateTime, Utc};
use serde::Serialize;

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
        for course in self.courses.iter_mut().filter(|course| terms.is_about(&course.state, at)) {
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
