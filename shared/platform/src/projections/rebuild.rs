//! Rebuilding: every projection again from the journal alone, beside the live one, compared row by row, then put in its
//! place where it differs. Appends wait for the end; readers do not.

use super::{TABLES, project};
use crate::journal::{self, ReadError};
use crate::postgres::{DatabaseError, OwnerPool};
use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Decisions read and projected at a time.
const BATCH: u32 = 1_000;

/// What a rebuild found. Equal tables were left alone, the others replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuildReport {
    /// The journal's last position: everything up to it was projected.
    pub position: i64,
    pub tables: Vec<TableReport>,
}

impl RebuildReport {
    /// Whether every projection held the same bytes as the rebuilt one.
    pub fn agrees(&self) -> bool {
        self.tables.iter().all(|table| table.missing == 0 && table.unexpected == 0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    pub table: &'static str,
    /// Rows that follow from the journal.
    pub rows: i64,
    /// Bytes of these rows as text.
    pub bytes: i64,
    /// MD5 over the ordered rows, as rebuilt.
    pub md5: String,
    /// The same of the live table before.
    pub md5_before: String,
    /// Rows that the live table lacked, changed ones among them.
    pub missing: i64,
    /// Rows of the live table that do not follow from the journal, changed ones among them.
    pub unexpected: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for RebuildError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Rebuilds, compares and replaces in one transaction.
pub async fn rebuild(owner: &OwnerPool) -> Result<RebuildReport, RebuildError> {
    let mut connection = owner.connect().await?;
    let mut tx = connection.begin().await?;
    // An append needs this lock, so that the journal stands still; a rebuild that runs at the same time waits too.
    let position: i64 = sqlx::query_scalar("SELECT position FROM journal_head FOR UPDATE").fetch_one(&mut *tx).await?;
    for table in TABLES {
        shadow(&mut tx, table).await?;
    }
    let mut reached = 0;
    loop {
        let decisions = journal::read(&mut tx, reached, BATCH).await?;
        let Some(last) = decisions.last() else { break };
        reached = last.position;
        project(&mut tx, &decisions).await?;
    }
    let mut tables = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let report = compare(&mut tx, table).await?;
        if report.missing + report.unexpected > 0 {
            replace(&mut tx, table).await?;
        }
        tables.push(report);
    }
    sqlx::query("UPDATE journal_head SET projected = position").execute(&mut *tx).await?;
    tx.commit().await?;
    connection.close().await?;
    Ok(RebuildReport { position, tables })
}

/// A temporary table shadows the live one of the same name: the projections' own statements now write to it.
async fn shadow(connection: &mut PgConnection, table: &str) -> Result<(), RebuildError> {
    let statement = format!(
        "CREATE TEMPORARY TABLE {table} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES) \
            ON COMMIT DROP"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

async fn compare(connection: &mut PgConnection, table: &'static str) -> Result<TableReport, RebuildError> {
    let digest = |schema: &str| {
        format!(
            "SELECT count(*), coalesce(sum(octet_length(r)), 0)::bigint, \
                md5(coalesce(string_agg(md5(r), '' ORDER BY r COLLATE \"C\"), '')) \
            FROM (SELECT t::text AS r FROM {schema}.{table} t) rows"
        )
    };
    let only_in = |one: &str, other: &str| {
        format!(
            "SELECT count(*) FROM (SELECT * FROM {one}.{table} EXCEPT ALL SELECT * FROM {other}.{table}) only_there"
        )
    };
    let (rows, bytes, md5): (i64, i64, String) =
        sqlx::query_as(AssertSqlSafe(digest("pg_temp"))).fetch_one(&mut *connection).await?;
    let (_, _, md5_before): (i64, i64, String) =
        sqlx::query_as(AssertSqlSafe(digest("public"))).fetch_one(&mut *connection).await?;
    let missing = sqlx::query_scalar(AssertSqlSafe(only_in("pg_temp", "public"))).fetch_one(&mut *connection).await?;
    let unexpected =
        sqlx::query_scalar(AssertSqlSafe(only_in("public", "pg_temp"))).fetch_one(&mut *connection).await?;
    Ok(TableReport { table, rows, bytes, md5, md5_before, missing, unexpected })
}

/// Deletes and inserts, so that readers see the old rows until the commit and the new ones after it.
async fn replace(connection: &mut PgConnection, table: &str) -> Result<(), RebuildError> {
    let statement = format!("DELETE FROM public.{table}; INSERT INTO public.{table} SELECT * FROM pg_temp.{table}");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
