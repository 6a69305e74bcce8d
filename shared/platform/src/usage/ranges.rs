//! Which part of a question the buckets can answer, and which part must be read from events: changed (dirty) buckets, and buckets that
//! a border of a window or of the range cuts in two.

use super::expressions::BUCKET_NANOS;
use crate::clickhouse::sql;
use chrono::{DateTime, Utc};

/// How many separate stretches one statement names. With more, neighbours are joined across the smallest gaps: a little more is
/// then read from events, and the answer is the same.
pub(super) const MAX_RANGES: usize = 64;

/// A half-open stretch of time in nanoseconds since 1970.
pub(super) type Stretch = (i64, i64);

/// The stretches to read from events, each made of whole buckets, sorted, not touching one another. `borders` are sorted points in
/// time, the ends of the range among them; `dirty` are starts of buckets, in any order.
pub(super) fn raw_stretches(borders: &[i64], dirty: &[DateTime<Utc>]) -> Vec<Stretch> {
    let (Some(first), Some(last)) = (borders.first(), borders.last()) else { return Vec::new() };
    let cut = borders.iter().filter(|border| border.rem_euclid(BUCKET_NANOS) != 0).map(|border| bucket_of(*border));
    let changed = dirty.iter().map(|start| bucket_of(sql::nanos(*start)));
    let mut buckets: Vec<i64> =
        cut.chain(changed).filter(|start| start.saturating_add(BUCKET_NANOS) > *first && start < last).collect();
    buckets.sort_unstable();
    coalesce(buckets)
}

fn bucket_of(nanos: i64) -> i64 {
    nanos - nanos.rem_euclid(BUCKET_NANOS)
}

/// Joins sorted starts of buckets into at most [`MAX_RANGES`] stretches.
pub(super) fn coalesce(buckets: Vec<i64>) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for start in buckets {
        match stretches.last_mut() {
            Some((_, end)) if *end >= start => *end = start.saturating_add(BUCKET_NANOS),
            _ => stretches.push((start, start.saturating_add(BUCKET_NANOS))),
        }
    }
    if stretches.len() <= MAX_RANGES {
        return stretches;
    }
    let mut gaps: Vec<i64> = stretches.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
    gaps.sort_unstable();
    // Of k stretches there are k - 1 gaps; closing the smallest of them leaves MAX_RANGES. Equal gaps are closed together.
    let widest_closed = gaps[gaps.len() - MAX_RANGES];
    let mut joined: Vec<Stretch> = Vec::with_capacity(MAX_RANGES);
    for (start, end) in stretches {
        match joined.last_mut() {
            Some((_, last_end)) if start - *last_end <= widest_closed => *last_end = end,
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// The condition that an expression of type `DateTime64(9)` lies in one of the stretches.
pub(super) fn inside(expression: &str, stretches: &[Stretch]) -> String {
    let parts: Vec<String> = stretches
        .iter()
        .map(|(start, end)| format!("({expression} >= {} AND {expression} < {})", at(*start), at(*end)))
        .collect();
    if parts.is_empty() { "0".to_owned() } else { format!("({})", parts.join(" OR ")) }
}

/// A point in time given in nanoseconds since 1970, as SQL.
pub(super) fn at(nanos: i64) -> String {
    format!("fromUnixTimestamp64Nano(toInt64({nanos}), 'UTC')")
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: i64 = BUCKET_NANOS;

    fn check(borders: &[i64], dirty: &[i64], expect: &[Stretch]) {
        let dirty: Vec<_> = dirty.iter().map(|n| sql::from_nanos(*n)).collect();
        assert_eq!(raw_stretches(borders, &dirty), expect);
    }

    #[test]
    fn aligned_borders_need_no_events() {
        check(&[0, 4 * B], &[], &[]);
        check(&[-4 * B, 0], &[], &[]);
    }

    #[test]
    fn a_border_inside_a_bucket_makes_the_bucket_raw() {
        check(&[1, 4 * B], &[], &[(0, B)]);
        check(&[0, 2 * B + 5, 4 * B - 1], &[], &[(2 * B, 4 * B)]);
        check(&[-1, 4 * B], &[], &[(-B, 0)]);
    }

    #[test]
    fn a_range_may_end_where_the_store_does() {
        let last = bucket_of(i64::MAX);
        check(&[0, i64::MAX], &[], &[(last, i64::MAX)]);
    }

    #[test]
    fn dirty_buckets_are_raw_and_neighbours_are_one_stretch() {
        check(&[0, 9 * B], &[3 * B, 2 * B, 7 * B, 7 * B, 9 * B, -B], &[(2 * B, 4 * B), (7 * B, 8 * B)]);
    }

    #[test]
    fn many_stretches_are_joined_over_their_smallest_gaps() {
        let mut buckets: Vec<i64> = (0..500).map(|i| i * 2 * B).collect();
        buckets.push(5_000 * B);
        let joined = coalesce(buckets.clone());
        assert!(joined.len() <= MAX_RANGES, "{}", joined.len());
        assert!(buckets.iter().all(|b| joined.iter().any(|(start, end)| start <= b && b + B <= *end)));
        assert_eq!(joined.last(), Some(&(5_000 * B, 5_001 * B)));
    }
}
