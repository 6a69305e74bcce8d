//! kill -9 in the middle of ingest, again and again, at moments that a seed chooses.

use super::stored::{derived_is_complete, holds_exactly};
use crate::events::ALWAYS;
use crate::events::windows_of_usage::recompute;
use crate::harness::{Event, LogChoice, Stage, TestServer, event};
use crate::usage::support::Dice;
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Another one by TALEA_TEST_SEED: the moments of the kills, the sizes and the repeats all follow from it.
const SEED: u64 = 15;
const KILLS: usize = 6;
const BATCH: u64 = 200;
/// Of so many lots each voids one event.
const VOIDS: usize = 5;

/// The sender's own journal: what was acknowledged, and what is to be sent again.
#[derive(Default)]
struct Sender {
    next: u64,
    /// Sent, and not known to be acknowledged.
    unacknowledged: VecDeque<u64>,
    acknowledged: BTreeSet<String>,
    /// Voids of acknowledged events: to be sent, and acknowledged.
    voiding: BTreeSet<u64>,
    voided: BTreeSet<u64>,
}

fn numbered(n: u64) -> Event {
    event("acme", &n.to_string()).tokens(n)
}

impl Sender {
    /// The next batch: first what was not acknowledged, then some acknowledged ones again, then new ones.
    fn batch(&mut self, dice: &mut Dice) -> Vec<u64> {
        let again = self.unacknowledged.len().min(BATCH as usize);
        let mut batch: Vec<u64> = self.unacknowledged.drain(..again).collect();
        while (batch.len() as u64) < BATCH {
            let again = self.next > 0 && dice.one_in(8);
            batch.push(if again { dice.below(self.next) } else { self.next });
            self.next += u64::from(!again);
        }
        batch
    }

    /// One request. What has no verdict is kept for later.
    async fn send(&mut self, server: &TestServer, batch: Vec<u64>) {
        let events: Vec<_> = batch.iter().map(|n| numbered(*n)).collect();
        let answer = server.try_send(server.ingesting("", &events)).await.ok().map(|answer| answer.json());
        let verdicts = answer.as_ref().and_then(|answer| answer["events"].as_array());
        for (index, n) in batch.iter().enumerate() {
            if verdicts.is_some_and(|verdicts| verdicts[index]["status"] == "accepted") {
                self.acknowledged.insert(n.to_string());
            } else {
                self.unacknowledged.push_back(*n);
            }
        }
    }
}

impl Sender {
    /// Voids a few acknowledged events, and again what was not acknowledged of earlier voids.
    async fn void(&mut self, server: &TestServer, dice: &mut Dice) {
        for _ in 0..VOIDS {
            let n = dice.below(self.next.max(1));
            if self.acknowledged.contains(&n.to_string()) && !self.voided.contains(&n) {
                self.voiding.insert(n);
            }
        }
        let voids: Vec<u64> = self.voiding.iter().copied().collect();
        let of = |n: &u64| json!({ "tenant_id": "acme", "source": "/api", "id": n.to_string(), "reason": "wrong" });
        let body = json!({ "events": voids.iter().map(of).collect::<Vec<_>>() });
        let request = server.request(reqwest::Method::POST, "/v1/events/void", &server.admin).json(&body);
        let answer = server.try_send(request).await.ok().map(|answer| answer.json());
        let Some(verdicts) = answer.as_ref().and_then(|answer| answer["events"].as_array()) else { return };
        for (n, _) in voids.iter().zip(verdicts).filter(|(_, verdict)| verdict["status"] == "accepted") {
            self.voiding.remove(n);
            self.voided.insert(*n);
        }
    }
}

/// Kills at a moment in the middle of sending; the sender sends again what was not acknowledged.
pub async fn what_was_acknowledged_counts_once_however_often_it_is_killed(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let seed =
        std::env::var("TALEA_TEST_SEED").ok().map_or(SEED, |seed| seed.parse().expect("a seed is a whole number"));
    let (mut dice, mut sender) = (Dice(seed), Sender::default());
    for kill in 0..KILLS {
        let server = stage.serve().await;
        if kill == 0 {
            server.meter("tokens", "sum", "/tokens").await;
        }
        for _ in 0..dice.below(6) {
            let batch = sender.batch(&mut dice);
            sender.send(&server, batch).await;
            sender.void(&server, &mut dice).await;
        }
        // The last request is under way, or its events are: neither the sender nor metering is done.
        let batch = sender.batch(&mut dice);
        let moment = Duration::from_micros(dice.below(120_000));
        let sent = tokio::time::timeout(moment, sender.send(&server, batch.clone())).await;
        if sent.is_err() {
            sender.unacknowledged.extend(batch);
        }
        server.kill9().await;
    }
    let server = stage.serve().await;
    while !sender.unacknowledged.is_empty() {
        let batch = sender.unacknowledged.drain(..).collect();
        sender.send(&server, batch).await;
    }
    while !sender.voiding.is_empty() {
        sender.void(&server, &mut dice).await;
    }
    server.drained().await;
    eprintln!("{log:?}, seed {seed}: {} events acknowledged over {KILLS} kills", sender.acknowledged.len());
    assert_eq!(sender.acknowledged.len() as u64, sender.next, "everything was acknowledged in the end");
    holds_exactly(&stage, "acme", &sender.acknowledged).await;
    assert!(!sender.voided.is_empty());
    let expected = (sender.next * (sender.next - 1) / 2 - sender.voided.iter().sum::<u64>()).to_string();
    let left = sender.next - sender.voided.len() as u64;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, (expected.clone(), left, 0));
    recompute(&stage, &server, "2026-10-15T13:00:00Z").await;
    let from_buckets = &server.usage("acme", "tokens", ALWAYS, &[]).await[0];
    assert_eq!(from_buckets["value"], expected, "the marks of buckets survived too");
    assert!(server.dead_letters(&[]).await.is_empty());
}

/// A second server takes over what a killed one held, and a third joins in the middle: each event counts once.
pub async fn another_server_takes_over_what_a_killed_one_held(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let first = stage.serve().await;
    first.meter("tokens", "sum", "/tokens").await;
    first.count(&(0..500).map(numbered).collect::<Vec<_>>()).await;
    let second = stage.serve().await;
    second.ingest(&(400..900).map(numbered).collect::<Vec<_>>()).await.ok();
    first.ingest(&(800..1300).map(numbered).collect::<Vec<_>>()).await.ok();
    first.kill9().await;
    second.ingest(&(1200..1500).map(numbered).collect::<Vec<_>>()).await.ok();
    second.drained().await;
    let ids: BTreeSet<String> = (0..1500).map(|n| n.to_string()).collect();
    holds_exactly(&stage, "acme", &ids).await;
    assert_eq!(second.total("acme", "tokens", ALWAYS).await, ((1500 * 1499 / 2).to_string(), 1500, 0));
    derived_is_complete(&stage).await;
}
