//! One LISTEN per process wakes every reader that waits. A wake-up is a hint: readers also look by themselves from time to
//! time, so that a lost one costs latency and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The NOTIFY channel; the payload is a key.
pub(super) const CHANNEL: &str = "talea_log";
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

type Keys = Mutex<HashMap<String, watch::Sender<()>>>;

pub(super) struct Wakeups {
    keys: Arc<Keys>,
    _stop_listening: DropGuard,
}

impl Wakeups {
    /// Starts to listen on a connection of its own, so that the caller's pool keeps its size.
    pub fn start(pool: &PgPool) -> Arc<Self> {
        let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(pool.connect_options().as_ref().clone());
        let (keys, stop) = (Arc::<Keys>::default(), CancellationToken::new());
        let listening = stop.clone().run_until_cancelled_owned(listen(own, keys.clone()));
        tokio::spawn(listening);
        Arc::new(Wakeups { keys, _stop_listening: stop.drop_guard() })
    }

    /// Records were appended to the topic.
    pub fn records_key(topic: &str) -> String {
        format!("records {topic}")
    }

    /// Members of the group came or went, or partitions became free.
    pub fn group_key(group: &str, topic: &str) -> String {
        format!("group {topic} {group}")
    }

    pub fn subscribe(&self, key: String) -> watch::Receiver<()> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.entry(key).or_insert_with(|| watch::channel(()).0).subscribe()
    }
}

async fn listen(pool: PgPool, keys: Arc<Keys>) {
    loop {
        if let Err(error) = listen_once(&pool, &keys).await {
            tracing::warn!(%error, "log wake-ups are interrupted; readers poll meanwhile");
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

async fn listen_once(pool: &PgPool, keys: &Keys) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    wake(keys, None);
    loop {
        match listener.try_recv().await? {
            Some(notification) => wake(keys, Some(notification.payload())),
            // The connection was lost and is new: anything may have been missed.
            None => wake(keys, None),
        }
    }
}

fn wake(keys: &Keys, key: Option<&str>) {
    let keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
    match key {
        Some(key) => keys.get(key).into_iter().for_each(|sender| sender.send_replace(())),
        None => keys.values().for_each(|sender| sender.send_replace(())),
    }
}
