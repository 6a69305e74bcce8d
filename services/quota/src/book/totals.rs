//! The book's live totals: what has to be loaded, what is compared with the store, what is put right.

use super::Book;
use crate::live::{LiveMeter, Place, Total};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};
use talea_domain::id::{MeterKey, TenantId};
use talea_domain::meter::MeterDefinition;

impl Book {
    /// The meters that somebody's totals are not loaded for, and from when on they are needed.
    pub fn unloaded(&self) -> Option<(Vec<MeterDefinition>, DateTime<Utc>)> {
        let waiting: Vec<&LiveMeter> = self.live().map(|(_, live)| live).filter(|live| !live.loaded).collect();
        needed(&waiting)
    }

    /// The meters of all totals, and from when on they are kept.
    pub fn limited(&self) -> Option<(Vec<MeterDefinition>, DateTime<Utc>)> {
        needed(&self.live().map(|(_, live)| live).collect::<Vec<_>>())
    }

    /// Merges what is stored into every total of these meters that waited for it, at `since` or later.
    pub fn load(
        &mut self,
        meters: &[MeterDefinition],
        since: DateTime<Utc>,
        stored: Vec<(TenantId, MeterKey, Place, Total)>,
        now: DateTime<Utc>,
    ) {
        for (id, meter, place, total) in stored {
            if let Some(live) = self.tenants.get_mut(&id).and_then(|tenant| tenant.live.get_mut(&meter)) {
                live.apply(place, total);
            }
        }
        let mut loaded = HashSet::new();
        for (id, tenant) in &mut self.tenants {
            for live in tenant.live.values_mut().filter(|live| !live.loaded) {
                let covered = live.kept_from().is_some_and(|from| since <= from);
                if covered && meters.contains(&live.definition) {
                    live.loaded = true;
                    loaded.insert(id.clone());
                }
            }
        }
        for id in loaded {
            self.look_at(&id, None, now, None);
        }
    }

    /// Every loaded meter's totals, for the comparison with the store.
    pub fn live(&self) -> impl Iterator<Item = (&TenantId, &LiveMeter)> {
        self.tenants.iter().flat_map(|(id, tenant)| tenant.live.values().map(move |live| (id, live)))
    }

    /// From when on the totals of a tenant's meter are kept; none while they are not loaded.
    pub fn kept_from(&self, id: &TenantId, meter: &MeterKey) -> Option<DateTime<Utc>> {
        let live = self.tenants.get(id)?.live.get(meter)?;
        live.kept_from().filter(|_| live.loaded)
    }

    /// Puts the store's figure in the place of the live one.
    pub fn correct(
        &mut self,
        id: &TenantId,
        meter: &MeterKey,
        place: Place,
        stored: Option<Total>,
        now: DateTime<Utc>,
    ) {
        if let Some(live) = self.tenants.get_mut(id).and_then(|tenant| tenant.live.get_mut(meter)) {
            live.correct(place, stored);
            self.look_at(id, Some(meter), now, None);
        }
    }
}

fn needed(live: &[&LiveMeter]) -> Option<(Vec<MeterDefinition>, DateTime<Utc>)> {
    let since = live.iter().filter_map(|live| live.kept_from()).min()?;
    let mut meters: BTreeMap<&MeterKey, &MeterDefinition> = BTreeMap::new();
    meters.extend(live.iter().map(|live| (&live.definition.key, &live.definition)));
    Some((meters.into_values().cloned().collect(), since))
}
