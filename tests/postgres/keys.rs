//! API keys: found by hash, held to their tenant, gone soon after they are revoked.

use super::fixtures::{at, connect, decision, tenant};
use std::time::Duration;
use talea_domain::journal::{ApiKeyRevoked, JournalEvent};
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::journal::append;
use talea_platform::keys::{Authenticator, CACHE_TIME, new_key};
use talea_platform::postgres::{Databases, Target};

async fn record(databases: &Databases, scope: TenantScope, event: JournalEvent) {
    let begun = match &scope {
        TenantScope::Tenant(id) => databases.app.tenant(id).await,
        TenantScope::Global => databases.app.global().await,
    };
    let mut tx = begun.expect("begins");
    append(&mut tx, vec![decision(scope, event)]).await.expect("appends");
    tx.commit().await.expect("commits");
}

pub async fn a_key_says_who_calls_and_for_whom(target: &Target) {
    let databases = connect(target).await;
    let acme = tenant("acme");
    let bound = new_key(1, &[1; 32], "app".to_owned(), vec![Scope::Ingest, Scope::Read], Some(acme.clone()), at(0));
    let unbound = new_key(2, &[2; 32], "finance".to_owned(), vec![Scope::Finance], None, at(0));
    record(&databases, TenantScope::from(&acme), JournalEvent::ApiKeyCreated(bound.created.clone())).await;
    record(&databases, TenantScope::Global, JournalEvent::ApiKeyCreated(unbound.created.clone())).await;

    let keys = Authenticator::new(databases.app.clone());
    let found = keys.authenticate(bound.shown.reveal()).await.expect("looks up").expect("is known");
    assert_eq!((&found.id, &found.tenant), (&bound.created.key_id, &Some(acme)));
    assert_eq!(found.scopes, [Scope::Ingest, Scope::Read]);
    let found = keys.authenticate(unbound.shown.reveal()).await.expect("looks up").expect("is known");
    assert_eq!((found.scopes.as_slice(), &found.tenant), (&[Scope::Finance][..], &None));

    let stranger = new_key(1, &[3; 32], String::new(), vec![Scope::Admin], None, at(0));
    for bearer in [stranger.shown.reveal(), "", "talea_", &bound.shown.reveal()[..80]] {
        assert!(keys.authenticate(bearer).await.expect("looks up").is_none());
    }
}

/// The hash is all that is stored, in the journal too.
pub async fn the_secret_is_stored_nowhere(target: &Target) {
    let databases = connect(target).await;
    let key = new_key(1, &[0xab; 32], "app".to_owned(), vec![Scope::Read], None, at(0));
    record(&databases, TenantScope::Global, JournalEvent::ApiKeyCreated(key.created.clone())).await;
    let mut tx = databases.app.global().await.expect("begins");
    let all: Vec<String> = sqlx::query_scalar("SELECT j::text FROM journal j UNION ALL SELECT k::text FROM api_keys k")
        .fetch_all(&mut *tx)
        .await
        .expect("reads");
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|row| !row.contains(&"ab".repeat(16))), "{all:?}");
}

pub async fn a_revoked_key_stops_within_the_cache_time(target: &Target) {
    let databases = connect(target).await;
    let key = new_key(1, &[1; 32], "app".to_owned(), vec![Scope::Read], None, at(0));
    record(&databases, TenantScope::Global, JournalEvent::ApiKeyCreated(key.created.clone())).await;
    let keys = Authenticator::new(databases.app.clone());
    assert!(keys.authenticate(key.shown.reveal()).await.expect("looks up").is_some());
    let revoked = ApiKeyRevoked { key_id: key.created.key_id.clone(), revoked_at: at(10) };
    record(&databases, TenantScope::Global, JournalEvent::ApiKeyRevoked(revoked)).await;
    let fresh = Authenticator::new(databases.app.clone());
    assert!(
        fresh.authenticate(key.shown.reveal()).await.expect("looks up").is_none(),
        "at once where it is not cached"
    );
    let poll = async {
        while keys.authenticate(key.shown.reveal()).await.expect("looks up").is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(CACHE_TIME + Duration::from_secs(2), poll).await.expect("is forgotten in time");
}
