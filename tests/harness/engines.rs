//! The real engines for the tests: started once per test process, on data that is thrown away with it.
//!
//! libtest has no teardown and ends the process by `exit`, so no destructor can be relied upon. ClickHouse ends when its
//! pipe from this process closes, and PostgreSQL is stopped and removed by a watchdog that waits on such a pipe.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use talea::engines::{self, EngineOptions, Engines, KafkaChoice};

/// Where the engines of this test process answer.
pub struct TestEngines {
    /// The superuser, database `postgres`.
    pub postgres_url: String,
    /// HTTP, user `default`.
    pub clickhouse_url: String,
    /// From the environment variable KAFKA_BROKERS; the tests that speak Kafka otherwise use a mock cluster.
    pub kafka_brokers: Option<String>,
    _runtime: tokio::runtime::Runtime,
    _engines: Engines,
}

/// The engines, started by the first caller; later callers wait for it and then share them.
///
/// `executable` runs `talea::main()`: `env!("CARGO_BIN_EXE_talea-under-test")`.
///
/// # Panics
/// When an engine is neither there nor can be fetched: a missing engine is a failure that says what to install, never a
/// test that is silently skipped.
pub fn engines(executable: &str) -> &'static TestEngines {
    static ENGINES: OnceLock<TestEngines> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let executable = PathBuf::from(executable);
        // A test calls this inside its own runtime, where blocking on another one is forbidden: so from a new thread.
        std::thread::spawn(move || start(executable)).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn start(executable: PathBuf) -> TestEngines {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests package lies in the workspace");
    let homes = executable.parent().expect("a program lies in a folder").join("test-engines");
    let kafka_brokers = std::env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty());
    let options = EngineOptions {
        home: homes.join(std::process::id().to_string()),
        cache: project.join(".talea/cache"),
        executable,
        postgres_url: None,
        clickhouse_url: None,
        kafka: kafka_brokers.clone().map_or(KafkaChoice::Off, KafkaChoice::Brokers),
        ephemeral: true,
        installed_binaries: true,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime for the engines");
    let engines = runtime.block_on(async {
        remove_leftovers(&homes, &options).await;
        engines::start(&options, &|line| eprintln!("engines: {line}")).await
    });
    let engines = engines.unwrap_or_else(|error| panic!("the tests need real engines: {error}"));
    TestEngines {
        postgres_url: engines.postgres_url.clone(),
        clickhouse_url: engines.clickhouse_url.clone(),
        kafka_brokers,
        _runtime: runtime,
        _engines: engines,
    }
}

/// Removes the folders of test processes that are gone. One in use is left alone: its owner holds its locks.
async fn remove_leftovers(homes: &Path, options: &EngineOptions) {
    let Ok(entries) = std::fs::read_dir(homes) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let home = entry.path();
        let left = EngineOptions { home: home.clone(), ..options.clone() };
        // A process that is just starting may not hold its locks yet, so a folder must also have lost its process.
        if home != options.home && !alive(&home) && engines::reset(&left).await.is_ok() {
            let _ = std::fs::remove_dir_all(&home);
        }
    }
}

/// Whether the process that the folder is named after is there.
fn alive(home: &Path) -> bool {
    let pid = home.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let check = std::process::Command::new("sh").args(["-c", "kill -0 \"$1\" 2>/dev/null", "sh", pid]).status();
    check.is_ok_and(|status| status.success())
}
