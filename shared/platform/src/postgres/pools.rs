//! One pool per role. What a piece of code may touch is decided by the pool it is given.

use super::error::DatabaseError;
use super::target::{Role, Target};
use super::transaction::{AllTenants, Tx, TxScope};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection};
use std::time::Duration;
use talea_domain::id::TenantId;
use talea_domain::tenant::TenantScope;

/// Bounds of each pool.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    pub max_connections: u32,
    /// How long a caller waits for a connection before it is told to try again.
    pub acquire_timeout: Duration,
    /// A statement that runs longer is ended by the server.
    pub statement_timeout: Duration,
    /// A statement that waits longer for a lock is ended by the server.
    pub lock_timeout: Duration,
    /// A transaction that is left alone longer is ended by the server, so that a hung task cannot hold the journal.
    pub idle_transaction_timeout: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_transaction_timeout: Duration::from_secs(60),
        }
    }
}

/// The pools of a serving process.
#[derive(Debug, Clone)]
pub struct Databases {
    pub app: AppPool,
    pub worker: WorkerPool,
    pub operator: OperatorPool,
}

impl Databases {
    /// Connects every pool once and refuses a role that row-level security cannot hold.
    pub async fn connect_to(target: &Target, settings: &PoolSettings) -> Result<Self, DatabaseError> {
        Ok(Self {
            app: AppPool(connect(target, Role::App, settings).await?),
            worker: WorkerPool(connect(target, Role::Worker, settings).await?),
            operator: OperatorPool(connect(target, Role::Operator, settings).await?),
        })
    }

    /// Closes all connections; waits for the ones in use.
    pub async fn close(&self) {
        futures::join!(self.app.0.close(), self.worker.0.close(), self.operator.0.close());
    }
}

/// For request handlers: one tenant at a time.
#[derive(Debug, Clone)]
pub struct AppPool(PgPool);

impl AppPool {
    /// A transaction that sees and writes this tenant's rows only, and reads the catalogue.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Tx, DatabaseError> {
        self.scoped(TenantScope::from(tenant)).await
    }

    /// A transaction for decisions that belong to all tenants: meters, plans, settings, unbound keys. It sees no tenant's
    /// rows.
    pub async fn global(&self) -> Result<Tx, DatabaseError> {
        self.scoped(TenantScope::Global).await
    }

    async fn scoped(&self, scope: TenantScope) -> Result<Tx, DatabaseError> {
        // One message, so that no transaction is ever open without its tenant. A scope holds only letters, digits and
        // `. _ -`, so that it cannot leave its quotes. SET LOCAL ends with the transaction, also behind a pooler.
        let statement = format!("BEGIN; SET LOCAL talea.tenant = '{scope}'");
        Tx::begin(&self.0, statement, TxScope::One(scope)).await
    }

    /// For look-ups before a tenant is known: row-level security shows such a connection nothing.
    pub(crate) fn unscoped(&self) -> &PgPool {
        &self.0
    }
}

/// For background work: every tenant, on the tables that the migration names.
#[derive(Debug, Clone)]
pub struct WorkerPool(PgPool);

impl WorkerPool {
    pub async fn begin(&self) -> Result<Tx, DatabaseError> {
        Tx::begin(&self.0, "BEGIN".to_owned(), TxScope::All).await
    }

    /// For single statements, and for the log, whose readers keep connections of their own.
    pub fn pool(&self) -> &PgPool {
        &self.0
    }
}

/// For reading over all tenants.
#[derive(Debug, Clone)]
pub struct OperatorPool(PgPool);

impl OperatorPool {
    /// A read-only transaction over all tenants.
    pub async fn begin(&self, _proof: AllTenants) -> Result<Tx, DatabaseError> {
        Tx::begin(&self.0, "BEGIN READ ONLY".to_owned(), TxScope::All).await
    }
}

/// For migrations and rebuilds. No time limits: they take as long as they take.
#[derive(Debug, Clone)]
pub struct OwnerPool(PgConnectOptions);

impl OwnerPool {
    pub fn new(target: &Target) -> Result<Self, DatabaseError> {
        Ok(Self(target.role(Role::Owner)?.application_name("talea_owner").options([("timezone", "UTC")])))
    }

    /// A connection of its own: what the owner does is rare, and must not meet statements prepared for other tables.
    pub async fn connect(&self) -> Result<PgConnection, DatabaseError> {
        Ok(self.0.connect().await?)
    }
}

async fn connect(target: &Target, role: Role, settings: &PoolSettings) -> Result<PgPool, DatabaseError> {
    let milliseconds = |duration: Duration| duration.as_millis().to_string();
    let options = target.role(role)?.application_name(role.name()).options([
        ("statement_timeout", milliseconds(settings.statement_timeout)),
        ("lock_timeout", milliseconds(settings.lock_timeout)),
        ("idle_in_transaction_session_timeout", milliseconds(settings.idle_transaction_timeout)),
        ("timezone", "UTC".to_owned()),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        .connect_with(options)
        .await?;
    refuse_unsafe_role(&mut *pool.acquire().await?).await?;
    Ok(pool)
}

/// Refuses a connection that row-level security cannot hold: of a superuser, of a role with BYPASSRLS, or of a role that may
/// become one.
pub async fn refuse_unsafe_role(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    const UNSAFE: &str = "SELECT current_user::text, r.rolsuper, r.rolbypassrls \
        FROM pg_roles r WHERE pg_has_role(current_user, r.oid, 'MEMBER') AND (r.rolsuper OR r.rolbypassrls) LIMIT 1";
    let found: Option<(String, bool, bool)> = sqlx::query_as(UNSAFE).fetch_optional(connection).await?;
    match found {
        None => Ok(()),
        Some((role, true, _)) => Err(DatabaseError::UnsafeRole { role, problem: "is superuser or may become one" }),
        Some((role, false, _)) => Err(DatabaseError::UnsafeRole { role, problem: "bypasses row-level security" }),
    }
}
