//! What every part of the provisioning role shares.

use std::sync::Arc;
use talea_platform::runtime::Platform;
use tokio::sync::Notify;

pub struct Shared {
    pub platform: Platform,
    /// A decision about a tenant was recorded: the outbox has something to publish.
    pub recorded: Arc<Notify>,
}
