//! A transaction that knows whose it is.

use super::error::DatabaseError;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};
use std::ops::{Deref, DerefMut};
use talea_domain::tenant::TenantScope;

/// Proof that its holder may see all tenants.
#[derive(Debug, Clone, Copy)]
pub struct AllTenants(());

impl AllTenants {
    /// For the key store: a key that is bound to no tenant.
    pub(crate) fn for_unbound_key() -> Self {
        Self(())
    }

    /// For commands at the machine itself, whose user has the database's passwords anyway.
    pub fn for_command_line() -> Self {
        Self(())
    }
}

/// Whose rows a transaction can touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxScope {
    /// Only these; row-level security holds it to that.
    One(TenantScope),
    /// Every tenant's, within the grants of the role.
    All,
}

/// An open transaction. Dropped without [`Tx::commit`], it is rolled back.
///
/// Use it as a connection: `query.execute(&mut *tx)`.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    scope: TxScope,
}

impl Tx {
    /// Begins in a task of its own. Cancelling sqlx's `begin` half way can give a connection with an open transaction
    /// back to the pool, where the next borrower would work inside it; a task that nobody cancels runs to its end, and
    /// what it began is rolled back when nobody takes it.
    pub(super) async fn begin(pool: &PgPool, statement: String, scope: TxScope) -> Result<Self, DatabaseError> {
        let pool = pool.clone();
        let task = tokio::spawn(async move { pool.begin_with(AssertSqlSafe(statement)).await });
        match task.await {
            Ok(begun) => Ok(Self { inner: begun?, scope }),
            Err(error) => Err(DatabaseError::Begin(error.to_string())),
        }
    }

    pub fn scope(&self) -> &TxScope {
        &self.scope
    }

    /// After an error of class `Retry` the outcome is unknown: look whether the effect is there before doing it again.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        Ok(self.inner.commit().await?)
    }

    pub async fn rollback(self) -> Result<(), DatabaseError> {
        Ok(self.inner.rollback().await?)
    }
}

impl Deref for Tx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}
