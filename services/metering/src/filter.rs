//! The memory of identities: says "never seen" for certain, or "perhaps", which the identity table then decides.
//!
//! A chain of Bloom filters, so that it grows with what was seen and no size has to be guessed. Only the speed depends on
//! it: a false "perhaps" costs one look-up, and "never seen" is always true.

use fastbloom::BloomFilter;

/// Identities that one filter of the chain takes. 4 million at one in a thousand is about 7 MB.
const LINK_CAPACITY: usize = 4_000_000;
/// A small first link: most partitions of a small installation never need more.
const FIRST_CAPACITY: usize = 250_000;
const FALSE_POSITIVE_RATE: f64 = 0.001;

pub struct IdentityFilter {
    links: Vec<BloomFilter>,
    left: usize,
}

impl Default for IdentityFilter {
    fn default() -> Self {
        Self { links: vec![link(FIRST_CAPACITY)], left: FIRST_CAPACITY }
    }
}

fn link(capacity: usize) -> BloomFilter {
    BloomFilter::with_false_pos(FALSE_POSITIVE_RATE).seed(&0x7A1EA).expected_items(capacity)
}

impl IdentityFilter {
    pub fn insert(&mut self, identity: u128) {
        if self.left == 0 {
            self.links.push(link(LINK_CAPACITY));
            self.left = LINK_CAPACITY;
        }
        self.left -= 1;
        if let Some(last) = self.links.last_mut() {
            last.insert(&identity);
        }
    }

    /// False only when the identity was never inserted.
    pub fn may_contain(&self, identity: u128) -> bool {
        self.links.iter().any(|link| link.contains(&identity))
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
            filter.insert(spread(n));
        }
        assert_eq!(filter.links.len(), 2);
        assert!((0..(FIRST_CAPACITY as u128 + 1000)).all(|n| filter.may_contain(spread(n))));
        let false_positives = (1_000_000..1_010_000u128).filter(|n| filter.may_contain(spread(*n))).count();
        assert!(false_positives < 100, "{false_positives}");
    }
}
