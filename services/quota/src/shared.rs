//! What every part of the quota role shares.

use crate::book::Book;
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;
use talea_platform::runtime::Platform;
use tokio::sync::Notify;

/// How a stage of the start went: the next one waits for it.
#[derive(Debug, Default)]
pub struct Stage {
    reached: AtomicBool,
    changed: Notify,
}

impl Stage {
    pub fn reach(&self) {
        self.reached.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    /// Resolves once the stage is reached.
    pub async fn wait(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // Registered before the look, so that no change falls between.
        changed.as_mut().enable();
        if !self.is_reached() {
            changed.await;
        }
    }
}

/// A moment by the clock, and when it was by a timer that no test clock moves.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub at: DateTime<Utc>,
    pub seen: Instant,
}

pub struct Shared {
    pub platform: Platform,
    book: RwLock<Book>,
    as_of: Mutex<Option<Moment>>,
    /// Per partition of the totals topic, the next offset to be taken in.
    pub positions: Mutex<Vec<u64>>,
    /// The terms are in the book.
    pub terms_known: Stage,
    /// The place in the totals topic from which the feed reads is fixed: what is stored may be asked for now.
    pub feed_fixed: Stage,
    pub signals_due: Arc<Notify>,
    pub signals_recorded: Arc<Notify>,
    pub totals_wanted: Arc<Notify>,
}

impl Shared {
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            book: RwLock::default(),
            as_of: Mutex::default(),
            positions: Mutex::default(),
            terms_known: Stage::default(),
            feed_fixed: Stage::default(),
            signals_due: Arc::default(),
            signals_recorded: Arc::default(),
            totals_wanted: Arc::default(),
        }
    }

    /// Never held across an await.
    pub fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything before this is in the figures; none before the first proof.
    pub fn as_of(&self) -> Option<Moment> {
        *self.as_of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn prove_as_of(&self, moment: Moment) {
        *self.as_of.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
    }

    /// Never held across an await, and only for short: checks wait for it.
    pub fn book_mut(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }
}
