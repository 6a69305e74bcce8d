//! The tenant registry: who is a tenant, from memory where possible. Metering asks it for every block of events, so that a
//! block costs at most one query, and none when its tenants are known.

use crate::postgres::{DatabaseError, WorkerPool};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use talea_domain::id::TenantId;
use talea_domain::tenant::TenantState;

/// State and zone are at most this old. That a tenant exists never changes back.
const FRESH: Duration = Duration::from_secs(5);
/// The most tenants in memory, about 30 MB of them.
const CACHE_TENANTS: usize = 200_000;

/// What the registry knows of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantEntry {
    pub id: TenantId,
    pub zone: chrono_tz::Tz,
    pub state: TenantState,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("tenant `{tenant}` is stored with the unknown {what} `{text}`; run a version of Talea that knows it")]
    Unknown { tenant: String, what: &'static str, text: String },
}

impl From<sqlx::Error> for RegistryError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

pub struct TenantRegistry {
    worker: WorkerPool,
    known: Mutex<HashMap<TenantId, (Arc<TenantEntry>, Instant)>>,
}

impl fmt::Debug for TenantRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantRegistry")
    }
}

type Row = (String, String, String);

impl TenantRegistry {
    pub fn new(worker: WorkerPool) -> Self {
        Self { worker, known: Mutex::new(HashMap::new()) }
    }

    /// Which of these exist. The ones in memory cost nothing; the others are one query together. Unknown ids are asked
    /// for each time, so that a tenant counts from the moment it is onboarded.
    pub async fn existing(&self, ids: &HashSet<TenantId>) -> Result<HashSet<TenantId>, RegistryError> {
        let found = self.entries(ids, None).await?;
        Ok(found.into_keys().collect())
    }

    /// The entries of those of these that exist, at most five seconds old.
    pub async fn find(&self, ids: &HashSet<TenantId>) -> Result<HashMap<TenantId, Arc<TenantEntry>>, RegistryError> {
        self.entries(ids, Some(FRESH)).await
    }

    /// The entry of one tenant, at most five seconds old.
    pub async fn get(&self, id: &TenantId) -> Result<Option<Arc<TenantEntry>>, RegistryError> {
        Ok(self.find(&HashSet::from([id.clone()])).await?.remove(id))
    }

    /// Up to `limit` tenants after `after` in the order of their ids, from the database.
    pub async fn list(&self, after: Option<&TenantId>, limit: u32) -> Result<Vec<Arc<TenantEntry>>, RegistryError> {
        const LIST: &str = "SELECT tenant_id, zone, state FROM tenants WHERE tenant_id COLLATE \"C\" > $1 \
            ORDER BY tenant_id COLLATE \"C\" LIMIT $2";
        let rows: Vec<Row> = sqlx::query_as(LIST)
            .bind(after.map_or("", TenantId::as_str))
            .bind(i64::from(limit))
            .fetch_all(self.worker.pool())
            .await?;
        rows.into_iter().map(|row| entry(row).map(Arc::new)).collect()
    }

    async fn entries(
        &self,
        ids: &HashSet<TenantId>,
        fresh: Option<Duration>,
    ) -> Result<HashMap<TenantId, Arc<TenantEntry>>, RegistryError> {
        const FIND: &str = "SELECT tenant_id, zone, state FROM tenants WHERE tenant_id = ANY($1)";
        let mut found = self.remembered(ids, fresh);
        let missing: Vec<&str> = ids.iter().filter(|id| !found.contains_key(*id)).map(TenantId::as_str).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let asked = Instant::now();
        let rows: Vec<Row> = sqlx::query_as(FIND).bind(missing).fetch_all(self.worker.pool()).await?;
        let fetched = rows.into_iter().map(|row| entry(row).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        self.remember(&fetched, asked);
        found.extend(fetched.into_iter().map(|entry| (entry.id.clone(), entry)));
        Ok(found)
    }

    fn remembered(&self, ids: &HashSet<TenantId>, fresh: Option<Duration>) -> HashMap<TenantId, Arc<TenantEntry>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |since: &Instant| fresh.is_none_or(|limit| since.elapsed() < limit);
        ids.iter()
            .filter_map(|id| known.get(id).filter(|(_, since)| current(since)).map(|(e, _)| (id.clone(), e.clone())))
            .collect()
    }

    fn remember(&self, fetched: &[Arc<TenantEntry>], since: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + fetched.len() > CACHE_TENANTS {
            // Starting over is rare and costs one query a block; a finer order of eviction would cost every look-up.
            known.clear();
        }
        for entry in fetched.iter().take(CACHE_TENANTS) {
            known.insert(entry.id.clone(), (entry.clone(), since));
        }
    }
}

fn entry((tenant, zone, state): Row) -> Result<TenantEntry, RegistryError> {
    let unknown = |what, text: &str| RegistryError::Unknown { tenant: tenant.clone(), what, text: text.to_owned() };
    Ok(TenantEntry {
        id: TenantId::parse(&tenant).map_err(|_| unknown("id", &tenant))?,
        zone: zone.parse().map_err(|_| unknown("zone", &zone))?,
        state: TenantState::parse(&state).ok_or_else(|| unknown("state", &state))?,
    })
}
