//! From judged events to fates: the tenants' share is taken, the log is asked, and its answers are put back in order.

use crate::Ingest;
use crate::admission::{Grant, Held};
use crate::judge::{Faulty, Ready};
use crate::verdict::{EventVerdict, Fate, IngestResponse, Unacknowledged, VerdictCounts};
use std::collections::HashMap;
use talea_domain::id::TenantId;
use talea_platform::log::{AppendError, NewRecord, Position, topic};
use tokio::time::Instant;

/// The verdicts, and why events are to be sent again (the answer's status depends on it).
pub struct Outcome {
    pub response: IngestResponse,
    pub causes: Vec<Unacknowledged>,
}

/// An event between the judgement and the log's answer.
struct Waiting {
    id: Option<String>,
    source: Option<String>,
    /// None while its record is with the log.
    fate: Option<Fate>,
}

impl Ingest {
    /// Sends what may go to the log, waits until it is durable, and says what became of each event, in order.
    pub async fn accept(&self, judged: Vec<Result<Ready, Faulty>>) -> Outcome {
        let (grants, held) = self.admission.admit(&wanted(&judged), Instant::now());
        let (waiting, records) = choose(judged, grants);
        let mut answers = self.append(records, held).await.into_iter();
        let mut outcome = Outcome::with_capacity(waiting.len());
        for (index, event) in waiting.into_iter().enumerate() {
            let fate = event.fate.unwrap_or_else(|| match answers.next() {
                Some(Ok(_)) => Fate::Accepted,
                Some(Err(error)) => error.into(),
                None => Fate::Retry(Unacknowledged::Unavailable),
            });
            outcome.add(index, event.id, event.source, fate);
        }
        outcome
    }

    /// Appends in a task of its own: a client that hangs up neither interrupts the log nor frees the places in the queue
    /// while their events are still under way.
    async fn append(&self, records: Vec<NewRecord>, held: Held) -> Vec<Result<Position, AppendError>> {
        if records.is_empty() {
            return Vec::new();
        }
        let (log, count, started) = (self.log.clone(), records.len(), Instant::now());
        let task = tokio::spawn(async move {
            let answers = log.append(topic::USAGE, records).await;
            drop(held);
            answers
        });
        let answers = task.await.unwrap_or_else(|error| vec![Err(AppendError::Unavailable(error.to_string())); count]);
        metrics::histogram!("talea_ingest_acknowledge_duration_seconds").record(started.elapsed());
        if let Some(Err(error)) = answers.iter().find(|answer| matches!(answer, Err(AppendError::Unavailable(_)))) {
            tracing::warn!(error = %error, events = count, "ingest.not_acknowledged");
        }
        answers
    }
}

fn wanted(judged: &[Result<Ready, Faulty>]) -> HashMap<TenantId, u64> {
    let mut wanted: HashMap<TenantId, u64> = HashMap::new();
    for ready in judged.iter().flatten() {
        match wanted.get_mut(&ready.tenant) {
            Some(count) => *count += 1,
            None => {
                wanted.insert(ready.tenant.clone(), 1);
            }
        }
    }
    wanted
}

/// Each tenant's first events go, up to its grant; the others get its refusal.
fn choose(judged: Vec<Result<Ready, Faulty>>, mut grants: HashMap<TenantId, Grant>) -> (Vec<Waiting>, Vec<NewRecord>) {
    let mut records = Vec::with_capacity(judged.len());
    let waiting = judged.into_iter().map(|event| match event {
        Err(Faulty { id, source, error }) => Waiting { id, source, fate: Some(Fate::Rejected(error)) },
        Ok(Ready { tenant, source, id, record }) => {
            let fate = take(&mut grants, &tenant);
            if fate.is_none() {
                records.push(record);
            }
            Waiting { id: Some(id), source: Some(source), fate }
        }
    });
    (waiting.collect(), records)
}

fn take(grants: &mut HashMap<TenantId, Grant>, tenant: &TenantId) -> Option<Fate> {
    match grants.get_mut(tenant) {
        Some(grant) if grant.granted > 0 => {
            grant.granted -= 1;
            None
        }
        Some(Grant { refusal: Some(refusal), .. }) => Some(Fate::Retry((*refusal).into())),
        // Every tenant of the request has a grant that covers or refuses each of its events.
        _ => Some(Fate::Retry(Unacknowledged::Unavailable)),
    }
}

impl Outcome {
    fn with_capacity(events: usize) -> Self {
        let response = IngestResponse { summary: VerdictCounts::default(), events: Vec::with_capacity(events) };
        Self { response, causes: Vec::new() }
    }

    fn add(&mut self, index: usize, id: Option<String>, source: Option<String>, fate: Fate) {
        self.response.summary.count(&fate);
        if let Fate::Retry(cause) = fate {
            self.causes.push(cause);
        }
        self.response.events.push(EventVerdict::new(index, id, source, fate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Refusal;
    use bytes::Bytes;
    use std::time::Duration;
    use talea_domain::error::FieldError;

    fn ready(tenant: &str, id: &str) -> Result<Ready, Faulty> {
        let record = NewRecord { key: Bytes::new(), value: Bytes::copy_from_slice(id.as_bytes()), headers: Vec::new() };
        let tenant = TenantId::parse(tenant).expect("a key");
        Ok(Ready { tenant, source: "/s".into(), id: id.into(), record })
    }

    fn faulty() -> Result<Ready, Faulty> {
        Err(Faulty { id: None, source: None, error: FieldError::new("", "is not an object", "send one") })
    }

    #[test]
    fn a_tenants_first_events_go_and_the_order_stays() {
        let judged = vec![ready("a", "1"), faulty(), ready("b", "2"), ready("a", "3"), ready("a", "4")];
        assert_eq!(wanted(&judged).values().sum::<u64>(), 4);
        let refusal = Some(Refusal::OverRate { retry_after: Duration::from_secs(2) });
        let grants = HashMap::from([
            (TenantId::parse("a").expect("a key"), Grant { granted: 2, refusal }),
            (TenantId::parse("b").expect("a key"), Grant { granted: 1, refusal: None }),
        ]);
        let (waiting, records) = choose(judged, grants);
        assert_eq!(records.iter().map(|record| record.value.as_ref()).collect::<Vec<_>>(), [b"1", b"2", b"3"]);
        let kept: Vec<bool> = waiting.iter().map(|event| event.fate.is_none()).collect();
        assert_eq!(kept, [true, false, true, true, false]);
        assert!(matches!(waiting[4].fate, Some(Fate::Retry(Unacknowledged::OverRate { .. }))));
    }
}
