//! A local Apache Kafka: one combined broker and controller, for development and tests.
//!
//! It ends with its parent (see [`super::watchdog`]): after a kill -9 the next start waits for the old broker's clean
//! end and starts a new one on the same data, instead of leaving 300 MB of Java behind for good.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::EngineError;
use super::watchdog::Watchdog;
use super::{Context, fetch, host};

/// After a hard kill the broker waits about 12 s for its old registration to expire.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long an old broker may take to end after its parent is gone.
const END_LIMIT: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct State {
    broker_port: u16,
    controller_port: u16,
}

/// A running broker; ours when it has a watchdog.
pub(super) struct Kafka {
    pub(super) brokers: String,
    watchdog: Option<Watchdog>,
    _owner: Option<fs::File>,
}

pub(super) fn start(context: &Context) -> Result<Kafka, EngineError> {
    let folder = context.data("kafka");
    host::create_folder(&folder)?;
    let state_path = folder.join("state.json");
    let Some(owner) = host::try_lock(&folder.join("owner.lock"))? else {
        return adopt(&folder, host::read_state(&state_path));
    };
    let java = host::find_program("java").ok_or_else(|| EngineError::Missing {
        engine: "Apache Kafka",
        reason: "`java` is not in PATH".to_owned(),
        way_out: fetch::KAFKA_WAY_OUT,
    })?;
    let jars = fetch::kafka_jars(&context.cache, &context.progress)?;
    // The broker holds this lock as its standard output, so it is free only when an earlier broker has ended.
    let Some(output) = host::lock_within(&folder.join("output.log"), END_LIMIT)? else {
        return Err(failed(&folder, "the one of an earlier run does not end".to_owned()));
    };
    output.set_len(0).map_err(EngineError::file(&folder))?;
    let old = host::read_state::<State>(&state_path);
    let state = State {
        broker_port: host::free_port(old.as_ref().map(|state| state.broker_port))?,
        controller_port: host::free_port(old.as_ref().map(|state| state.controller_port))?,
    };
    host::write_state(&state_path, &state)?;
    let properties_path = folder.join("server.properties");
    host::write_private(&properties_path, &properties(&state, &folder.join("data"))?)?;
    let begin = Instant::now();
    format_once(&java, &jars, &folder, &properties_path)?;
    let mut broker = java_command(&java, &jars, "512m");
    broker.arg("kafka.Kafka").arg(&properties_path);
    let mut watchdog = Watchdog::host(&broker, output, &folder)?;
    while TcpStream::connect(("127.0.0.1", state.broker_port)).is_err() {
        if watchdog.ended() || begin.elapsed() > START_LIMIT {
            return Err(failed(&folder, host::tail(&folder.join("output.log"))));
        }
        std::thread::sleep(host::POLL);
    }
    context.progress.slow(begin, "started Apache Kafka");
    Ok(Kafka { brokers: brokers(&state), watchdog: Some(watchdog), _owner: Some(owner) })
}

/// Removes the data, when no living process has it.
pub(super) fn reset(folder: &Path) -> Result<(), EngineError> {
    super::clickhouse::reset_hosted("Apache Kafka", folder, END_LIMIT)
}

fn adopt(folder: &Path, state: Option<State>) -> Result<Kafka, EngineError> {
    let living = state.filter(|state| TcpStream::connect(("127.0.0.1", state.broker_port)).is_ok());
    let state = living.ok_or_else(|| EngineError::Busy {
        engine: "Apache Kafka",
        folder: folder.to_owned(),
        reason: "has no broker that answers".to_owned(),
    })?;
    Ok(Kafka { brokers: brokers(&state), watchdog: None, _owner: None })
}

fn brokers(state: &State) -> String {
    format!("127.0.0.1:{}", state.broker_port)
}

fn failed(folder: &Path, reason: String) -> EngineError {
    EngineError::Start { engine: "Apache Kafka", reason, log: folder.join("output.log") }
}

fn java_command(java: &Path, jars: &Path, heap: &str) -> Command {
    let mut command = Command::new(java);
    command.arg(format!("-Xmx{heap}")).arg("-cp").arg(jars.join("*"));
    command
}

/// Gives the data folder its cluster id. The tool writes meta.properties last, so its presence means complete.
fn format_once(java: &Path, jars: &Path, folder: &Path, properties: &Path) -> Result<(), EngineError> {
    if folder.join("data/meta.properties").is_file() {
        return Ok(());
    }
    host::remove_folder(&folder.join("data"))?;
    let tool = |arguments: &[&str]| {
        let mut command = java_command(java, jars, "128m");
        command.current_dir(folder).arg("kafka.tools.StorageTool").args(arguments);
        command
    };
    let printed = host::run(&mut tool(&["random-uuid"])).map_err(|error| failed(folder, error.to_string()))?;
    let cluster = printed.split_whitespace().last().unwrap_or_default();
    host::run(tool(&["format", "-t", cluster, "-c"]).arg(properties))
        .map_err(|error| failed(folder, error.to_string()))?;
    Ok(())
}

fn properties(state: &State, data: &Path) -> Result<String, EngineError> {
    let State { broker_port, controller_port } = state;
    let data = data.to_str().filter(|text| !text.contains([',', '\n'])).ok_or_else(|| EngineError::Unsafe {
        folder: PathBuf::from(data),
        reason: "Kafka cannot have a comma or a byte that is not UTF-8 in its path".to_owned(),
    })?;
    let data = data.replace('\\', "\\\\");
    Ok(format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{broker_port}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={data}\n\
         auto.create.topics.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         message.max.bytes=16777216\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n"
    ))
}

impl Kafka {
    /// Ends the broker if it is ours; bounded.
    pub(super) fn stop(&mut self) {
        drop(self.watchdog.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_listens_on_this_machine_only() {
        let state = State { broker_port: 9_092, controller_port: 9_093 };
        let text = properties(&state, Path::new("/data")).unwrap();
        assert!(text.contains("\nlisteners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n"));
        assert!(text.contains("\nlog.dirs=/data\n"));
        assert!(properties(&state, Path::new("/a,b")).is_err(), "a comma would be two folders");
    }
}
