//! `talea serve` as a child process on a free port, with what tests do to it: ask, kill, end, start again.

use super::stage::{START, Stage};
use super::wait::{DEADLINE, eventually};
use super::{EXECUTABLE, Event};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use talea_domain::tenant::Scope;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Lines of a server's output that a failed test shows.
const SHOWN_LINES: usize = 60;
pub const ONE: &str = "application/cloudevents+json";
pub const BATCH: &str = "application/cloudevents-batch+json";

pub struct TestServer {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// A key with every scope that is bound to no tenant.
    pub admin: String,
    child: Child,
    client: reqwest::Client,
    lines: Arc<Mutex<VecDeque<String>>>,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The document of a successful answer.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text);
        self.json()
    }
}

impl TestServer {
    /// `roles` is empty for every role.
    pub async fn start(stage: &Stage, roles: &[&str]) -> Self {
        let mut command = Command::new(EXECUTABLE);
        command.args(["serve", "--listen", "127.0.0.1:0", "--clock", START]);
        if !roles.is_empty() {
            command.args(["--roles", &roles.join(",")]);
        }
        for (key, value) in stage.settings() {
            command.env(format!("TALEA__{}", key.to_uppercase().replace('.', "__")), value);
        }
        command.env_remove("TALEA_CONFIG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the program starts");
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, mut addresses) = mpsc::channel(1);
        keep(child.stdout.take().expect("piped"), lines.clone(), sender.clone());
        keep(child.stderr.take().expect("piped"), lines.clone(), sender);
        let url = match tokio::time::timeout(DEADLINE, addresses.recv()).await {
            Ok(Some(url)) => url,
            _ => panic!("the server does not serve:\n{}", text(&lines)),
        };
        let admin = stage.key(&Scope::ALL, None).await;
        Self { url, admin, child, client: reqwest::Client::new(), lines }
    }

    /// A request with this key; an empty one sends none.
    pub fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        if key.is_empty() { request } else { request.bearer_auth(key) }
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the server answers")
    }

    /// Fails where the server is gone.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.timeout(DEADLINE).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    pub async fn get_as(&self, key: &str, path: &str, query: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::GET, path, key).query(query)).await
    }

    /// With the admin key.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        self.get_as(&self.admin, path, query).await
    }

    pub async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path, key).json(body)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_as(&self.admin, path, body).await
    }

    /// Sends a batch and answers the verdicts.
    pub async fn ingest(&self, events: &[Event]) -> Answer {
        self.send(self.ingesting("", events)).await
    }

    /// A batch on its way; `query` like `?backfill=true`.
    pub fn ingesting(&self, query: &str, events: &[Event]) -> RequestBuilder {
        let batch: Vec<&Value> = events.iter().map(Event::json).collect();
        let body = serde_json::to_vec(&batch).expect("JSON");
        let request = self.request(Method::POST, &format!("/v1/events{query}"), &self.admin);
        request.header("content-type", BATCH).body(body)
    }

    /// Sends a batch of which every event is to be accepted, and waits until metering has read it.
    pub async fn count(&self, events: &[Event]) {
        let answer = self.ingest(events).await.ok();
        assert_eq!(answer["summary"]["accepted"], events.len(), "{answer}");
        self.drained().await;
    }

    /// Waits until metering has committed everything in the log.
    pub async fn drained(&self) {
        eventually("metering reads everything in the log", async || match self.lag().await {
            0 => Ok(()),
            lag => Err(format!("lag {lag}\n{}", text(&self.lines))),
        })
        .await;
    }

    /// Records of the log that metering has not committed.
    pub async fn lag(&self) -> u64 {
        let nobody = [("tenant_id", "nobody"), ("source", "none"), ("id", "none")];
        self.get("/v1/events", &nobody).await.ok()["lag"].as_u64().expect("a number")
    }

    /// What became of one event.
    pub async fn fate(&self, tenant: &str, source: &str, id: &str) -> Value {
        self.get("/v1/events", &[("tenant_id", tenant), ("source", source), ("id", id)]).await.ok()
    }

    /// A meter over `api.call`; `field` is empty for a count.
    pub async fn meter(&self, key: &str, aggregation: &str, field: &str) {
        let field = (!field.is_empty()).then_some(field);
        let meter = json!({ "key": key, "event_type": "api.call", "aggregation": aggregation, "field": field });
        self.post("/v1/meters", &meter).await.ok();
    }

    /// The windows of one meter over a range.
    pub async fn usage(&self, tenant: &str, meter: &str, range: (&str, &str), more: &[(&str, &str)]) -> Vec<Value> {
        let mut query = vec![("tenant_id", tenant), ("meter", meter), ("from", range.0), ("to", range.1)];
        query.extend(more);
        self.get("/v1/usage", &query).await.ok()["data"].as_array().expect("a list").clone()
    }

    /// `(value, count, unmetered)` of the whole range.
    pub async fn total(&self, tenant: &str, meter: &str, range: (&str, &str)) -> (String, u64, u64) {
        let windows = self.usage(tenant, meter, range, &[("source", "raw")]).await;
        let number = |window: &Value, name: &str| window[name].as_u64().expect("a number");
        match windows.as_slice() {
            [] => ("none".to_owned(), 0, 0),
            [it] => (it["value"].as_str().unwrap_or("none").to_owned(), number(it, "count"), number(it, "unmetered")),
            more => panic!("one window was asked for: {more:?}"),
        }
    }

    /// The dead letters that the admin key sees, the latest first.
    pub async fn dead_letters(&self, query: &[(&str, &str)]) -> Vec<Value> {
        self.get("/v1/dead-letters", query).await.ok()["data"].as_array().expect("a list").clone()
    }

    pub async fn advance(&self, to: &str) {
        self.post("/v1/test-clock/advance", &json!({ "to": to })).await.ok();
    }

    /// The value of a metric with these exact labels, like `name{label="x"}`; 0 when it is not there.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics", &[]).await.text;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub async fn kill9(mut self) {
        self.child.kill().await.expect("the process was there");
    }

    /// SIGTERM, and how the process ended.
    pub async fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(sent.success());
        match tokio::time::timeout(DEADLINE, self.child.wait()).await {
            Ok(status) => status.expect("the process is ours"),
            Err(_) => panic!("the server does not end:\n{}", text(&self.lines)),
        }
    }

    /// What the server wrote last.
    pub fn output(&self) -> String {
        text(&self.lines)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's last lines\n{}\n---", text(&self.lines));
        }
    }
}

/// Reads the child's output, so that it never waits for a full pipe, and finds the address in it.
fn keep(
    output: impl AsyncRead + Unpin + Send + 'static,
    lines: Arc<Mutex<VecDeque<String>>>,
    found: mpsc::Sender<String>,
) {
    tokio::spawn(async move {
        let mut output = BufReader::new(output).lines();
        while let Ok(Some(line)) = output.next_line().await {
            if let Some(url) = line.strip_prefix("serving on ") {
                let _ = found.try_send(url.to_owned());
            }
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == SHOWN_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
}

fn text(lines: &Mutex<VecDeque<String>>) -> String {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}
