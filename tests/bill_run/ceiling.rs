//! The ceiling: the rows that the run wrote, copied by Postgres' own bulk format into tables with the same columns, indexes and
//! constraints. Nothing is measured, rated, numbered or checked there.

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::{Duration, Instant};

/// Each table, and which of its rows a bill run wrote.
const TABLES: [(&str, &str); 3] = [
    ("journal", "WHERE type IN ('invoice.finalized.v1', 'period.closed.v1')"),
    ("invoices", ""),
    ("invoice_lines", ""),
];

/// How long the inserts take; each table is one transaction.
pub async fn measure(admin: &mut PgConnection, invoices: u64) -> Duration {
    execute(admin, "CREATE SCHEMA bare".to_owned()).await;
    let mut took = Duration::ZERO;
    for (table, rows) in TABLES {
        execute(admin, format!("CREATE TABLE bare.{table} (LIKE {table} INCLUDING ALL)")).await;
        let mut copied = Vec::new();
        let out = format!("COPY (SELECT * FROM {table} {rows}) TO STDOUT (FORMAT binary)");
        let mut stream = admin.copy_out_raw(&out).await.expect("is copied out");
        while let Some(part) = stream.try_next().await.expect("is copied out") {
            copied.extend_from_slice(&part);
        }
        drop(stream);
        let began = Instant::now();
        let into = format!("COPY bare.{table} FROM STDIN (FORMAT binary)");
        let mut sink = admin.copy_in_raw(&into).await.expect("is copied in");
        for part in copied.chunks(1 << 20) {
            sink.send(part).await.expect("is copied in");
        }
        let written = sink.finish().await.expect("is copied in");
        took += began.elapsed();
        let (bytes, each) = (copied.len(), copied.len() as u64 / invoices.max(1));
        crate::say(&format!("  {table}: {written} rows, {bytes} bytes ({each} an invoice) in {:.1?}", began.elapsed()));
    }
    execute(admin, "DROP SCHEMA bare CASCADE".to_owned()).await;
    took
}

async fn execute(admin: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await.expect("the superuser may");
}
