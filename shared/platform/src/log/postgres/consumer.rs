//! A member of a consumer group: two background tasks fill an inbox, the caller empties it.
//!
//! One task keeps the membership, the other fetches. Both end when the consumer is dropped, without a word to the group:
//! that is a crash, and the lease runs out. [`Consumer::close`] says goodbye.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fetch::{Want, fetch};
use super::membership::{Changes, Membership};
use super::wakeups::Wakeups;
use super::{PostgresLog, detached, unavailable};
use crate::log::inbox::Inbox;
use crate::log::{Consumer, Delivery, LogError, report_unread_expired};

/// What one query asks of one partition.
const FETCH_BYTES: usize = 4 << 20;
const FETCH_RETRY_AFTER: Duration = Duration::from_millis(200);
/// How long a shutdown waits for the database.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// A reader hears of the fifth failure in a row; the ones before may be a restart of the database.
const FAILURES_BEFORE_ERROR: u32 = 5;

pub(super) struct PostgresConsumer {
    topic: String,
    membership: Membership,
    inbox: Arc<Inbox>,
    stop: DropGuard,
    tasks: Vec<JoinHandle<()>>,
}

impl PostgresConsumer {
    pub async fn start(log: &PostgresLog, group: &str, topic: &str) -> Result<Self, LogError> {
        let options = &log.options;
        let joining = Membership::join(log.pool.clone(), group, topic, options.lease);
        let membership = joining.await.map_err(unavailable)?;
        let mut group_changes = log.wakeups.subscribe(Wakeups::group_key(group, topic));
        group_changes.mark_unchanged();
        let (inbox, stop) = (Arc::new(Inbox::default()), CancellationToken::new());
        renew(&membership, &inbox, options.lease).await?;
        let keeper = Keeper { membership: membership.clone(), inbox: inbox.clone(), lease: options.lease };
        let fetcher = Fetcher {
            pool: log.pool.clone(),
            topic: topic.to_owned(),
            inbox: inbox.clone(),
            prefetch_bytes: options.prefetch_bytes,
            poll_interval: options.poll_interval,
        };
        let records = log.wakeups.subscribe(Wakeups::records_key(topic));
        // The wake-ups are held on to, for they end with their last holder.
        let (one, other) = (log.wakeups.clone(), log.wakeups.clone());
        let (keeping, fetching) = (stop.clone(), stop.clone());
        let tasks = vec![
            tokio::spawn(async move {
                keeper.run(keeping, group_changes).await;
                drop(one)
            }),
            tokio::spawn(async move {
                fetcher.run(fetching, records).await;
                drop(other)
            }),
        ];
        Ok(PostgresConsumer { topic: topic.to_owned(), membership, inbox, stop: stop.drop_guard(), tasks })
    }
}

#[async_trait]
impl Consumer for PostgresConsumer {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        self.inbox.next().await
    }

    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), LogError> {
        let lost = || LogError::Lost { topic: self.topic.clone(), partition };
        let generation = self.inbox.epoch(partition).ok_or_else(lost)?;
        let membership = self.membership.clone();
        let stored = detached(async move { membership.commit(partition, generation, next_offset).await }).await?;
        if stored { Ok(()) } else { Err(lost()) }
    }

    fn pause(&mut self, partition: u32) {
        self.inbox.set_paused(partition, true);
    }

    fn resume(&mut self, partition: u32) {
        self.inbox.set_paused(partition, false);
    }

    async fn close(self: Box<Self>) {
        let PostgresConsumer { topic, membership, stop, tasks, .. } = *self;
        stop.disarm().cancel();
        let goodbye = async move {
            // A task that panicked has nothing left to wait for.
            futures::future::join_all(tasks).await;
            detached(async move { membership.leave().await }).await
        };
        let unheard = || Err(LogError::Unavailable("the database does not answer".to_owned()));
        if let Err(error) = timeout(GOODBYE_TIMEOUT, goodbye).await.unwrap_or_else(|_| unheard()) {
            tracing::warn!(log.topic = %topic, %error, "the group was left without a word; the lease runs out");
        }
    }
}

/// Keeps the membership alive and the inbox in step with it.
struct Keeper {
    membership: Membership,
    inbox: Arc<Inbox>,
    lease: Duration,
}

impl Keeper {
    async fn run(self, stop: CancellationToken, mut group_changes: watch::Receiver<()>) {
        // Three chances to renew within a lease, and one to spare.
        let interval = self.lease / 4;
        let mut renewed_at = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(interval) => {}
                Ok(()) = group_changes.changed() => {}
            }
            let asked_at = Instant::now();
            match renew(&self.membership, &self.inbox, self.lease).await {
                Ok(()) => renewed_at = asked_at,
                Err(error) if renewed_at.elapsed() < self.lease => {
                    tracing::warn!(%error, "the lease of a consumer was not renewed");
                }
                Err(error) => {
                    // Others may own them by now.
                    self.inbox.slots().iter().for_each(|slot| self.inbox.revoke(slot.partition));
                    self.inbox.fail(error);
                }
            }
        }
    }
}

async fn renew(membership: &Membership, inbox: &Inbox, lease: Duration) -> Result<(), LogError> {
    let held: BTreeMap<u32, i64> = inbox.slots().iter().map(|slot| (slot.partition, slot.epoch)).collect();
    let membership = membership.clone();
    let renewal = detached(async move { membership.renew(&held).await });
    let Changes { lost, taken } = timeout(lease, renewal)
        .await
        .unwrap_or_else(|_| Err(LogError::Unavailable("the database did not answer within the lease".to_owned())))?;
    for partition in lost {
        inbox.revoke(partition);
    }
    for taken in taken {
        inbox.assign(taken.partition, taken.generation, taken.next_offset);
    }
    Ok(())
}

/// What one look into the log found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Records,
    /// Nothing new where there was room; elsewhere there was none.
    NoRoom,
    Nothing,
}

/// Keeps the inbox filled, within its bounds.
struct Fetcher {
    pool: sqlx::PgPool,
    topic: String,
    inbox: Arc<Inbox>,
    prefetch_bytes: usize,
    poll_interval: Duration,
}

impl Fetcher {
    async fn run(self, stop: CancellationToken, mut records: watch::Receiver<()>) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            records.mark_unchanged();
            let (found, pause) = match self.fetch().await {
                Ok(found) => {
                    failures = 0;
                    (found, self.poll_interval)
                }
                Err(error) => {
                    failures += 1;
                    self.report(failures, error);
                    (Found::Nothing, FETCH_RETRY_AFTER)
                }
            };
            if found == Found::Records {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
                () = self.inbox.reassigned(), if failures == 0 => {}
                () = self.inbox.room(), if found == Found::NoRoom => {}
                Ok(()) = records.changed(), if failures == 0 => {}
            }
        }
    }

    /// Asks for the partitions that have their share free, so that one cannot take the room of all.
    async fn fetch(&self) -> Result<Found, LogError> {
        let slots = self.inbox.slots();
        if slots.is_empty() {
            return Ok(Found::Nothing);
        }
        let share = (self.prefetch_bytes / slots.len()).max(1);
        let (hungry, sated): (Vec<_>, Vec<_>) = slots.into_iter().partition(|slot| slot.bytes < share);
        let wants: Vec<Want> = hungry.iter().map(|slot| (slot.partition, slot.fetch_from)).collect();
        let mut found = if sated.is_empty() { Found::Nothing } else { Found::NoRoom };
        if wants.is_empty() {
            return Ok(found);
        }
        for (partition, records) in fetch(&self.pool, &self.topic, &wants, share.min(FETCH_BYTES)).await? {
            if let Some(slot) = hungry.iter().find(|slot| slot.partition == partition) {
                // Offsets are dense: only retention makes a gap.
                if let Some(first) = records.first().filter(|first| first.offset > slot.fetch_from) {
                    report_unread_expired(&self.topic, partition, slot.fetch_from, first.offset);
                }
                self.inbox.push(partition, slot.epoch, records);
                found = Found::Records;
            }
        }
        Ok(found)
    }

    fn report(&self, failures: u32, error: LogError) {
        tracing::warn!(log.topic = %self.topic, %error, failures, "reading the log failed");
        if failures.is_multiple_of(FAILURES_BEFORE_ERROR) || matches!(error, LogError::Topic { .. }) {
            self.inbox.fail(error);
        }
    }
}
