//! What a tenant has bought, as far as quota needs it: from subscriptions, plan versions and the tenant's own limits to
//! the features that hold at an instant.

use chrono::{DateTime, Duration, Utc};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use talea_domain::entitlement::{Limit, LimitChanged, StaticEntitlement};
use talea_domain::id::FeatureKey;
use talea_domain::meter::bucket_start;
use talea_domain::period::{Period, PeriodError, limit_period};
use talea_domain::plan::PlanVersion;
use talea_domain::subscription::Subscription;

/// While nothing is due to change, features are looked at again after this.
const LOOK_AGAIN: Duration = Duration::days(366);

/// Everything that decides one tenant's features.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// Each with every plan version that it was, is or will be on.
    pub subscriptions: Vec<(Subscription, Vec<Arc<PlanVersion>>)>,
    pub own_limits: HashMap<FeatureKey, LimitChanged>,
}

/// A feature that a tenant has now.
#[derive(Debug, Clone, PartialEq)]
pub enum Feature {
    Static(StaticEntitlement),
    Metered(MeteredFeature),
}

#[derive(Debug, Clone, PartialEq)]
pub struct MeteredFeature {
    /// With the tenant's own amount, where it has one.
    pub limit: Limit,
    /// `plan@version`, with `+n` after the tenant's n-th own change.
    pub limit_version: String,
    /// The running period in whole buckets: what live totals can tell apart.
    pub period: Period,
}

/// The features at an instant, and until when they stay as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    pub by_key: BTreeMap<FeatureKey, Feature>,
    /// Exclusive.
    pub valid_until: DateTime<Utc>,
}

impl Default for Features {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), valid_until: DateTime::<Utc>::MIN_UTC }
    }
}

impl Terms {
    /// The features at `now`. Where two running subscriptions grant one feature, the later one holds.
    pub fn features(&self, now: DateTime<Utc>) -> Result<Features, PeriodError> {
        let mut features = Features { by_key: BTreeMap::new(), valid_until: now + LOOK_AGAIN };
        let mut running: Vec<_> = Vec::new();
        for (subscription, versions) in &self.subscriptions {
            for change in subscription.changes_after(now) {
                features.valid_until = features.valid_until.min(change);
            }
            if let Some(terms) = subscription.terms_at(now) {
                running.push((subscription, versions, terms));
            }
        }
        running.sort_by_key(|(subscription, ..)| (subscription.started_at, subscription.id.clone()));
        // Of one subscription, an add-on holds over the plan.
        let plans = running.iter().flat_map(|(subscription, versions, terms)| {
            let named = terms.plans();
            named.filter_map(move |(_, key, version, _)| {
                let plan = versions.iter().find(|plan| plan.key == *key && plan.version == version);
                plan.map(|plan| (*subscription, plan))
            })
        });
        for (subscription, plan) in plans {
            for fixed in &plan.entitlements {
                features.by_key.insert(fixed.feature.clone(), Feature::Static(fixed.clone()));
            }
            for limit in &plan.limits {
                let metered = self.metered(limit, subscription, plan, now)?;
                features.valid_until = features.valid_until.min(metered.period.end);
                features.by_key.insert(limit.feature.clone(), Feature::Metered(metered));
            }
        }
        Ok(features)
    }

    fn metered(
        &self,
        limit: &Limit,
        subscription: &Subscription,
        plan: &PlanVersion,
        now: DateTime<Utc>,
    ) -> Result<MeteredFeature, PeriodError> {
        let mut metered = MeteredFeature {
            limit: limit.clone(),
            limit_version: format!("{}@{}", plan.key, plan.version),
            period: running_period(limit, subscription, now)?,
        };
        if let Some(own) = self.own_limits.get(&limit.feature) {
            metered.limit.amount = own.amount;
            metered.limit_version = format!("{}+{}", metered.limit_version, own.version);
        }
        Ok(metered)
    }
}

/// The limit's period around `now`, from the subscription's start on. Its bounds fall on buckets: offsets of zones are
/// multiples of a bucket, and the start of a subscription is taken down to its bucket's.
fn running_period(limit: &Limit, subscription: &Subscription, now: DateTime<Utc>) -> Result<Period, PeriodError> {
    let whole = limit_period(limit.period, now, subscription.zone, &subscription.anchor_at(now)?)?;
    let start = whole.start.max(subscription.started_at);
    Ok(Period::new(bucket_start(start), bucket_start(whole.end)))
}

#[cfg(test)]
mod tests;
