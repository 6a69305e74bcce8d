//! The demo's app services: a process of its own that sends usage over HTTP, keeps its own journal of what was
//! acknowledged, moves the clock, and sends again whatever was not acknowledged.

use super::catalogue;
use super::journal::Journal;
use super::workload::Workload;
use anyhow::{Context, bail};
use chrono::{DateTime, Duration, Months, SecondsFormat, Utc};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;
use talea_platform::secret::Secret;

/// Steps of a day: the clock moves by six hours at a time.
const STEPS_PER_DAY: u32 = 4;
const BATCH: usize = 2_500;
/// How long a server may be away before the sender gives up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
const MAX_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);
/// Of all events: these come in the second month, and these after the first one is closed.
const SECOND_MONTH_PERCENT: usize = 6;
const AFTER_CLOSE_PERMILLE: usize = 4;

#[derive(Debug, Clone, clap::Args)]
pub struct SendArguments {
    #[arg(long)]
    url: String,
    #[arg(long)]
    key_file: PathBuf,
    #[arg(long)]
    journal: PathBuf,
    /// First instant of the month.
    #[arg(long)]
    from: DateTime<Utc>,
    #[arg(long)]
    events: usize,
    #[arg(long)]
    seed: u64,
}

/// Sends two months and closes each; prints one JSON object a step for the parent.
pub async fn run(arguments: SendArguments) -> anyhow::Result<()> {
    let key = Secret::new(std::fs::read_to_string(&arguments.key_file)?.trim());
    let setup = setup(arguments.from)?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let journal = Journal::create(&arguments.journal, &setup)?;
    let workload = Workload::new(arguments.seed);
    let mut sender = Sender {
        client,
        url: arguments.url,
        key,
        journal,
        workload,
        sent: 0,
        asked: arguments.events,
        now: arguments.from,
    };
    sender.months(arguments.from, arguments.events).await
}

/// What the auditor needs to know of the contracts; days around the two months, so that every zone's are inside.
fn setup(from: DateTime<Utc>) -> anyhow::Result<Value> {
    let to = month_after(month_after(from)?)?;
    let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (around, until) = (from - Duration::days(60), to + Duration::days(5));
    Ok(catalogue::setup(&from.date_naive().to_string(), &shown(around), &shown(until)))
}

fn month_after(at: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    at.checked_add_months(Months::new(1)).context("the year is out of range")
}

struct Sender {
    client: reqwest::Client,
    url: String,
    key: Secret,
    journal: Journal,
    workload: Workload,
    sent: usize,
    asked: usize,
    /// Where the server's clock stands.
    now: DateTime<Utc>,
}

impl Sender {
    async fn months(&mut self, first: DateTime<Utc>, events: usize) -> anyhow::Result<()> {
        let (second, third) = (month_after(first)?, month_after(month_after(first)?)?);
        let in_second = events * SECOND_MONTH_PERCENT / 100;
        let after_close = events * AFTER_CLOSE_PERMILLE / 1000;
        self.month(first, second, events - in_second - after_close).await?;
        self.close(second + Duration::days(2)).await?;
        let late = self.workload.after_close(after_close, first, second - Duration::hours(12));
        self.send_all(late).await?;
        self.month(second + Duration::days(2), third, in_second).await?;
        self.close(third + Duration::days(2)).await
    }

    /// Sends the usage of a time, step by step, each after its time has passed.
    async fn month(&mut self, from: DateTime<Utc>, to: DateTime<Utc>, events: usize) -> anyhow::Result<()> {
        let steps = usize::try_from(to.signed_duration_since(from).num_days())? * STEPS_PER_DAY as usize;
        let width = Duration::hours(24 / i64::from(STEPS_PER_DAY));
        let mut begin = from;
        for step in 0..steps {
            let end = begin + width;
            self.advance(end).await?;
            let count = events * (step + 1) / steps - events * step / steps;
            let drawn = self.workload.step(count, begin, end);
            self.send_all(drawn).await?;
            begin = end;
        }
        Ok(())
    }

    async fn advance(&mut self, to: DateTime<Utc>) -> anyhow::Result<()> {
        self.post("/v1/test-clock/advance", &json!({ "to": to })).await?;
        self.now = to;
        self.journal.clock(to)
    }

    /// Moves the clock behind the grace and waits until every invoice that is due is final.
    async fn close(&mut self, as_of: DateTime<Utc>) -> anyhow::Result<()> {
        self.advance(as_of).await?;
        let began = Instant::now();
        loop {
            let run = self.post("/v1/billing/runs", &json!({ "as_of": as_of })).await?;
            if ["waiting_for_grace", "waiting_for_metering"].iter().all(|name| run[name] == 0) {
                break;
            }
            if began.elapsed() > PATIENCE {
                bail!("the invoices of {as_of} are not final after {} s: {run}", PATIENCE.as_secs());
            }
        }
        self.journal.barrier(as_of)?;
        self.journal.flush()
    }

    async fn send_all(&mut self, events: Vec<Value>) -> anyhow::Result<()> {
        let mut waiting = events;
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(BATCH));
            let refused = self.send(std::mem::replace(&mut waiting, rest)).await?;
            waiting.splice(0..0, refused);
        }
        println!("{}", json!({ "sent": self.sent, "of": self.asked }));
        Ok(())
    }

    /// Sends one batch and journals its verdicts; what was not acknowledged comes back, in order.
    async fn send(&mut self, batch: Vec<Value>) -> anyhow::Result<Vec<Value>> {
        let answer =
            self.post_as("/v1/events", "application/cloudevents-batch+json", &Value::Array(batch.clone())).await?;
        let verdicts = answer["events"].as_array().context("the answer has no verdicts")?;
        if verdicts.len() != batch.len() {
            bail!("{} events got {} verdicts", batch.len(), verdicts.len());
        }
        let mut again = Vec::new();
        for (event, verdict) in batch.into_iter().zip(verdicts) {
            match verdict["status"].as_str() {
                Some("accepted") => {
                    self.journal.verdict(&event, verdict)?;
                    self.workload.acknowledged(event, self.now);
                    self.sent += 1;
                }
                Some("rejected") => {
                    self.journal.verdict(&event, verdict)?;
                    self.sent += 1;
                }
                _ => again.push(event),
            }
        }
        self.journal.flush()?;
        Ok(again)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.post_as(path, "application/json", body).await
    }

    /// Asks until there is an answer: an outage is waited for, a refusal is an error.
    async fn post_as(&self, path: &str, content_type: &str, body: &Value) -> anyhow::Result<Value> {
        let bytes = serde_json::to_vec(body)?;
        let (began, mut pause) = (Instant::now(), std::time::Duration::from_millis(20));
        loop {
            let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(self.key.reveal());
            let trouble = match request.header("content-type", content_type).body(bytes.clone()).send().await {
                Ok(response) if response.status().is_success() => match response.json().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error.to_string(),
                },
                Ok(response) if response.status().is_client_error() && response.status() != 429 => {
                    bail!("POST {path}: {} {}", response.status(), response.text().await.unwrap_or_default());
                }
                Ok(response) => response.status().to_string(),
                Err(error) => error.to_string(),
            };
            if began.elapsed() > PATIENCE {
                bail!("POST {path}: no answer in {} s, last: {trouble}", PATIENCE.as_secs());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}
