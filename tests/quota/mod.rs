//! Quota and provisioning over the real engines: from an event to a total, a check, a signal, a suspended tenant. Each
//! check gets a stage of its own; the roles run inside the test process, so that they can be dropped in the middle.

pub mod checks;
pub mod onboarding;
pub mod policy;
pub mod scene;
pub mod signals;
