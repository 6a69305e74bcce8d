//! The demo proves itself, and the proof can fail: the auditor agrees with a run that was killed in between, and finds
//! one extra, one missing and one altered row.

use crate::harness::databases::ROLE_SECRET;
use crate::harness::{EXECUTABLE, engines};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use talea_platform::clickhouse::ClickHouse;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const EVENTS: &str = "3000";
/// The demo's own database on the tests' engines: one demo at a time.
const DATABASE: &str = "talea_demo";

struct Demo {
    home: PathBuf,
    url: String,
    child: Child,
    report: Value,
}

impl Demo {
    /// Runs the demo until it has printed its report and serves on.
    async fn run() -> Self {
        let home = std::env::temp_dir().join(format!("talea-demo-test-{}", std::process::id()));
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        let mut child = Command::new(EXECUTABLE)
            .args(["--json", "demo", "--events", EVENTS, "--crash", "1"])
            .env("TALEA__ENGINES__HOME", &home)
            .env("TALEA__SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .env("TALEA__POSTGRES__URL", &engines().postgres_url)
            .env("TALEA__POSTGRES__ROLE_SECRET", ROLE_SECRET)
            .env("TALEA__CLICKHOUSE__URL", &engines().clickhouse_url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the demo starts");
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        while let Some(line) = lines.next_line().await.expect("readable") {
            said.push_str(&line);
            said.push('\n');
            if line.contains("until Ctrl-C") {
                break;
            }
        }
        let mut report = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        while serde_json::from_str::<Value>(&report).is_err() {
            let read = out.read_line(&mut report).await.expect("readable");
            assert_ne!(read, 0, "the demo ended without a report:\n{said}");
        }
        // Nobody reads what it says from here on, and it must not stop for that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let report = serde_json::from_str(&report).expect("read above");
        Self { url: format!("http://127.0.0.1:{port}"), home, child, report }
    }

    /// The auditor's verdict now: its exit status and its finding.
    async fn audit(&self) -> (bool, Value) {
        let output = Command::new(EXECUTABLE)
            .args(["demo-recount", "--url", &self.url, "--clickhouse", &engines().clickhouse_url])
            .args(["--clickhouse-user", "default", "--clickhouse-database", DATABASE])
            .arg("--journal")
            .arg(self.home.join("demo/journal.jsonl"))
            .arg("--key-file")
            .arg(self.home.join("admin.key"))
            .output()
            .await
            .expect("the auditor runs");
        (output.status.success(), serde_json::from_slice(&output.stdout).expect("a finding"))
    }

    async fn end(mut self) {
        let process = self.child.id().expect("it still serves");
        let killed =
            std::process::Command::new("kill").args(["-INT", &process.to_string()]).status().expect("kill runs");
        assert!(killed.success());
        assert!(self.child.wait().await.expect("ends").success(), "Ctrl-C ends it with success");
        remove(&self.home);
    }
}

fn remove(home: &Path) {
    std::fs::remove_dir_all(home).expect("the demo's folder is removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_agrees_and_one_extra_missing_or_altered_row_does_not() {
    let demo = Demo::run().await;
    assert_eq!(demo.report["proof"]["agrees"], true, "{}", demo.report["proof"]);
    assert_eq!(demo.report["restarts"], 1, "it was killed once");
    let clickhouse = ClickHouse::connect(&engines().clickhouse_url, "default", "", DATABASE).expect("a plain name");
    let run = async |sql: &str| clickhouse.execute(clickhouse.query(sql)).await.expect("the row is planted");
    run("CREATE TABLE kept ENGINE = Memory AS SELECT * FROM usage_events WHERE event_type = 'com.example.llm.completion' ORDER BY identity LIMIT 1").await;
    let one = "(identity IN (SELECT identity FROM kept))";

    run("INSERT INTO usage_events SELECT * REPLACE (id || '-extra' AS id, identity + 1 AS identity) FROM kept").await;
    disagrees(&demo, "extra event").await;
    run("DELETE FROM usage_events WHERE endsWith(id, '-extra')").await;
    agrees(&demo).await;

    run(&format!("DELETE FROM usage_events WHERE {one}")).await;
    disagrees(&demo, "missing event").await;

    let altered = "mapUpdate(numbers, map('/input_tokens', numbers['/input_tokens'] + 1))";
    run(&format!("INSERT INTO usage_events SELECT * REPLACE (CAST({altered}, 'Map(LowCardinality(String), Decimal(38, 18))') AS numbers) FROM kept")).await;
    disagrees(&demo, "altered event").await;

    run(&format!("DELETE FROM usage_events WHERE {one}")).await;
    run("INSERT INTO usage_events SELECT * FROM kept").await;
    agrees(&demo).await;
    demo.end().await;
}

async fn agrees(demo: &Demo) {
    let (success, finding) = demo.audit().await;
    assert!(success && finding["agrees"] == true, "{finding}");
}

async fn disagrees(demo: &Demo, says: &str) {
    let (success, finding) = demo.audit().await;
    assert!(!success && finding["agrees"] == false, "{finding}");
    assert!(finding["first_differences"].to_string().contains(says), "{says}: {finding}");
}
