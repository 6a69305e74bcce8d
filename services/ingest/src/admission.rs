//! Who may send how much now: a token bucket per tenant, and one bounded queue to the log that no tenant can fill alone.
//! What a tenant sends too much is refused to that tenant; the events of others in the same request go on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use talea_domain::id::TenantId;
use tokio::time::Instant;

/// Tenants that are remembered at once. A tenant is forgotten when its bucket is full and nothing of it is under way, so
/// this many are reached only when as many really send at the same time; about 20 MB.
const MAX_TENANTS: usize = 100_000;
/// One tenant may hold this part (one over it) of the queue to the log.
const TENANT_SHARE_OF_QUEUE: u64 = 2;
/// A full queue is worth another try after this.
const QUEUE_RETRY: Duration = Duration::from_secs(1);
/// Levels are kept in billionths of an event: `nanoseconds * events per second` needs no division and no float.
const LEVEL_OF_ONE_EVENT: u128 = 1_000_000_000;

/// The limits, each at least 1.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub tenant_events_per_second: u64,
    pub tenant_burst: u64,
    pub max_events_in_flight: u64,
}

/// Why some of a tenant's events may not go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its token bucket is empty; the wait is until the refused events would fit, at most until the bucket is full.
    OverRate { retry_after: Duration },
    /// Too many events are on their way to the log.
    QueueFull { retry_after: Duration },
}

/// How many of a tenant's events may go, the first ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub granted: u64,
    /// Set when fewer were granted than wanted.
    pub refusal: Option<Refusal>,
}

pub struct Admission {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: HashMap<TenantId, Account>,
    in_flight: u64,
}

struct Account {
    level: u128,
    updated: Instant,
    in_flight: u64,
}

/// The places in the queue that a request holds. They are given back when this is dropped, however the request ends.
#[must_use = "dropping it gives the places back"]
pub struct Held {
    admission: Arc<Admission>,
    places: Vec<(TenantId, u64)>,
}

impl Admission {
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// Decides for each tenant how many of its events may go now, and holds their places.
    pub fn admit(self: &Arc<Self>, wanted: &HashMap<TenantId, u64>, now: Instant) -> (HashMap<TenantId, Grant>, Held) {
        let mut held = Held { admission: self.clone(), places: Vec::with_capacity(wanted.len()) };
        let mut state = self.lock();
        let grants = wanted.iter().map(|(tenant, count)| {
            let grant = state.grant(&self.limits, tenant, *count, now);
            held.places.push((tenant.clone(), grant.granted));
            (tenant.clone(), grant)
        });
        let grants = grants.collect();
        publish(state.in_flight);
        drop(state);
        (grants, held)
    }

    /// Events on their way to the log.
    pub fn in_flight(&self) -> u64 {
        self.lock().in_flight
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        for (tenant, count) in &self.places {
            state.in_flight = state.in_flight.saturating_sub(*count);
            if let Some(account) = state.accounts.get_mut(tenant) {
                account.in_flight = account.in_flight.saturating_sub(*count);
            }
        }
        publish(state.in_flight);
    }
}

fn publish(in_flight: u64) {
    metrics::gauge!("talea_ingest_events_in_flight").set(in_flight as f64);
}

impl State {
    fn grant(&mut self, limits: &Limits, tenant: &TenantId, wanted: u64, now: Instant) -> Grant {
        let room = limits.max_events_in_flight.saturating_sub(self.in_flight);
        let Some(account) = self.account(limits, tenant, now) else {
            return refused_by_queue();
        };
        let share = (limits.max_events_in_flight / TENANT_SHARE_OF_QUEUE).max(1);
        let room = room.min(share.saturating_sub(account.in_flight));
        account.refill(limits, now);
        let tokens = u64::try_from(account.level / LEVEL_OF_ONE_EVENT).unwrap_or(u64::MAX);
        let granted = wanted.min(tokens).min(room);
        account.level -= u128::from(granted) * LEVEL_OF_ONE_EVENT;
        account.in_flight += granted;
        let refusal = if granted == wanted {
            None
        } else if granted == tokens {
            Some(Refusal::OverRate { retry_after: account.wait_for(limits, wanted - granted) })
        } else {
            Some(Refusal::QueueFull { retry_after: QUEUE_RETRY })
        };
        self.in_flight += granted;
        Grant { granted, refusal }
    }

    /// The tenant's account, or none when as many tenants send at this moment as are kept.
    fn account(&mut self, limits: &Limits, tenant: &TenantId, now: Instant) -> Option<&mut Account> {
        if !self.accounts.contains_key(tenant) {
            if self.accounts.len() >= MAX_TENANTS {
                self.accounts.retain(|_, account| !account.is_idle(limits, now));
            }
            if self.accounts.len() >= MAX_TENANTS {
                return None;
            }
        }
        let full = Account { level: limits.full_level(), updated: now, in_flight: 0 };
        Some(self.accounts.entry(tenant.clone()).or_insert(full))
    }
}

fn refused_by_queue() -> Grant {
    Grant { granted: 0, refusal: Some(Refusal::QueueFull { retry_after: QUEUE_RETRY }) }
}

impl Limits {
    fn full_level(&self) -> u128 {
        u128::from(self.tenant_burst) * LEVEL_OF_ONE_EVENT
    }
}

impl Account {
    fn refill(&mut self, limits: &Limits, now: Instant) {
        self.level = self.level_at(limits, now);
        self.updated = self.updated.max(now);
    }

    fn level_at(&self, limits: &Limits, now: Instant) -> u128 {
        let elapsed = now.saturating_duration_since(self.updated).as_nanos();
        self.level
            .saturating_add(elapsed.saturating_mul(u128::from(limits.tenant_events_per_second)))
            .min(limits.full_level())
    }

    /// Forgetting such an account changes no later decision.
    fn is_idle(&self, limits: &Limits, now: Instant) -> bool {
        self.in_flight == 0 && self.level_at(limits, now) == limits.full_level()
    }

    fn wait_for(&self, limits: &Limits, events: u64) -> Duration {
        let needed = u128::from(events.min(limits.tenant_burst)) * LEVEL_OF_ONE_EVENT;
        let nanoseconds =
            needed.saturating_sub(self.level).div_ceil(u128::from(limits.tenant_events_per_second.max(1)));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests;
