//! A Postgres database and a ClickHouse database for one test, dropped at its end.

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use talea_platform::clickhouse::ClickHouse;
use talea_platform::postgres::{Databases, PoolSettings, RolePasswords, Target, migrate};
use talea_platform::secret::Secret;
use tokio::sync::OnceCell;

/// The roles are the whole server's, so their passwords are the same in every test.
pub const ROLE_SECRET: &str = "role secret of the tests, no secret at all";

pub struct TestDatabases {
    pub target: Target,
    pub clickhouse: ClickHouse,
    /// Whether ClickHouse was asked for: most tests of Postgres need none.
    has_clickhouse: bool,
}

impl TestDatabases {
    /// Both databases, migrated.
    pub async fn new() -> Self {
        let mut databases = Self::postgres_only().await;
        databases.has_clickhouse = true;
        databases.clickhouse.migrate().await.expect("ClickHouse migrates");
        databases
    }

    /// A migrated Postgres database, copied from one template.
    pub async fn postgres_only() -> Self {
        let databases = Self::unmigrated();
        let template = template().await;
        let name = &databases.target.database;
        let create = format!("CREATE DATABASE \"{name}\" OWNER talea_owner TEMPLATE \"{template}\"");
        administer(&databases.target, &create).await.expect("a database is made");
        databases
    }

    /// A migrated ClickHouse database alone.
    pub async fn clickhouse_only() -> Self {
        let mut databases = Self::unmigrated();
        databases.has_clickhouse = true;
        databases.clickhouse.migrate().await.expect("ClickHouse migrates");
        databases
    }

    /// Names that nobody has; nothing is made.
    pub fn unmigrated() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let engines = super::engines();
        let name = format!("t_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let clickhouse = ClickHouse::connect(&engines.clickhouse_url, "default", "", &name).expect("a plain name");
        Self { target: target(&name), clickhouse, has_clickhouse: false }
    }

    /// Pools of the serving roles, small.
    pub async fn connect(&self) -> Databases {
        let settings = PoolSettings { max_connections: 4, ..PoolSettings::default() };
        Databases::connect_to(&self.target, &settings).await.expect("Postgres answers")
    }
}

impl Drop for TestDatabases {
    fn drop(&mut self) {
        let (target, clickhouse) = (self.target.clone(), self.has_clickhouse.then(|| self.clickhouse.clone()));
        // A test ends inside its runtime, where blocking on another one is forbidden: so from a new thread.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let name = &target.database;
                if let Err(error) =
                    administer(&target, &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await
                {
                    eprintln!("{name} is left behind: {error}");
                }
                if let Some(clickhouse) = clickhouse {
                    let statement = format!("DROP DATABASE IF EXISTS {name}");
                    if let Err(error) = clickhouse.execute(clickhouse.query(&statement)).await {
                        eprintln!("{name} is left behind in ClickHouse: {error}");
                    }
                }
            });
        });
        // A drop must not panic while a test does.
        let _ = dropping.join();
    }
}

fn target(database: &str) -> Target {
    Target {
        url: Secret::new(super::engines().postgres_url.clone()),
        database: database.to_owned(),
        passwords: RolePasswords::derive(&Secret::new(ROLE_SECRET)),
    }
}

/// The name of the migrated database that others are copied from; made by the first test, with the roles.
async fn template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(|| async {
            let name = format!("template_{}", std::process::id());
            migrate(&target(&name)).await.expect("the template migrates");
            name
        })
        .await
}

/// Runs one statement as the superuser.
async fn administer(target: &Target, statement: &str) -> Result<(), sqlx::Error> {
    let mut admin: PgConnection = target.admin()?.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut admin).await?;
    admin.close().await
}
