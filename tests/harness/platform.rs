//! The platform inside the test process: the log and the stores as a server on the same stage sees them.

use super::Stage;
use super::stage::START;
use std::ops::Deref;
use talea_platform::config;
use talea_platform::runtime::Platform;

pub struct TestPlatform(Platform);

impl TestPlatform {
    pub(super) async fn connect(stage: &Stage) -> Self {
        let mut settings: Vec<(&str, String)> =
            stage.settings().iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        settings.push(("clock.test", START.to_owned()));
        let config = config::load(None, &settings).expect("a valid configuration");
        Self(Platform::connect(config).await.expect("the platform connects"))
    }
}

impl Deref for TestPlatform {
    type Target = Platform;
    fn deref(&self) -> &Platform {
        &self.0
    }
}
