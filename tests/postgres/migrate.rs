//! Migration: from nothing to current, again and at once without harm.

use super::fixtures::connect;
use sqlx::{AssertSqlSafe, ConnectOptions};
use talea_platform::postgres::{MigrateError, Target, migrate};

/// `fresh` names a database that does not exist yet.
pub async fn two_processes_migrate_at_once_and_again(fresh: &Target) {
    let (one, two) = futures::join!(migrate(fresh), migrate(fresh));
    one.expect("migrates");
    two.expect("waits and finds it done");
    migrate(fresh).await.expect("changes nothing");
    let databases = connect(fresh).await;
    let mut tx = databases.worker.begin().await.expect("begins");
    let position: i64 =
        sqlx::query_scalar("SELECT position FROM journal_head").fetch_one(&mut *tx).await.expect("one row");
    assert_eq!(position, 0);
}

/// `fresh` names a database that does not exist yet.
pub async fn a_database_of_somebody_else_is_left_alone(fresh: &Target) {
    let mut admin = fresh.admin().expect("parses").connect().await.expect("connects");
    let create = AssertSqlSafe(format!("CREATE DATABASE \"{}\"", fresh.database));
    sqlx::raw_sql(create).execute(&mut admin).await.expect("creates");
    let error = migrate(fresh).await.expect_err("belongs to the administrator");
    assert!(matches!(error, MigrateError::ForeignDatabase { .. }), "{error}");
    let drop = AssertSqlSafe(format!("DROP DATABASE \"{}\"", fresh.database));
    sqlx::raw_sql(drop).execute(&mut admin).await.expect("drops");
}
