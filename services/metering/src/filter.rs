//! The memory of identities: says "never seen" for certain, or "perhaps", which the identity table then decides.
//!
//! A chain of Bloom filters, so that it grows with what was seen and no size has to be guessed. Only the speed depends on
//! it: a false "perhaps" costs one look-up, and "never seen" is always true of what is remembered. A link whose identities
//! are all out of their window is dropped, so that the chain is as long as a window and not as an uptime.

use chrono::{DateTime, Utc};
use fastbloom::BloomFilter;
use std::collections::VecDeque;

/// Identities that one filter of the chain takes. 4 million at one in a thousand is about 7 MB.
const LINK_CAPACITY: usize = 4_000_000;
/// A small first link: most partitions of a small installation never need more.
const FIRST_CAPACITY: usize = 250_000;
const FALSE_POSITIVE_RATE: f64 = 0.001;

pub struct IdentityFilter {
    /// Each with the latest log time at which one of its identities was counted.
    links: VecDeque<(BloomFilter, DateTime<Utc>)>,
    left: usize,
}

impl Default for IdentityFilter {
    fn default() -> Self {
        Self { links: VecDeque::from([(link(FIRST_CAPACITY), DateTime::UNIX_EPOCH)]), left: FIRST_CAPACITY }
    }
}

fn link(capacity: usize) -> BloomFilter {
    BloomFilter::with_false_pos(FALSE_POSITIVE_RATE).seed(&0x7A1EA).expected_items(capacity)
}

impl IdentityFilter {
    /// Takes in an identity that was counted at `counted_at`, by the log's time.
    pub fn insert(&mut self, identity: u128, counted_at: DateTime<Utc>) {
        if self.left == 0 {
            self.links.push_back((link(LINK_CAPACITY), counted_at));
            self.left = LINK_CAPACITY;
        }
        self.left -= 1;
        if let Some((last, latest)) = self.links.back_mut() {
            last.insert(&identity);
            *latest = counted_at.max(*latest);
        }
    }

    /// Drops full links in which everything was counted before `time`.
    pub fn forget_before(&mut self, time: DateTime<Utc>) {
        while self.links.len() > 1 && self.links.front().is_some_and(|(_, latest)| *latest < time) {
            self.links.pop_front();
        }
    }

    /// False only when the identity was never inserted, or is forgotten.
    pub fn may_contain(&self, identity: u128) -> bool {
        self.links.iter().any(|(link, _)| link.contains(&identity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_always_found_also_in_a_longer_chain() {
        let mut filter = IdentityFilter::default();
        let spread = |n: u128| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        for n in 0..(FIRST_CAPACITY as u128 + 1000) {
            filter.insert(spread(n), DateTime::UNIX_EPOCH);
        }
        assert_eq!(filter.links.len(), 2);
        assert!((0..(FIRST_CAPACITY as u128 + 1000)).all(|n| filter.may_contain(spread(n))));
        let false_positives = (1_000_000..1_010_000u128).filter(|n| filter.may_contain(spread(*n))).count();
        assert!(false_positives < 100, "{false_positives}");
    }

    #[test]
    fn a_link_is_forgotten_when_all_of_it_is_old() {
        let at = |second| DateTime::from_timestamp(second, 0).expect("in range");
        let mut filter = IdentityFilter::default();
        for n in 0..FIRST_CAPACITY as u128 {
            filter.insert(n, at(i64::try_from(n).expect("small")));
        }
        let last = FIRST_CAPACITY as i64 - 1;
        filter.forget_before(at(last + 1));
        assert!(filter.may_contain(0), "the open link stays");
        filter.insert(u128::MAX, at(last + 10));
        filter.forget_before(at(last));
        assert!(filter.may_contain(0), "one of its identities is not old");
        filter.forget_before(at(last + 1));
        assert_eq!(filter.links.len(), 1);
        assert!(filter.may_contain(u128::MAX) && !filter.may_contain(0));
    }
}
