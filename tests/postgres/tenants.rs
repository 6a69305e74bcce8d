//! The tenant registry and the party table.

use super::fixtures::{at, connect, created, desired, tenant};
use std::collections::HashSet;
use std::time::Duration;
use talea_domain::party::Party;
use talea_domain::tenant::TenantState;
use talea_platform::journal::append;
use talea_platform::parties;
use talea_platform::postgres::{OwnerPool, Target, registry};
use talea_platform::tenants::TenantRegistry;

pub async fn a_tenant_is_known_from_the_moment_it_is_created(target: &Target) {
    let databases = connect(target).await;
    let registry = TenantRegistry::new(databases.worker.clone());
    let (acme, nobody) = (tenant("acme"), tenant("nobody"));
    let asked = HashSet::from([acme.clone(), nobody.clone()]);
    assert!(registry.existing(&asked).await.expect("asks").is_empty());

    let mut tx = databases.worker.begin().await.expect("begins");
    append(&mut tx, vec![created(&acme), created(&tenant("beta"))]).await.expect("appends");
    tx.commit().await.expect("commits");
    assert_eq!(registry.existing(&asked).await.expect("asks"), HashSet::from([acme.clone()]));
    let entry = registry.get(&acme).await.expect("asks").expect("exists");
    assert_eq!((entry.zone, entry.state), (chrono_tz::Asia::Kathmandu, TenantState::Active));
    let listed = registry.list(None, 10).await.expect("lists");
    assert_eq!(listed.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["acme", "beta"]);
    assert_eq!(registry.list(Some(&acme), 10).await.expect("lists").len(), 1);

    let mut tx = databases.worker.begin().await.expect("begins");
    append(&mut tx, vec![desired(&acme, TenantState::Suspended, 5)]).await.expect("appends");
    tx.commit().await.expect("commits");
    let poll = async {
        while registry.get(&acme).await.expect("asks").expect("exists").state != TenantState::Suspended {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(7), poll).await.expect("the state is seen in time");
}

pub async fn personal_data_is_versioned_and_erasable(target: &Target) {
    let databases = connect(target).await;
    let acme = tenant("acme");
    let mut tx = databases.app.tenant(&acme).await.expect("begins");
    let first = Party::named("Acme");
    let second = Party { email: Some("finance@acme.example".to_owned()), ..first.clone() };
    assert_eq!(parties::record(&mut tx, &acme, &first, at(0)).await.expect("records"), 1);
    assert_eq!(parties::record(&mut tx, &acme, &first, at(1)).await.expect("is the same"), 1);
    assert_eq!(parties::record(&mut tx, &acme, &second, at(2)).await.expect("records"), 2);
    assert_eq!(parties::find(&mut tx, &acme, Some(1)).await.expect("reads"), Some(first));
    assert_eq!(parties::find(&mut tx, &acme, None).await.expect("reads"), Some(second));
    tx.commit().await.expect("commits");

    let party = registry::TABLES.iter().find(|table| table.name == "party").expect("is registered");
    let erase = sqlx::AssertSqlSafe(party.erase_sql().expect("is erased"));
    let mut owner = OwnerPool::new(target).expect("parses").connect().await.expect("connects");
    sqlx::query(erase).bind("acme").execute(&mut owner).await.expect("erases");
    let mut tx = databases.app.tenant(&acme).await.expect("begins");
    assert_eq!(parties::find(&mut tx, &acme, None).await.expect("reads"), None);
}
