//! What every test stands on: real engines, databases of its own, a server as a child process. Nothing here sleeps for
//! a fixed time: it polls what it waits for, with a deadline.

pub mod databases;
pub mod engines;
pub mod events;
pub mod platform;
pub mod server;
pub mod stage;
pub mod wait;

pub use databases::TestDatabases;
pub use events::{Event, event};
pub use platform::TestPlatform;
pub use server::{Answer, TestServer};
pub use stage::{LogChoice, Stage};
pub use wait::eventually;

/// The program that hosts the engines and is the server under test.
pub const EXECUTABLE: &str = env!("CARGO_BIN_EXE_talea-under-test");

/// The engines of this test process, started by the first test that asks.
pub fn engines() -> &'static engines::TestEngines {
    engines::engines(EXECUTABLE)
}
