//! Which crate may use which: `domain <- platform <- services <- talea <- tests`, and no service another.

use super::root;
use serde_json::Value;
use std::process::Command;

/// What a package may depend on: every package of a lower layer. The recount is apart: it shares no code with what it
/// checks.
fn layer(package: &str) -> u32 {
    match package {
        "talea-recount" => 0,
        "talea-domain" => 1,
        "talea-platform" => 2,
        "talea-ingest" | "talea-metering" | "talea-billing" | "talea-quota" | "talea-provisioning" => 3,
        "talea" => 4,
        "talea-tests" | "talea-bench" => 5,
        unknown => panic!("tell the layer of {unknown} in tests/tidy/crates.rs"),
    }
}

/// Only these run the recount; a layer that it checks must not stand on it.
const MAY_RECOUNT: [&str; 2] = ["talea", "talea-tests"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

#[test]
fn every_crate_depends_on_lower_layers_alone() {
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("a list") {
            let other = dependency["name"].as_str().expect("a name");
            if dependency["path"].is_null() {
                continue;
            }
            assert!(layer(other) < layer(name), "{name} must not depend on {other}");
            assert!(other != "talea-recount" || MAY_RECOUNT.contains(&name), "{name} must not depend on {other}");
        }
    }
}

#[test]
fn plain_cargo_run_means_talea() {
    let runs: Vec<String> =
        packages().iter().filter_map(|package| package["default_run"].as_str().map(str::to_owned)).collect();
    assert_eq!(runs, ["talea"]);
}
