//! Whether metering gets on: each owned partition for itself, so that one that is stuck is not outshone by those that are not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use talea_platform::health::Pulse;

/// A partition that has records and finishes no block for this long is stuck; so is a consumer that does nothing at all.
const STUCK_AFTER: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
pub struct Vitals {
    /// Of the task that talks with the log.
    pub consumer: Pulse,
    partitions: Arc<Mutex<BTreeMap<u32, Pulse>>>,
}

impl Vitals {
    /// A new pulse for the partition, in the place of one that it had under an earlier ownership.
    pub fn partition(&self, number: u32) -> Pulse {
        let pulse = Pulse::default();
        self.lock().insert(number, pulse.clone());
        pulse
    }

    /// The partition is somebody else's.
    pub fn forget(&self, number: u32) {
        self.lock().remove(&number);
    }

    pub fn forget_all(&self) {
        self.lock().clear();
    }

    /// A check for `Health::add`: well when the consumer and every partition are.
    pub fn check(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let (vitals, consumer) = (self.clone(), self.consumer.check(STUCK_AFTER));
        move || {
            consumer()?;
            let partitions = vitals.lock();
            partitions.iter().try_for_each(|(number, pulse)| {
                pulse.check(STUCK_AFTER)().map_err(|reason| format!("partition {number}: {reason}"))
            })
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Pulse>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_in_trouble_is_seen_whatever_the_others_do() {
        let vitals = Vitals::default();
        let check = vitals.check();
        let (well, ill) = (vitals.partition(1), vitals.partition(2));
        ill.trouble("the store refuses");
        well.beat();
        vitals.consumer.beat();
        assert_eq!(check(), Err("partition 2: the store refuses".to_owned()));
        // Its records are in its hands: nothing waits, and it is ill all the same.
        ill.rest();
        assert!(check().is_err());
        ill.beat();
        assert_eq!(check(), Ok(()));
    }

    #[test]
    fn what_is_owned_no_more_says_nothing() {
        let vitals = Vitals::default();
        let check = vitals.check();
        let before = vitals.partition(1);
        before.trouble("fenced");
        let _now = vitals.partition(1);
        assert_eq!(check(), Ok(()), "the earlier ownership of a partition is over");
        vitals.partition(2).trouble("fenced");
        vitals.forget(2);
        assert_eq!(check(), Ok(()));
    }
}
