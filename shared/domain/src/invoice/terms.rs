//! Until when an invoice is to be paid, and what happens if it is not: the tenant's own terms before its plan's, the plan's
//! before the deployment's.

use crate::dunning::DunningPolicy;
use crate::error::FieldError;
use crate::id::TenantId;
use crate::plan::PlanVersion;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The most days from issue to due.
pub const MAX_DUE_DAYS: u32 = 365;

/// Terms of payment; what is absent is decided one level further out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BillingTerms {
    /// Days from issue to due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dunning: Option<DunningPolicy>,
}

/// A tenant's own terms from now on, in place of all earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BillingTermsChanged {
    pub tenant_id: TenantId,
    pub terms: BillingTerms,
    pub changed_at: DateTime<Utc>,
}

impl BillingTerms {
    /// The terms of a plan.
    pub fn of_plan(plan: &PlanVersion) -> Self {
        Self { due_days: plan.due_days, dunning: plan.dunning.clone() }
    }

    /// These terms where they say something, else the outer ones.
    pub fn or(self, outer: Self) -> Self {
        Self { due_days: self.due_days.or(outer.due_days), dunning: self.dunning.or(outer.dunning) }
    }

    /// Checks bounds; the error's field is a pointer below `pointer`.
    pub fn check(&self, pointer: &str) -> Result<(), FieldError> {
        if self.due_days.is_some_and(|days| days > MAX_DUE_DAYS) {
            let way_out = format!("write at most {MAX_DUE_DAYS}");
            return Err(FieldError::new(format!("{pointer}/due_days"), "is too large", way_out));
        }
        self.dunning.as_ref().map_or(Ok(()), |policy| policy.check(&format!("{pointer}/dunning")))
    }
}
