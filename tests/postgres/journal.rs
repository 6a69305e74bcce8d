//! The journal: gap-free, in commit order, immutable, once per key.

use super::fixtures::{at, connect, created, desired, tenant};
use futures::future::join_all;
use sqlx::{ConnectOptions, Connection};
use talea_domain::tenant::{TenantScope, TenantState};
use talea_platform::journal::{self, AppendError, append, append_new, take_numbers};
use talea_platform::postgres::{ErrorClass, OwnerPool, Role, Target};

/// Appends from many tasks, some of which roll back, while a reader follows: positions have no gap, come in the order of
/// commits, and the reader never finds one below what it has read.
pub async fn positions_are_gap_free_in_commit_order(target: &Target) {
    const TASKS: usize = 6;
    const APPENDS: i64 = 20;
    let databases = connect(target).await;
    let appends = (0..TASKS).map(|task| {
        let worker = databases.worker.clone();
        async move {
            let id = tenant(&format!("t{task}"));
            for n in 0..APPENDS {
                let mut tx = worker.begin().await.expect("begins");
                let batch = (0..3).map(|_| desired(&id, TenantState::Active, n)).collect();
                append(&mut tx, batch).await.expect("appends");
                if n % 4 == 3 { tx.rollback().await } else { tx.commit().await }.expect("ends");
            }
        }
    });
    let expected = TASKS as i64 * APPENDS * 3 / 4 * 3;
    let follow = async {
        let (mut last, mut seen) = (0, 0);
        while seen < expected {
            let mut tx = databases.worker.begin().await.expect("begins");
            for recorded in journal::read(&mut tx, last, 50).await.expect("reads") {
                assert_eq!(recorded.position, last + 1, "no gap, and nothing turns up late");
                (last, seen) = (recorded.position, seen + 1);
            }
            tx.commit().await.expect("commits");
        }
    };
    futures::join!(join_all(appends), follow);
    let mut tx = databases.worker.begin().await.expect("begins");
    assert_eq!(journal::head(&mut tx).await.expect("reads"), expected);
}

pub async fn a_stale_version_is_a_conflict_and_writes_nothing(target: &Target) {
    let databases = connect(target).await;
    let acme = tenant("acme");
    let mut tx = databases.app.tenant(&acme).await.expect("begins");
    let mut first = created(&acme);
    first.expected_version = Some(0);
    append(&mut tx, vec![first.clone()]).await.expect("a new stream is at version 0");
    tx.commit().await.expect("commits");

    let mut tx = databases.app.tenant(&acme).await.expect("begins");
    let error = append(&mut tx, vec![first]).await.expect_err("the stream is at version 1");
    assert!(matches!(error, AppendError::Conflict { expected: 0, actual: 1, .. }), "{error}");
    let mut next = desired(&acme, TenantState::Suspended, 5);
    next.expected_version = Some(1);
    let appended = append(&mut tx, vec![next]).await.expect("the transaction goes on");
    assert_eq!(
        (appended.recorded[0].position, appended.recorded[0].version),
        (2, 2),
        "the refused one took no position"
    );
    tx.commit().await.expect("commits");
}

pub async fn a_key_is_recorded_once(target: &Target) {
    let databases = connect(target).await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    let keyed = |id, key: &str| {
        let mut decision = created(id);
        decision.idempotency_key = Some(key.to_owned());
        decision
    };
    let mut tx = databases.worker.begin().await.expect("begins");
    append(&mut tx, vec![keyed(&acme, "one")]).await.expect("appends");
    let error = append(&mut tx, vec![keyed(&acme, "one")]).await.expect_err("is there");
    assert!(matches!(&error, AppendError::AlreadyRecorded(which) if which[0].position == 1), "{error}");
    assert_eq!(error.class(), ErrorClass::Reject);

    // Another tenant's equal key is another key, and a run that was killed half way goes on.
    let run = vec![keyed(&acme, "one"), keyed(&other, "one"), keyed(&acme, "two")];
    let appended = append_new(&mut tx, run).await.expect("appends the rest");
    assert_eq!(appended.already.iter().map(|a| (a.index, a.position)).collect::<Vec<_>>(), [(0, 1)]);
    assert_eq!(appended.recorded.iter().map(|r| r.position).collect::<Vec<_>>(), [2, 3]);
    let twice = append_new(&mut tx, vec![keyed(&acme, "x"), keyed(&acme, "x")]).await.expect_err("one append");
    assert!(matches!(twice, AppendError::KeyTwice { .. }), "{twice}");
    let found = journal::find(&mut tx, &TenantScope::from(&acme), "two").await.expect("reads").expect("is there");
    assert_eq!(found.position, 3);
    tx.commit().await.expect("commits");
}

pub async fn the_payload_keeps_its_bytes(target: &Target) {
    let databases = connect(target).await;
    let acme = tenant("acme");
    let mut tx = databases.app.tenant(&acme).await.expect("begins");
    let decision = desired(&acme, TenantState::Suspended, 7);
    let written = decision.event.payload().expect("is JSON");
    append(&mut tx, vec![decision.clone()]).await.expect("appends");
    let read = journal::read(&mut tx, 0, 10).await.expect("reads");
    assert_eq!((read.len(), read[0].payload.as_str()), (1, written.as_str()));
    assert_eq!(read[0].event, decision.event);
    let stream = decision.event.stream();
    let history = journal::read_stream(&mut tx, &decision.tenant, &stream).await.expect("reads");
    assert_eq!(history.iter().map(|r| r.version).collect::<Vec<_>>(), [1]);
}

pub async fn what_was_decided_is_never_edited(target: &Target) {
    let databases = connect(target).await;
    let acme = tenant("acme");
    let mut tx = databases.app.tenant(&acme).await.expect("begins");
    append(&mut tx, vec![created(&acme)]).await.expect("appends");
    tx.commit().await.expect("commits");
    for role in Role::ALL {
        for statement in ["UPDATE journal SET actor = 'x'", "DELETE FROM journal", "TRUNCATE journal"] {
            let mut connection = target.role(role).expect("parses").connect().await.expect("connects");
            let mut tx = connection.begin().await.expect("begins");
            sqlx::raw_sql("SET LOCAL talea.tenant = 'acme'").execute(&mut *tx).await.expect("sets");
            assert!(sqlx::raw_sql(statement).execute(&mut *tx).await.is_err(), "{} may {statement}", role.name());
        }
    }
    let mut connection = OwnerPool::new(target).expect("parses").connect().await.expect("connects");
    assert_eq!(journal::read(&mut connection, 0, 10).await.expect("reads").len(), 1);
}

pub async fn numbers_have_no_gap(target: &Target) {
    let databases = connect(target).await;
    let mut taken = Vec::new();
    for (count, kept) in [(3, true), (10, false), (2, true)] {
        let mut tx = databases.worker.begin().await.expect("begins");
        let first = take_numbers(&mut tx, "INV", count).await.expect("takes");
        if kept {
            taken.extend(first..first + i64::from(count));
            tx.commit().await.expect("commits");
        } else {
            tx.rollback().await.expect("rolls back");
        }
    }
    assert_eq!(taken, [1, 2, 3, 4, 5]);
    let mut tx = databases.worker.begin().await.expect("begins");
    assert_eq!(take_numbers(&mut tx, "EU", 1).await.expect("takes"), 1, "each series counts for itself");
}

pub async fn a_topic_keeps_its_partition_count(target: &Target) {
    let databases = connect(target).await;
    databases.remember_partitions("talea.usage.v1", 4, at(0)).await.expect("is new");
    databases.remember_partitions("talea.usage.v1", 4, at(1)).await.expect("is the same");
    let error = databases.remember_partitions("talea.usage.v1", 8, at(2)).await.expect_err("has changed");
    assert!(error.to_string().contains("with 4 partitions and now has 8"), "{error}");
}
