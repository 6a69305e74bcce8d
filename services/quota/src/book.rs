//! The quota service's memory: every tenant's features, live totals and last signals. Pure: what comes from outside is
//! handed in, what is to be done is asked for.

mod totals;

use crate::live::{LiveMeter, Total};
use crate::terms::{Feature, Features, MeteredFeature, Terms};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use talea_domain::entitlement::{Observation, Signal, SignalState, TotalRecord, signals};
use talea_domain::id::{FeatureKey, MeterKey, TenantId};
use talea_domain::meter::MeterDefinition;
use talea_domain::period::PeriodError;

/// A tenant's feature.
pub type FeatureOf = (TenantId, FeatureKey);

#[derive(Debug, Default)]
pub struct Book {
    /// The newest version of each meter.
    meters: HashMap<MeterKey, MeterDefinition>,
    tenants: HashMap<TenantId, Tenant>,
    due: BTreeMap<FeatureOf, Due>,
}

#[derive(Debug, Default)]
struct Tenant {
    terms: Terms,
    features: Features,
    live: HashMap<MeterKey, LiveMeter>,
    signalled: HashMap<FeatureKey, SignalState>,
}

/// When a signal became due, and what caused it.
#[derive(Debug, Clone, Copy)]
struct Due {
    observed_at: DateTime<Utc>,
    event_time_of_cause: Option<DateTime<Utc>>,
}

/// What is known of one feature at an instant.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// The tenant is not known here, or has no such feature.
    Nothing,
    Feature {
        feature: Feature,
        used: Option<Decimal>,
    },
}

impl Book {
    pub fn set_meters(&mut self, meters: impl IntoIterator<Item = MeterDefinition>) {
        for meter in meters {
            match self.meters.entry(meter.key.clone()) {
                Entry::Occupied(held) if held.get().version >= meter.version => {}
                Entry::Occupied(mut held) => drop(held.insert(meter)),
                Entry::Vacant(free) => drop(free.insert(meter)),
            }
        }
    }

    /// Replaces what a tenant has bought. Totals stay where their meter does.
    pub fn set_terms(&mut self, id: &TenantId, terms: Terms, now: DateTime<Utc>) -> Result<(), PeriodError> {
        self.tenants.entry(id.clone()).or_default().terms = terms;
        self.turn(id, now)
    }

    /// What was last signalled, as the journal says.
    pub fn recorded(&mut self, signal: &Signal) {
        let tenant = self.tenants.entry(signal.tenant_id.clone()).or_default();
        tenant.signalled.insert(signal.feature.clone(), signal.state());
    }

    /// Brings every tenant whose features changed with time to `now`: new periods, started and ended subscriptions.
    /// Answers the tenants that cannot be brought there; they keep nobody else from it, and are tried again next time.
    pub fn tick(&mut self, now: DateTime<Utc>) -> Vec<(TenantId, PeriodError)> {
        let late: Vec<TenantId> = self
            .tenants
            .iter()
            .filter(|(_, tenant)| tenant.features.valid_until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        late.into_iter().filter_map(|id| Some((id.clone(), self.turn(&id, now).err()?))).collect()
    }

    fn turn(&mut self, id: &TenantId, now: DateTime<Utc>) -> Result<(), PeriodError> {
        let Some(tenant) = self.tenants.get_mut(id) else { return Ok(()) };
        tenant.features = tenant.terms.features(now)?;
        let mut periods: HashMap<MeterKey, Vec<_>> = HashMap::new();
        for metered in tenant.metered() {
            periods.entry(metered.limit.meter.clone()).or_default().push(metered.period);
        }
        tenant.live.retain(|meter, _| periods.contains_key(meter));
        for (meter, periods) in periods {
            let Some(definition) = self.meters.get(&meter) else { continue };
            let live = tenant.live.entry(meter).or_insert_with(|| LiveMeter::new(definition.clone()));
            if live.definition.version != definition.version {
                *live = LiveMeter::new(definition.clone());
            }
            // A period that reaches back before what was kept has to be loaded anew.
            let reaches_back = periods.iter().any(|period| live.kept_from().is_some_and(|from| period.start < from));
            live.loaded &= !reaches_back;
            live.keep(&periods);
        }
        self.look_at(id, None, now, None);
        Ok(())
    }

    /// Takes a record of the totals topic in. Answers whether a signal became due.
    pub fn apply(&mut self, record: &TotalRecord, now: DateTime<Utc>) -> bool {
        let Some(tenant) = self.tenants.get_mut(&record.tenant) else { return false };
        let Some(live) = tenant.live.get_mut(&record.meter) else { return false };
        if live.definition.version != record.meter_version {
            return false;
        }
        let (place, total) = Total::of_record(record);
        if !live.apply(place, total) {
            return false;
        }
        self.look_at(&record.tenant, Some(&record.meter), now, Some(record.logged_at))
    }

    /// Marks the features of a tenant (and meter) that have a signal to give.
    fn look_at(
        &mut self,
        id: &TenantId,
        meter: Option<&MeterKey>,
        now: DateTime<Utc>,
        cause: Option<DateTime<Utc>>,
    ) -> bool {
        let Some(tenant) = self.tenants.get(id) else { return false };
        let mut any = false;
        for metered in tenant.metered().filter(|metered| meter.is_none_or(|meter| metered.limit.meter == *meter)) {
            let due = Due { observed_at: now, event_time_of_cause: cause };
            if !tenant.signals(id, metered, due).is_empty() {
                self.due.entry((id.clone(), metered.limit.feature.clone())).or_insert(due);
                any = true;
            }
        }
        any
    }

    /// Up to about `limit` signals that are due. They stay due until they are [`Book::recorded`].
    pub fn due(&mut self, limit: usize) -> Vec<Signal> {
        let mut signals = Vec::new();
        let mut settled = Vec::new();
        for ((id, feature), due) in &self.due {
            if signals.len() >= limit {
                break;
            }
            let found = self.tenants.get(id).and_then(|tenant| match tenant.features.by_key.get(feature) {
                Some(Feature::Metered(metered)) => Some(tenant.signals(id, metered, *due)),
                _ => None,
            });
            match found {
                Some(found) if !found.is_empty() => signals.extend(found),
                _ => settled.push((id.clone(), feature.clone())),
            }
        }
        for key in settled {
            self.due.remove(&key);
        }
        signals
    }

    /// A feature as it is at `now`, also before the next [`Book::tick`].
    pub fn ask(&self, id: &TenantId, feature: &FeatureKey, now: DateTime<Utc>) -> Result<Known, PeriodError> {
        let Some(tenant) = self.tenants.get(id) else { return Ok(Known::Nothing) };
        let fresh;
        let features = if now < tenant.features.valid_until {
            &tenant.features
        } else {
            fresh = tenant.terms.features(now)?;
            &fresh
        };
        let Some(feature) = features.by_key.get(feature) else { return Ok(Known::Nothing) };
        let used = match feature {
            Feature::Static(_) => None,
            Feature::Metered(metered) => tenant.used(metered),
        };
        Ok(Known::Feature { feature: feature.clone(), used })
    }

    /// The features of a tenant at `now`; none for a tenant that is not known.
    pub fn features(&self, id: &TenantId, now: DateTime<Utc>) -> Result<Option<Vec<FeatureKey>>, PeriodError> {
        let Some(tenant) = self.tenants.get(id) else { return Ok(None) };
        Ok(Some(tenant.terms.features(now)?.by_key.into_keys().collect()))
    }
}

impl Tenant {
    fn metered(&self) -> impl Iterator<Item = &MeteredFeature> {
        self.features.by_key.values().filter_map(|feature| match feature {
            Feature::Metered(metered) => Some(metered),
            Feature::Static(_) => None,
        })
    }

    /// None while its totals are not loaded, or when their sum does not fit.
    fn used(&self, metered: &MeteredFeature) -> Option<Decimal> {
        let live = self.live.get(&metered.limit.meter).filter(|live| live.loaded)?;
        live.used(metered.period)
    }

    fn signals(&self, id: &TenantId, metered: &MeteredFeature, due: Due) -> Vec<Signal> {
        let Some(used) = self.used(metered) else { return Vec::new() };
        let observation = Observation {
            tenant_id: id,
            limit: &metered.limit,
            limit_version: &metered.limit_version,
            period_start: metered.period.start,
            period_end: metered.period.end,
            used,
            observed_at: due.observed_at,
            event_time_of_cause: due.event_time_of_cause,
        };
        signals(self.signalled.get(&metered.limit.feature), &observation)
    }
}

#[cfg(test)]
mod tests;
