//! Every version of every meter and plan, read once for a run.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use talea_domain::id::{MeterKey, PlanKey};
use talea_domain::meter::MeterDefinition;
use talea_domain::plan::{PlanBook, PlanVersion};
use talea_domain::subscription::Subscription;
use talea_platform::catalogue::{self, CatalogueError};

pub struct Catalogue {
    /// By key, in the order of their versions.
    meters: BTreeMap<MeterKey, Vec<MeterDefinition>>,
    plans: HashMap<(PlanKey, u32), Arc<PlanVersion>>,
}

impl Catalogue {
    pub async fn load(connection: &mut PgConnection) -> Result<Self, CatalogueError> {
        let mut meters: BTreeMap<MeterKey, Vec<MeterDefinition>> = BTreeMap::new();
        for meter in catalogue::meters(connection).await? {
            meters.entry(meter.key.clone()).or_default().push(meter);
        }
        let plans = catalogue::plans(connection).await?;
        let plans = plans.into_iter().map(|plan| ((plan.key.clone(), plan.version), Arc::new(plan))).collect();
        Ok(Self { meters, plans })
    }

    pub fn plan(&self, key: &PlanKey, version: u32) -> Option<&Arc<PlanVersion>> {
        self.plans.get(&(key.clone(), version))
    }

    /// The version asked for, else the newest.
    pub fn newest_or(&self, key: &PlanKey, version: Option<u32>) -> Option<&Arc<PlanVersion>> {
        match version {
            Some(version) => self.plan(key, version),
            None => self.plans.values().filter(|plan| plan.key == *key).max_by_key(|plan| plan.version),
        }
    }

    /// The version asked for, else the newest.
    pub fn meter(&self, key: &MeterKey, version: Option<u32>) -> Option<&MeterDefinition> {
        let versions = self.meters.get(key)?;
        match version {
            Some(version) => versions.iter().find(|meter| meter.version == version),
            None => versions.last(),
        }
    }

    /// The plan that a subscription is on just before an instant.
    pub fn plan_before(&self, subscription: &Subscription, at: DateTime<Utc>) -> Result<&Arc<PlanVersion>, String> {
        let (key, version) = subscription.plan_before(at);
        self.plan(&key, version).ok_or_else(|| format!("plan {key} version {version} is not in the catalogue"))
    }

    /// With one more plan, in the place of a version of the same number.
    pub fn with(mut self, plan: Arc<PlanVersion>) -> Self {
        self.plans.insert((plan.key.clone(), plan.version), plan);
        self
    }

    /// Whether any of these has more than one version, so that it matters by which one something was billed.
    pub fn has_versions<'a>(&self, keys: impl IntoIterator<Item = &'a MeterKey>) -> bool {
        keys.into_iter().any(|key| self.meters.get(key).is_some_and(|versions| versions.len() > 1))
    }
}

impl PlanBook for Catalogue {
    fn version(&self, key: &PlanKey, version: u32) -> Option<&PlanVersion> {
        self.plan(key, version).map(AsRef::as_ref)
    }
}
