//! What must be there in the end, whatever was killed: each subscription's invoice once, its moment closed once, numbers
//! without a gap, and the sum that integers say.

use crate::scene::Scene;
use sqlx::PgConnection;

/// # Panics
/// Where something is missing, double or wrong.
pub async fn prove(admin: &mut PgConnection, scene: &Scene) -> Vec<String> {
    let count = i64::try_from(scene.count).expect("fits");
    let each = "SELECT count(*), count(DISTINCT subscription_id), count(DISTINCT number), \
        min(split_part(number, '-', 2)::bigint), max(split_part(number, '-', 2)::bigint) \
        FROM invoices WHERE status = 'finalized'";
    let each: (i64, i64, i64, Option<i64>, Option<i64>) =
        sqlx::query_as(each).fetch_one(&mut *admin).await.expect("answers");
    assert_eq!(each, (count, count, count, Some(1), Some(count)), "invoices, subscriptions, numbers, first, last");

    let decided = "SELECT count(*) FILTER (WHERE type = 'invoice.finalized.v1'), \
        count(DISTINCT stream) FILTER (WHERE type = 'invoice.finalized.v1'), \
        count(*) FILTER (WHERE type = 'period.closed.v1'), max(position) - count(*), \
        (SELECT position FROM journal_head) - max(position) FROM journal";
    let decided: (i64, i64, i64, Option<i64>, Option<i64>) =
        sqlx::query_as(decided).fetch_one(&mut *admin).await.expect("answers");
    assert_eq!(
        decided,
        (count, count, count, Some(0), Some(0)),
        "issued, of them distinct, closed, gaps, behind the head"
    );

    let total: i64 = one(admin, "SELECT sum(total_minor)::bigint FROM invoices").await;
    let lines: i64 = one(admin, "SELECT sum(amount_minor)::bigint FROM invoice_lines").await;
    let number_of_lines: i64 = one(admin, "SELECT count(*) FROM invoice_lines").await;
    let owed = scene.owed();
    assert_eq!((total, lines), (owed, owed), "the invoices' totals, and their lines");
    vec![
        format!("proved: {count} subscriptions, each with one invoice; numbers 1 to {count} without a gap"),
        format!("proved: {number_of_lines} lines sum to {owed} cents, as integers say"),
    ]
}

async fn one(admin: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(admin).await.expect("answers")
}
