//! Marks of changed buckets: renewed while they are worked on, they stay.

use super::support::{at, tenant};
use chrono::Duration;
use sqlx::PgConnection;
use talea_domain::period::Period;
use talea_platform::usage::dirty::{DirtyBucket, DirtyBuckets};

/// `connection` may write `usage_dirty_buckets` of all tenants, which is empty.
pub async fn a_mark_that_was_renewed_stays(connection: &mut PgConnection) {
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    let now = at("2026-03-01T10:07:00Z");
    let first = DirtyBucket::of(&acme, "api.call", now);
    assert_eq!(first.bucket_start, at("2026-03-01T10:00:00Z"));
    let second = DirtyBucket::of(&beta, "api.call", now);
    let third = DirtyBucket::of(&acme, "storage", now);
    let all = [second.clone(), first.clone(), third.clone(), first.clone()];
    DirtyBuckets::mark(connection, &all, now).await.expect("marked");
    DirtyBuckets::mark(connection, &[], now).await.expect("nothing to mark");
    assert!(
        DirtyBuckets::take(connection, 10, now - Duration::seconds(1)).await.expect("taken").is_empty(),
        "not quiet yet"
    );
    let taken = DirtyBuckets::take(connection, 10, now).await.expect("taken");
    assert_eq!(taken.iter().map(|row| row.bucket.clone()).collect::<Vec<_>>(), [first.clone(), third, second]);
    assert_eq!(DirtyBuckets::take(connection, 2, now).await.expect("taken").len(), 2);

    let later = now + Duration::seconds(5);
    DirtyBuckets::mark(connection, std::slice::from_ref(&first), later).await.expect("renewed");
    assert_eq!(DirtyBuckets::clear(connection, &taken).await.expect("cleared"), 2, "the renewed one stays");
    assert_eq!(DirtyBuckets::oldest(connection).await.expect("oldest"), Some(later));
    let taken = DirtyBuckets::take(connection, 10, later).await.expect("taken");
    assert_eq!(taken.iter().map(|row| row.bucket.clone()).collect::<Vec<_>>(), std::slice::from_ref(&first));

    // A range that begins inside the bucket touches it.
    let of = |start: &str, end: &str| Period::new(at(start), at(end));
    for (range, hit) in [
        (of("2026-03-01T10:14:59Z", "2026-03-01T11:00:00Z"), true),
        (of("2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"), false),
        (of("2026-03-01T10:15:00Z", "2026-03-01T11:00:00Z"), false),
    ] {
        let found = DirtyBuckets::of_tenant(connection, &acme, "api.call", range).await.expect("found");
        assert_eq!(!found.is_empty(), hit, "{range:?}");
        assert!(DirtyBuckets::of_tenant(connection, &beta, "api.call", range).await.expect("found").is_empty());
    }
    assert_eq!(DirtyBuckets::clear(connection, &taken).await.expect("cleared"), 1);
    assert_eq!(DirtyBuckets::oldest(connection).await.expect("oldest"), None);

    // A slow worker that took an earlier mark of the same bucket clears none that was made after it was cleared.
    DirtyBuckets::mark(connection, std::slice::from_ref(&first), later).await.expect("marked again");
    assert_eq!(DirtyBuckets::clear(connection, &taken).await.expect("cleared"), 0);
}
