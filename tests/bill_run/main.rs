//! The bill run of many subscriptions against the real engines: how many invoices a second, beside what bare bulk inserts of
//! the same rows reach, and what a kill -9 in the midst leaves.
//!
//! `cargo bench -p talea-tests --bench bill_run -- --subscriptions 100000`. The run itself is a child process of this one
//! ([`child`]), so that it can be killed; [`scene`] onboards, [`proof`] counts what is there in the end, [`ceiling`] measures
//! the bare inserts.

mod ceiling;
mod child;
#[path = "../harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod harness;
mod proof;
mod scene;

use harness::{LogChoice, Stage};
use scene::Scene;
use sqlx::{ConnectOptions, PgConnection};
use std::io::Write;
use std::time::{Duration, Instant};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(2);
/// Between two looks at how far the run is.
const LOOK: Duration = Duration::from_millis(50);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if child::is_child() {
        return runtime.block_on(child::run());
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = match arguments.iter().position(|it| it == "--subscriptions") {
        Some(at) => arguments.get(at + 1).and_then(|count| count.parse().ok()).expect("--subscriptions takes a number"),
        None => 100_000,
    };
    runtime.block_on(measure(count));
}

async fn measure(count: u64) {
    let stage = Stage::new(LogChoice::Postgres).await;
    let scene = Scene { count };
    let began = Instant::now();
    scene.onboard(&stage).await;
    say(&format!("{count} subscriptions onboarded, {} events stored in {:?}", scene.events(), began.elapsed()));
    let mut admin = admin(&stage).await;

    let (killed_at, first) = until_killed(&stage, &mut admin, count * 2 / 5).await;
    say(&format!("killed by SIGKILL at {killed_at} invoices: {}", rate(killed_at, first)));
    let restarted = Instant::now();
    let summary = until_done(&stage, &mut admin, count).await;
    let second = restarted.elapsed();
    say(&format!("the second process: {summary}"));
    say(&format!("after the kill {}", rate(count - killed_at, second)));
    say(&format!("both processes  {}", rate(count, first + second)));
    say(&format!("run again: {}", until_done(&stage, &mut admin, count).await));

    for line in proof::prove(&mut admin, &scene).await {
        say(&line);
    }
    let bare = ceiling::measure(&mut admin, count).await;
    say(&format!("bare bulk insert of the same rows: {}", rate(count, bare)));
    let percent = bare.as_millis() * 100 / (first + second).as_millis().max(1);
    say(&format!("the run reaches {percent} % of the bare bulk insert"));
}

/// A run that is killed when it has issued `at` invoices. Answers how many were there then, and how long it took.
async fn until_killed(stage: &Stage, admin: &mut PgConnection, at: u64) -> (u64, Duration) {
    let began = Instant::now();
    let mut child = child::spawn(stage);
    let mut progress = Progress::default();
    while issued(admin).await < at {
        assert!(child.try_wait().expect("it is ours").is_none(), "the run ended before it could be killed");
        progress.show(admin).await;
        tokio::time::sleep(LOOK).await;
    }
    child.kill().expect("it runs");
    child.wait().expect("it is ours");
    let took = began.elapsed();
    (issued(admin).await, took)
}

/// A run to its end, and its summary.
async fn until_done(stage: &Stage, admin: &mut PgConnection, count: u64) -> String {
    let mut child = child::spawn(stage);
    let mut progress = Progress::default();
    while child.try_wait().expect("it is ours").is_none() {
        if issued(admin).await < count {
            progress.show(admin).await;
        }
        tokio::time::sleep(LOOK).await;
    }
    child::summary(child)
}

#[derive(Default)]
struct Progress(Option<Instant>);

impl Progress {
    async fn show(&mut self, admin: &mut PgConnection) {
        if self.0.is_none_or(|shown| shown.elapsed() >= PROGRESS) {
            self.0 = Some(Instant::now());
            say(&format!("  {} invoices", issued(admin).await));
        }
    }
}

/// Committed invoices: the series' last number.
async fn issued(admin: &mut PgConnection) -> u64 {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT max(last_number) FROM invoice_series").fetch_one(admin).await.expect("answers");
    last.unwrap_or(0).unsigned_abs()
}

/// The superuser in the stage's database: for counting, and for tables of our own.
async fn admin(stage: &Stage) -> PgConnection {
    let target = &stage.databases.target;
    let options = target.admin().expect("an address").database(&target.database);
    options.connect().await.expect("the superuser connects")
}

fn rate(invoices: u64, took: Duration) -> String {
    let rate = u128::from(invoices) * 1000 / took.as_millis().max(1);
    format!("{invoices} invoices in {:.1?}: {rate} invoices/s", took)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody reads");
}
