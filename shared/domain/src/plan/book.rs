//! Where plans are looked up: a subscription names its plans by key and version.

use super::PlanVersion;
use crate::id::PlanKey;

/// Finds a version of a plan. Implemented by whatever holds plans: the catalogue of a bill run, the document of a
/// simulation, a plain list.
pub trait PlanBook: Sync {
    fn version(&self, key: &PlanKey, version: u32) -> Option<&PlanVersion>;
}

impl PlanBook for Vec<PlanVersion> {
    fn version(&self, key: &PlanKey, version: u32) -> Option<&PlanVersion> {
        self.iter().find(|plan| plan.key == *key && plan.version == version)
    }
}

/// A book of one plan.
impl PlanBook for PlanVersion {
    fn version(&self, key: &PlanKey, version: u32) -> Option<&PlanVersion> {
        (self.key == *key && self.version == version).then_some(self)
    }
}
