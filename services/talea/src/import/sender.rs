//! Sends batches until every event has a final verdict: what was not acknowledged is sent again, later and less eagerly each
//! time. Identities make that harmless.

use super::reader::{Item, Row};
use anyhow::{Context, bail};
use flate2::{Compression, write::GzEncoder};
use reqwest::{StatusCode, header};
use std::io::Write;
use std::time::Duration;
use talea_ingest::{EventVerdict, IngestResponse, VerdictStatus};
use talea_platform::secret::Secret;

/// A request that takes longer is given up and sent again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// A server that asks for a longer pause is asked again after this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// How often and how patiently a batch is sent again while nothing of it is taken.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub first_pause: Duration,
    pub longest_pause: Duration,
    pub tries: u32,
}

impl Default for Patience {
    /// About two minutes: a restart of the server is waited out.
    fn default() -> Self {
        Self { first_pause: Duration::from_millis(200), longest_pause: Duration::from_secs(10), tries: 18 }
    }
}

impl Patience {
    fn pause(&self, failures: u32) -> Duration {
        self.first_pause.saturating_mul(1 << failures.min(16)).min(self.longest_pause)
    }
}

pub struct Sender {
    client: reqwest::Client,
    endpoint: String,
    authorization: header::HeaderValue,
    patience: Patience,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Sent {
    pub accepted: u64,
    pub rejected: Vec<(Row, String)>,
    /// Events that were sent more than once.
    pub sent_again: u64,
}

/// What the server said to one request.
enum Reply {
    Verdicts {
        verdicts: Vec<EventVerdict>,
        retry_after: Option<Duration>,
    },
    /// No verdicts, but it is worth another try.
    Later {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// Half of it may fit.
    TooLarge,
}

impl Sender {
    pub fn new(url: &str, key: &Secret, backfill: bool, patience: Patience) -> anyhow::Result<Self> {
        let query = if backfill { "?backfill=true" } else { "" };
        let mut authorization = header::HeaderValue::try_from(format!("Bearer {}", key.reveal()))
            .context("the API key has characters that no key has; give the file that `talea keys create` wrote")?;
        authorization.set_sensitive(true);
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        let endpoint = format!("{}/v1/events{query}", url.trim_end_matches('/'));
        Ok(Self { client, endpoint, authorization, patience })
    }

    /// Returns when each event was accepted or rejected. An error ends the import.
    pub async fn send(&self, items: Vec<Item>) -> anyhow::Result<Sent> {
        let (mut sent, mut failures) = (Sent::default(), 0);
        let mut waiting = vec![items];
        while let Some(mut items) = waiting.pop() {
            if items.is_empty() {
                continue;
            }
            let (reason, retry_after) = match self.post(&items).await? {
                Reply::Verdicts { verdicts, retry_after } => {
                    let before = items.len();
                    let (rest, reason) = sent.settle(items, &verdicts);
                    if rest.len() < before {
                        failures = 0;
                    }
                    items = rest;
                    (reason, retry_after)
                }
                Reply::Later { reason, retry_after } => (reason, retry_after),
                Reply::TooLarge if items.len() > 1 => {
                    let second = items.split_off(items.len() / 2);
                    waiting.extend([second, items]);
                    continue;
                }
                Reply::TooLarge => {
                    let rows =
                        items.into_iter().map(|item| (item.row, "the event is too large for the server".to_owned()));
                    sent.rejected.extend(rows);
                    continue;
                }
            };
            if !items.is_empty() {
                failures += 1;
                self.rest(failures, &reason, retry_after).await?;
                sent.sent_again += items.len() as u64;
                waiting.push(items);
            }
        }
        Ok(sent)
    }

    async fn rest(&self, failures: u32, reason: &str, retry_after: Option<Duration>) -> anyhow::Result<()> {
        if failures >= self.patience.tries {
            bail!(
                "gave up after {failures} tries: {reason}; run the same import again: what was accepted will not count twice"
            );
        }
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        tokio::time::sleep(self.patience.pause(failures - 1).max(asked)).await;
        Ok(())
    }

    async fn post(&self, items: &[Item]) -> anyhow::Result<Reply> {
        let request = self
            .client
            .post(&self.endpoint)
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/cloudevents-batch+json")
            .header(header::CONTENT_ENCODING, "gzip")
            .body(compressed(items)?)
            .build()
            .context("`--url` is no address; for example http://127.0.0.1:8080")?;
        let later = |error: reqwest::Error| Reply::Later { reason: explain(&error), retry_after: None };
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return Ok(later(error)),
        };
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        match response.bytes().await {
            Ok(body) => reply(status, retry_after, &body),
            Err(error) => Ok(later(error)),
        }
    }
}

impl Sent {
    /// Takes the final verdicts and answers the events that need another try, with the last one's reason.
    fn settle(&mut self, items: Vec<Item>, verdicts: &[EventVerdict]) -> (Vec<Item>, String) {
        let (mut rest, mut last_reason) = (Vec::new(), "the server gave no verdict".to_owned());
        for (index, item) in items.into_iter().enumerate() {
            let verdict = verdicts.get(index);
            let reason = || verdict.and_then(|verdict| verdict.reason.clone());
            match verdict.map(|verdict| verdict.status) {
                Some(VerdictStatus::Accepted) => self.accepted += 1,
                Some(VerdictStatus::Rejected) => {
                    let field = verdict.and_then(|verdict| verdict.field.as_deref()).unwrap_or_default();
                    let reason = format!("{field} {}", reason().unwrap_or_default());
                    self.rejected.push((item.row, reason.trim().to_owned()));
                }
                Some(VerdictStatus::Retry) | None => {
                    last_reason = reason().unwrap_or(last_reason);
                    rest.push(item);
                }
            }
        }
        (rest, last_reason)
    }
}

/// Verdicts come with success and with problems. What another try would not mend is an error.
fn reply(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> anyhow::Result<Reply> {
    if let Ok(IngestResponse { events, .. }) = serde_json::from_slice(body) {
        return Ok(Reply::Verdicts { verdicts: events, retry_after });
    }
    let text = String::from_utf8_lossy(body);
    let reason = format!("the server answered {status}: {}", text.chars().take(500).collect::<String>());
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Ok(Reply::TooLarge),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Ok(Reply::Later { reason, retry_after }),
        status if status.is_server_error() => Ok(Reply::Later { reason, retry_after }),
        _ => bail!("{reason}"),
    }
}

fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn compressed(items: &[Item]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for (index, item) in items.iter().enumerate() {
        encoder.write_all(if index == 0 { b"[" } else { b"," })?;
        encoder.write_all(item.event.as_bytes())?;
    }
    encoder.write_all(b"]")?;
    Ok(encoder.finish()?)
}

/// The error with its causes: the outer one alone only says "error sending request".
fn explain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let patience = Patience::default();
        let pauses: Vec<u128> = (0..8).map(|failures| patience.pause(failures).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(patience.pause(u32::MAX), patience.longest_pause);
    }

    #[test]
    fn the_server_says_how_long_to_wait() {
        let with = |value: &str| header::HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().expect("a value"))]);
        assert_eq!(retry_after(&with("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&with("Wed, 21 Oct 2026 07:28:00 GMT")), None);
        assert_eq!(retry_after(&header::HeaderMap::new()), None);
    }
}
