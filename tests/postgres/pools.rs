//! Roles and transactions: nobody sees another tenant, whatever happens to the task in between.

use super::fixtures::{at, connect, created, tenant};
use chrono::{DateTime, Duration, Utc};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use talea_platform::http::expire_idempotency_keys;
use talea_platform::journal::append;
use talea_platform::postgres::{
    AllTenants, DatabaseError, Databases, ErrorClass, PoolSettings, Role, Target, refuse_unsafe_role,
};

async fn tenants(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("SELECT tenant_id FROM tenants ORDER BY 1").fetch_all(connection).await.expect("reads")
}

async fn two_tenants(target: &Target) -> Databases {
    let databases = connect(target).await;
    let mut tx = databases.worker.begin().await.expect("begins");
    append(&mut tx, vec![created(&tenant("acme")), created(&tenant("other"))]).await.expect("appends");
    tx.commit().await.expect("commits");
    databases
}

pub async fn a_tenant_sees_only_itself(target: &Target) {
    let databases = two_tenants(target).await;
    let mut tx = databases.app.tenant(&tenant("acme")).await.expect("begins");
    assert_eq!(tenants(&mut tx).await, ["acme"]);
    let other = append(&mut tx, vec![created(&tenant("other"))]).await.expect_err("is not its row");
    assert!(other.to_string().contains("another tenant"), "{other}");
    let written = sqlx::query("UPDATE tenants SET zone = 'UTC' WHERE tenant_id = 'other'").execute(&mut *tx).await;
    assert_eq!(written.expect("sees nothing").rows_affected(), 0);
    let insert = "INSERT INTO idempotency_keys VALUES ('other', 'k', 'r', '', 200, '', '2026-01-01Z')";
    let error = DatabaseError::from(sqlx::query(insert).execute(&mut *tx).await.expect_err("is not its row"));
    assert_eq!(error.class(), ErrorClass::Stop);
    drop(tx);
    assert!(tenants(&mut databases.app.global().await.expect("begins")).await.is_empty());
}

pub async fn kept_answers_expire_unread(target: &Target) {
    let databases = two_tenants(target).await;
    let mut tx = databases.app.tenant(&tenant("acme")).await.expect("begins");
    for (key, second) in [("old", 0), ("new", 60)] {
        sqlx::query("INSERT INTO idempotency_keys VALUES ('acme', $1, 'r', '', 200, 'answer', $2)")
            .bind(key)
            .bind(at(second))
            .execute(&mut *tx)
            .await
            .expect("is kept");
    }
    tx.commit().await.expect("commits");
    let now = at(60) + Duration::days(7);
    assert_eq!(expire_idempotency_keys(&databases.worker, now).await.expect("expires"), 1);
    assert_eq!(expire_idempotency_keys(&databases.worker, now).await.expect("expires"), 0);
    let read = sqlx::query("SELECT body FROM idempotency_keys").fetch_all(databases.worker.pool()).await;
    assert!(read.is_err(), "a worker reads no answers");
}

pub async fn without_a_tenant_nothing_is_read(target: &Target) {
    two_tenants(target).await;
    let mut connection = target.role(Role::App).expect("parses").connect().await.expect("connects");
    for setting in ["RESET talea.tenant", "SET talea.tenant = ''"] {
        sqlx::raw_sql(setting).execute(&mut connection).await.expect("sets");
        let read = sqlx::query("SELECT * FROM tenants").fetch_all(&mut connection).await;
        assert!(read.expect_err("raises").to_string().contains("no tenant is set"), "after {setting}");
    }
    // After a transaction that had set one, the setting reads as an empty text.
    let mut tx = connection.begin().await.expect("begins");
    sqlx::raw_sql("SET LOCAL talea.tenant = 'acme'").execute(&mut *tx).await.expect("sets");
    assert_eq!(tenants(&mut tx).await, ["acme"]);
    tx.commit().await.expect("commits");
    assert!(sqlx::query("SELECT * FROM tenants").fetch_all(&mut connection).await.is_err());
}

pub async fn each_role_can_do_only_its_part(target: &Target) {
    let databases = two_tenants(target).await;
    let mut operator = databases.operator.begin(AllTenants::for_command_line()).await.expect("begins");
    assert_eq!(tenants(&mut operator).await, ["acme", "other"]);
    assert!(sqlx::query("DELETE FROM tenants").execute(&mut *operator).await.is_err());
    for (role, statement) in [
        (Role::Operator, "SELECT talea_api_key('x')"),
        (Role::Operator, "UPDATE tenants SET zone = 'UTC'"),
        (Role::Worker, "SELECT * FROM api_keys"),
        (Role::Worker, "SELECT * FROM idempotency_keys"),
        (Role::Worker, "SELECT talea_api_key('x')"),
        (Role::Worker, "DELETE FROM invoices"),
        (Role::App, "DELETE FROM tenants"),
        (Role::App, "UPDATE metering_epochs SET epoch = 0"),
        (Role::App, "CREATE TABLE x (y int)"),
        // The log holds every tenant's records and knows no tenants.
        (Role::App, "SELECT * FROM log.batches"),
        (Role::App, "DELETE FROM log.groups"),
        (Role::App, "SELECT log.drop_expired('talea.usage.v1', '2100-01-01Z')"),
        (Role::Operator, "SELECT * FROM log.batches"),
    ] {
        let mut connection = target.role(role).expect("parses").connect().await.expect("connects");
        let error = sqlx::query(statement).execute(&mut connection).await.expect_err(statement);
        assert!(error.to_string().contains("permission denied"), "{} {statement}: {error}", role.name());
    }
    // The catalogue is everybody's to read and the global scope's to write.
    let insert = "INSERT INTO plan_versions VALUES ('p', 1, '{}', 1)";
    let mut tx = databases.app.tenant(&tenant("acme")).await.expect("begins");
    assert!(sqlx::query(insert).execute(&mut *tx).await.is_err());
    let mut tx = databases.app.global().await.expect("begins");
    sqlx::query(insert).execute(&mut *tx).await.expect("writes");
}

/// A task that is aborted while it begins, works or commits leaves nothing open behind for the next borrower of its
/// connection.
pub async fn an_aborted_task_leaves_no_open_transaction(target: &Target) {
    // Each round lets the task come a little further before it is aborted, until it comes to its end again and again: every
    // moment of its life was tried.
    const FINISHED: usize = 20;
    const SWEEPS: usize = 3;
    let settings = PoolSettings { max_connections: 1, ..PoolSettings::default() };
    let databases = Databases::connect_to(target, &settings).await.expect("connects");
    let (acme, other) = (tenant("acme"), tenant("other"));
    let mut admin = target.admin().expect("parses").connect().await.expect("connects");
    for _ in 0..SWEEPS {
        let (mut round, mut finished) = (0, 0);
        while finished < FINISHED {
            let (pool, id) = (databases.app.clone(), acme.clone());
            let task = tokio::spawn(async move {
                let mut tx = pool.tenant(&id).await.expect("begins");
                sqlx::query("SELECT count(*) FROM tenants").execute(&mut *tx).await.expect("reads");
                tx.commit().await.expect("commits");
            });
            for _ in 0..round * 4 {
                tokio::task::yield_now().await;
            }
            task.abort();
            finished += usize::from(task.await.is_ok());
            let ended: DateTime<Utc> =
                sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut admin).await.expect("reads");
            let mut tx = databases.app.tenant(&other).await.expect("begins");
            // A transaction left open began before the task ended, and BEGIN inside it does not begin another.
            let (now, began): (String, DateTime<Utc>) =
                sqlx::query_as("SELECT talea_tenant(), transaction_timestamp()")
                    .fetch_one(&mut *tx)
                    .await
                    .expect("reads");
            assert!(began >= ended, "round {round} works inside the transaction of an aborted task");
            assert_eq!(now, "other", "round {round}");
            tx.rollback().await.expect("rolls back");
            round += 1;
        }
    }
}

pub async fn start_refuses_a_role_that_escapes_row_security(target: &Target) {
    let mut admin = target.admin().expect("parses").connect().await.expect("connects");
    let superuser = refuse_unsafe_role(&mut admin).await.expect_err("is superuser");
    assert!(superuser.to_string().contains("superuser"), "{superuser}");
    let name = format!("escapes_{}", target.database);
    let create = format!("CREATE ROLE \"{name}\" BYPASSRLS; SET ROLE \"{name}\"");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await.expect("creates");
    let refused = refuse_unsafe_role(&mut admin).await;
    let drop = format!("RESET ROLE; DROP ROLE \"{name}\"");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut admin).await.expect("drops");
    assert!(refused.expect_err("bypasses").to_string().contains("bypasses row-level security"));

    let mut app = target.role(Role::App).expect("parses").connect().await.expect("connects");
    refuse_unsafe_role(&mut app).await.expect("row-level security holds it");
}
