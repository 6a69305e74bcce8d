//! Roles, database and schema, from nothing to current. Running it again changes nothing; two at once wait for each other.

use super::error::DatabaseError;
use super::target::{Role, Target};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

/// Compiled in: a built binary needs no files.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// Serialises the set-up of roles and databases on one server. An arbitrary constant, "talea" in ASCII.
const SETUP_LOCK: i64 = 0x74_61_6c_65_61;

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("migration: {0}; use a version of Talea that is not older than the one that made this database")]
    Schema(#[from] sqlx::migrate::MigrateError),
    #[error(
        "the database `{database}` belongs to `{owner}`, not to talea_owner; \
         set postgres.database to a name that is free, or give the database to talea_owner"
    )]
    ForeignDatabase { database: String, owner: String },
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Creates the four roles and the database where they are missing, sets the roles' passwords, and brings the schema to
/// the newest version as talea_owner.
pub async fn migrate(target: &Target) -> Result<(), MigrateError> {
    let mut admin = target.admin()?.connect().await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(SETUP_LOCK).execute(&mut admin).await?;
    // The lock ends with the connection, also when one of these fails.
    create_roles(&mut admin, target).await?;
    create_database(&mut admin, target).await?;
    admin.close().await?;

    let mut owner = target.role(Role::Owner)?.connect().await?;
    MIGRATIONS.run(&mut owner).await?;
    owner.close().await?;
    Ok(())
}

async fn create_roles(admin: &mut PgConnection, target: &Target) -> Result<(), MigrateError> {
    // Utility statements take no parameters: the server itself quotes name and password.
    const STATEMENT: &str = "SELECT format('%s ROLE %I LOGIN PASSWORD %L %s', $1::text, $2::text, $3::text, $4::text)";
    // A new role has no powers; only a superuser may take them from one that exists.
    let powers = if is_superuser(admin).await? { "NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE" } else { "" };
    for role in Role::ALL {
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
            .bind(role.name())
            .fetch_one(&mut *admin)
            .await?;
        let statement: String = sqlx::query_scalar(STATEMENT)
            .bind(if exists { "ALTER" } else { "CREATE" })
            .bind(role.name())
            .bind(target.passwords.of(role).reveal())
            .bind(powers)
            .fetch_one(&mut *admin)
            .await?;
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *admin).await?;
    }
    Ok(())
}

async fn is_superuser(admin: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetch_one(admin).await
}

async fn create_database(admin: &mut PgConnection, target: &Target) -> Result<(), MigrateError> {
    const OWNER: &str = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1";
    let owner: Option<String> = sqlx::query_scalar(OWNER).bind(&target.database).fetch_optional(&mut *admin).await?;
    match owner {
        Some(owner) if owner == Role::Owner.name() => return Ok(()),
        Some(owner) => return Err(MigrateError::ForeignDatabase { database: target.database.clone(), owner }),
        None => {}
    }
    if !is_superuser(admin).await? {
        // Only a member may give a database to a role.
        sqlx::raw_sql("GRANT talea_owner TO CURRENT_USER").execute(&mut *admin).await?;
    }
    let statement: String = sqlx::query_scalar(
        "SELECT format('CREATE DATABASE %I OWNER talea_owner TEMPLATE template0 ENCODING ''UTF8''', $1::text)",
    )
    .bind(&target.database)
    .fetch_one(&mut *admin)
    .await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *admin).await?;
    Ok(())
}
