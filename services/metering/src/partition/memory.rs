//! What a partition's owner remembers between blocks: what is claimed, counted and voided but not in the tables yet.

use super::block::Block;
use crate::filter::IdentityFilter;
use crate::verdict::Claim;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use talea_platform::usage::rows::StoredEvent;
use talea_platform::usage::voids::{Original, Place};

/// What a partition's owner remembers between blocks.
pub(crate) struct Memory {
    pub filter: IdentityFilter,
    /// Offsets that recovery found stored.
    pub replayed: HashSet<u64>,
    /// What blocks claim that are prepared or being written: not yet in the identity table.
    pub under_way: HashMap<u128, Claim>,
    /// The events and voids of those blocks, the oldest first.
    pub unwritten: VecDeque<Unwritten>,
}

/// What a block counts and voids, for voids that come behind it.
pub(crate) struct Unwritten {
    pub counted: Arc<Vec<StoredEvent>>,
    pub voided: HashMap<Place, Place>,
}

impl Memory {
    pub fn new(filter: IdentityFilter, replayed: HashSet<u64>) -> Self {
        Self { filter, replayed, under_way: HashMap::new(), unwritten: VecDeque::new() }
    }

    /// The block is in the identity table: its exact set is no longer needed.
    pub(super) fn written(&mut self, block: &Block) {
        for (identity, claim) in &block.claims {
            // The block that is prepared behind it can have counted the identity anew, after its window.
            if self.under_way.get(identity) == Some(claim) {
                self.under_way.remove(identity);
            }
        }
        self.unwritten.pop_front();
        if !self.replayed.is_empty() {
            self.replayed.retain(|offset| *offset >= block.next_offset);
        }
    }

    /// The event of a record and its void, as far as blocks under way hold them.
    pub(super) fn held(&self, place: Place) -> (Option<Original>, Option<Place>) {
        let mut counted = self.unwritten.iter().flat_map(|block| block.counted.iter());
        let event = counted.find(|stored| (stored.partition, stored.offset) == place);
        let original = event.map(|it| Original { event_type: it.event.event_type.clone(), time: it.event.time });
        (original, self.unwritten.iter().find_map(|block| block.voided.get(&place).copied()))
    }
}
