//! Numbers without gaps, for documents that the law wants numbered so.

use crate::postgres::DatabaseError;
use sqlx::PgConnection;

/// Takes `count` consecutive numbers of a series and answers the first; a new series starts at 1. The series is locked
/// until the transaction ends, and a rollback gives the numbers back: use them in this transaction or not at all. Take
/// them before [`super::append()`], so that every transaction locks series first and the journal last.
pub async fn take_numbers(connection: &mut PgConnection, series: &str, count: u32) -> Result<i64, DatabaseError> {
    const TAKE: &str = "INSERT INTO invoice_series AS s (series, last_number) VALUES ($1, $2) \
        ON CONFLICT (series) DO UPDATE SET last_number = s.last_number + excluded.last_number \
        RETURNING last_number - $2 + 1";
    Ok(sqlx::query_scalar(TAKE).bind(series).bind(i64::from(count)).fetch_one(connection).await?)
}
