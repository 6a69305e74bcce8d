//! API keys: made once, shown once, kept as a hash, looked up by it.

use crate::postgres::{AppPool, DatabaseError};
use crate::secret::Secret;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use talea_domain::id::{ApiKeyId, TenantId, prefixed};
use talea_domain::journal::ApiKeyCreated;
use talea_domain::tenant::{Scope, TenantScope};

/// A revoked key stops working after at most this.
pub const CACHE_TIME: Duration = Duration::from_secs(5);
/// The most keys in memory. Beyond it, a look-up goes to the database.
const CACHE_KEYS: usize = 10_000;
/// Hex digits of a key's secret: 256 bits.
const SECRET_DIGITS: usize = 64;

/// A key that is to be recorded, and the only chance to show it.
#[derive(Debug)]
pub struct NewKey {
    /// For [`talea_domain::journal::JournalEvent::ApiKeyCreated`].
    pub created: ApiKeyCreated,
    /// `talea_<id>_<secret>`: what the caller sends as its bearer token.
    pub shown: Secret,
}

/// Makes a key from random bits that are given: 128 for its id, 256 for its secret.
pub fn new_key(
    id_bits: u128,
    secret: &[u8; 32],
    label: String,
    scopes: Vec<Scope>,
    tenant_id: Option<TenantId>,
    created_at: DateTime<Utc>,
) -> NewKey {
    let key_id = ApiKeyId::parse(&prefixed("key", id_bits)).expect("a prefix and 26 letters and digits are a key");
    let shown = format!("talea_{key_id}_{}", hex(secret));
    let sha256 = hex(&hash(&shown));
    NewKey {
        created: ApiKeyCreated { key_id, label, scopes, tenant_id, sha256, created_at },
        shown: Secret::new(shown),
    }
}

/// What is known of the key behind a request. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub id: ApiKeyId,
    pub label: String,
    pub scopes: Vec<Scope>,
    /// The only tenant it may act for; none for every tenant.
    pub tenant: Option<TenantId>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the key {id} is stored with the unknown {what} `{text}`; run a version of Talea that knows it")]
    Unknown { id: String, what: &'static str, text: String },
}

impl From<sqlx::Error> for KeyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

type Hash = [u8; 32];

/// Looks keys up, and remembers good ones for [`CACHE_TIME`]. Unknown keys are not remembered: a key works as soon as it
/// is made, and nobody can fill the memory with guesses.
pub struct Authenticator {
    app: AppPool,
    known: Mutex<HashMap<Hash, (Arc<KeyRecord>, Instant)>>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}

impl Authenticator {
    pub fn new(app: AppPool) -> Self {
        Self { app, known: Mutex::new(HashMap::new()) }
    }

    /// The record of the key that this bearer token is; none when there is no such key or it was revoked.
    pub async fn authenticate(&self, bearer: &str) -> Result<Option<Arc<KeyRecord>>, KeyError> {
        if !has_form_of_key(bearer) {
            return Ok(None);
        }
        let hash = hash(bearer);
        if let Some(record) = self.remembered(&hash) {
            return Ok(Some(record));
        }
        let asked = Instant::now();
        let found = self.look_up(&hash).await?.map(Arc::new);
        if let Some(record) = &found {
            // Counted from before the look-up: a revocation during it is not overlooked for longer.
            self.remember(hash, record.clone(), asked);
        }
        Ok(found)
    }

    fn remembered(&self, hash: &Hash) -> Option<Arc<KeyRecord>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(_, since)| since.elapsed() < CACHE_TIME).map(|(record, _)| record.clone())
    }

    fn remember(&self, hash: Hash, record: Arc<KeyRecord>, since: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CACHE_KEYS {
            known.retain(|_, (_, since)| since.elapsed() < CACHE_TIME);
        }
        if known.len() < CACHE_KEYS {
            known.insert(hash, (record, since));
        }
    }

    async fn look_up(&self, hash: &Hash) -> Result<Option<KeyRecord>, KeyError> {
        type Row = (String, String, String, Vec<String>);
        let row: Option<Row> = sqlx::query_as("SELECT tenant_id, id, label, scopes FROM talea_api_key($1)")
            .bind(&hash[..])
            .fetch_optional(self.app.unscoped())
            .await?;
        let Some((tenant, id, label, scopes)) = row else { return Ok(None) };
        let unknown = |what, text: &str| KeyError::Unknown { id: id.clone(), what, text: text.to_owned() };
        let tenant = match TenantScope::parse(&tenant).map_err(|_| unknown("tenant", &tenant))? {
            TenantScope::Tenant(tenant) => Some(tenant),
            TenantScope::Global => None,
        };
        let scopes = scopes
            .iter()
            .map(|scope| Scope::parse(scope).ok_or_else(|| unknown("scope", scope)))
            .collect::<Result<_, _>>()?;
        Ok(Some(KeyRecord { id: ApiKeyId::parse(&id).map_err(|_| unknown("id", &id))?, label, scopes, tenant }))
    }
}

/// Spares the database what cannot be a key.
fn has_form_of_key(bearer: &str) -> bool {
    let parts = bearer.strip_prefix("talea_key_").and_then(|rest| rest.split_once('_'));
    parts.is_some_and(|(id, secret)| {
        id.len() == 26 && secret.len() == SECRET_DIGITS && secret.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

fn hash(shown: &str) -> Hash {
    Sha256::digest(shown.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_once_and_kept_as_a_hash() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("in range");
        let key = new_key(7, &[0xab; 32], "export".to_owned(), vec![Scope::Read], None, now);
        let shown = key.shown.reveal();
        assert!(shown.starts_with("talea_key_") && shown.ends_with(&"ab".repeat(32)), "{shown}");
        assert!(has_form_of_key(shown));
        assert_eq!(key.created.sha256, hex(&hash(shown)));
        assert!(!format!("{key:?}").contains(&"ab".repeat(32)));
    }

    #[test]
    fn what_cannot_be_a_key_is_not_looked_up() {
        for text in ["", "talea_", "talea_key_x_y", &format!("talea_key_{}_{}", "0".repeat(26), "g".repeat(64))] {
            assert!(!has_form_of_key(text), "{text}");
        }
    }
}
