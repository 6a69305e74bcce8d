//! The process that runs billing and can be killed: this same program, told by its environment what it is.

use crate::harness::Stage;
use crate::scene;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use talea_billing::{Billing, Trigger};
use talea_platform::config;
use talea_platform::runtime::Platform;

/// Its settings, as a JSON object.
const SETTINGS: &str = "TALEA_BILL_RUN_SETTINGS";

pub fn is_child() -> bool {
    std::env::var_os(SETTINGS).is_some()
}

pub fn spawn(stage: &Stage) -> Child {
    let settings: Value = stage.settings().iter().cloned().map(|(key, value)| (key, Value::from(value))).collect();
    let program = std::env::current_exe().expect("a path");
    let mut command = Command::new(program);
    command.env(SETTINGS, settings.to_string()).env_remove("TALEA_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts")
}

/// What an ended child wrote.
pub fn summary(child: Child) -> String {
    let output = child.wait_with_output().expect("it is ours");
    assert!(output.status.success(), "the run failed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// One run over everything that is due.
pub async fn run() {
    let text = std::env::var(SETTINGS).expect("the parent gave them");
    let settings: Value = serde_json::from_str(&text).expect("JSON");
    let settings = settings.as_object().expect("an object").iter();
    let mut settings: Vec<(&str, String)> =
        settings.map(|(key, value)| (key.as_str(), value.as_str().expect("a text").to_owned())).collect();
    settings.push(("clock.test", scene::NOW.to_owned()));
    let config = config::load(None, &settings).expect("a valid configuration");
    let platform = Platform::connect(config).await.expect("the platform connects");
    let as_of = platform.clock.now();
    let summary = Billing::new(platform).run(as_of, Trigger::Asked).await.expect("the run ends");
    let short = json!({ "finalized": summary.finalized, "drafted": summary.drafted,
        "waiting": summary.waiting_for_grace + summary.waiting_for_metering, "refused": summary.refused_count });
    crate::say(&short.to_string());
    assert!(summary.refused.is_empty(), "{:?}", summary.refused.first());
}
