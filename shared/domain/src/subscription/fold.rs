//! The fold over a subscription's changes, instant after instant: each change is applied once, when it begins to count. Only where
//! one counts later than another that holds after it, the changes up to then are applied anew.

use super::timeline::{Clock, Terms};
use super::{Change, Subscription, Trial};
use chrono::{DateTime, Utc};

pub(super) struct Fold<'a> {
    subscription: &'a Subscription,
    trial: Option<Trial>,
    /// As they take effect, with their numbers.
    changes: Vec<(u32, &'a Change)>,
    /// Places in `changes`, by when they count.
    by_time: Vec<(DateTime<Utc>, usize)>,
    /// How many of these are applied.
    counted: usize,
    /// One more than the highest place that is applied.
    reached: usize,
    terms: Terms,
}

impl<'a> Fold<'a> {
    pub fn new(subscription: &'a Subscription, clock: Clock) -> Self {
        let changes = subscription.in_order();
        let mut by_time: Vec<(DateTime<Utc>, usize)> =
            changes.iter().enumerate().map(|(place, (_, change))| (change.time(clock), place)).collect();
        by_time.sort_unstable();
        let (trial, terms) = (subscription.trial, subscription.first_terms());
        Self { subscription, trial, changes, by_time, counted: 0, reached: 0, terms }
    }

    /// What holds at an instant. Instants are asked for in rising order.
    pub fn at(&mut self, instant: DateTime<Utc>) -> &Terms {
        let before = self.counted;
        self.counted += self.by_time[before..].partition_point(|(time, _)| *time <= instant);
        let new = self.by_time[before..self.counted].iter().map(|(_, place)| *place);
        if new.clone().min().is_some_and(|first| first < self.reached) {
            self.terms = self.subscription.first_terms();
            self.apply(self.by_time[..self.counted].iter().map(|(_, place)| *place).collect());
        } else {
            self.apply(new.collect());
        }
        self.terms.trial = self.trial.filter(|trial| instant < trial.until).map(|trial| trial.usage);
        &self.terms
    }

    fn apply(&mut self, mut places: Vec<usize>) {
        places.sort_unstable();
        for place in places {
            let (number, change) = self.changes[place];
            self.terms.apply(number, &change.what);
            self.reached = self.reached.max(place + 1);
        }
    }
}

/// Counts applied changes, so that a test can bound them.
#[cfg(test)]
pub(super) mod steps {
    use std::cell::Cell;

    thread_local! {
        static APPLIED: Cell<usize> = const { Cell::new(0) };
    }

    pub fn count() {
        APPLIED.with(|applied| applied.set(applied.get() + 1));
    }

    /// The changes that were applied while this was done.
    pub fn of<T>(work: impl FnOnce() -> T) -> (T, usize) {
        APPLIED.with(|applied| applied.set(0));
        let done = work();
        (done, APPLIED.with(Cell::get))
    }
}
