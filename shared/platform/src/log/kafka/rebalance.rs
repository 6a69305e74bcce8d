//! What librdkafka tells of rebalances, as state that the polling thread can act on.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::{ClientContext, TopicPartitionList};

use crate::log::inbox::Inbox;

pub(super) struct GroupContext {
    inbox: Arc<Inbox>,
    /// Counts rebalances; its value is the epoch of what the latest one assigned.
    rebalances: AtomicI64,
    /// Assigned and not yet announced, with epochs.
    assigned: Mutex<Vec<(u32, i64)>>,
    committing: Mutex<()>,
}

impl GroupContext {
    pub fn new(inbox: Arc<Inbox>) -> Self {
        GroupContext { inbox, rebalances: AtomicI64::new(0), assigned: Mutex::default(), committing: Mutex::default() }
    }

    pub fn rebalances(&self) -> i64 {
        self.rebalances.load(Ordering::SeqCst)
    }

    pub fn take_assigned(&self) -> Vec<(u32, i64)> {
        std::mem::take(&mut *self.assigned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Held while a commit is on its way.
    pub fn committing(&self) -> MutexGuard<'_, ()> {
        self.committing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revoke(&self, partitions: impl Iterator<Item = u32>) {
        let committing = self.committing();
        for partition in partitions {
            self.assigned.lock().unwrap_or_else(PoisonError::into_inner).retain(|(pending, _)| *pending != partition);
            self.inbox.revoke(partition);
        }
        drop(committing);
    }
}

impl ClientContext for GroupContext {}

impl ConsumerContext for GroupContext {
    /// Partitions are given up here, before librdkafka tells the group.
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.rebalances.fetch_add(1, Ordering::SeqCst);
        match rebalance {
            Rebalance::Assign(_) => {}
            Rebalance::Revoke(partitions) => self.revoke(numbers(partitions)),
            Rebalance::Error(_) => {
                let all = self.inbox.slots();
                self.revoke(all.iter().map(|slot| slot.partition));
            }
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            let epoch = self.rebalances();
            let mut assigned = self.assigned.lock().unwrap_or_else(PoisonError::into_inner);
            assigned.extend(numbers(partitions).map(|partition| (partition, epoch)));
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> impl Iterator<Item = u32> {
    let numbers: Vec<u32> =
        partitions.elements().iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect();
    numbers.into_iter()
}
