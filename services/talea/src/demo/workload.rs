//! A seeded, realistic stream of usage with every fault that real senders have. Integers only: the same seed gives the
//! same events on every machine.

use super::catalogue::{self, API_REQUEST, COMPLETION, PING, SEAT, STORAGE, Tenant};
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Acknowledged events that duplicates and conflicts are made of.
const REMEMBERED: usize = 20_000;
/// A real client gives up sending again long before the server forgets the identity (35 days).
const REMEMBERED_DAYS: i64 = 20;
/// Faults per million events.
const DUPLICATES: u32 = 20_000;
const RETIMED_DUPLICATES: u32 = 8_000;
const CONFLICTS: u32 = 2_000;
const TOO_LATE: u32 = 800;
const IN_FUTURE: u32 = 800;
const MALFORMED: u32 = 1_500;
const UNKNOWN_TENANT: u32 = 800;
const LATE: u32 = 30_000;

const MODELS: [&str; 3] = ["sprite-1", "atlas-2", "atlas-2-mini"];
const ENDPOINTS: [&str; 4] = ["/v1/chat", "/v1/embed", "/v1/search", "/v1/files"];
const REGIONS: [&str; 3] = ["eu-west", "us-east", "ap-south"];

pub struct Workload {
    random: StdRng,
    tenants: Vec<Tenant>,
    weight: u32,
    next_id: u64,
    /// With the time at which each was acknowledged.
    acknowledged: VecDeque<(DateTime<Utc>, Value)>,
}

impl Workload {
    pub fn new(seed: u64) -> Self {
        let tenants = catalogue::tenants();
        let weight = tenants.iter().map(|tenant| tenant.weight).sum();
        Self { random: StdRng::seed_from_u64(seed), tenants, weight, next_id: 1, acknowledged: VecDeque::new() }
    }

    /// An event was acknowledged: from now on it may be sent again.
    pub fn acknowledged(&mut self, event: Value, at: DateTime<Utc>) {
        let forgotten = at - Duration::days(REMEMBERED_DAYS);
        while self.acknowledged.len() >= REMEMBERED
            || self.acknowledged.front().is_some_and(|(seen, _)| *seen < forgotten)
        {
            self.acknowledged.pop_front();
        }
        self.acknowledged.push_back((at, event));
    }

    /// `count` events of the time from `from` to `to`, faults among them.
    pub fn step(&mut self, count: usize, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Value> {
        (0..count).map(|_| self.draw(from, to)).collect()
    }

    /// Events of a month that is closed already: they become the next invoice's adjustment.
    pub fn after_close(&mut self, count: usize, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Value> {
        (0..count).map(|_| self.usage(from, to)).collect()
    }

    fn draw(&mut self, from: DateTime<Utc>, to: DateTime<Utc>) -> Value {
        let mut lot = self.random.random_range(0..1_000_000u32);
        let mut hits = |share: u32| {
            let hit = lot < share;
            lot = lot.wrapping_sub(share);
            hit
        };
        if hits(DUPLICATES) {
            return self.repeat(|_, _| {}).unwrap_or_else(|| self.usage(from, to));
        }
        if hits(RETIMED_DUPLICATES) {
            return self
                .repeat(|event, _| event["time"] = to.to_rfc3339().into())
                .unwrap_or_else(|| self.usage(from, to));
        }
        if hits(CONFLICTS) {
            let altered = self.repeat(|event, lot| event["data"]["altered"] = format!("{lot:08x}").into());
            return altered.unwrap_or_else(|| self.usage(from, to));
        }
        if hits(TOO_LATE) {
            return self.usage(from - Duration::days(50), to - Duration::days(40));
        }
        if hits(IN_FUTURE) {
            return self.usage(to + Duration::hours(2), to + Duration::days(3));
        }
        if hits(MALFORMED) {
            return self.malformed(from, to);
        }
        if hits(UNKNOWN_TENANT) {
            let mut event = self.usage(from, to);
            event["tenantid"] = "nobody-we-know".into();
            return event;
        }
        if hits(LATE) {
            return self.usage(from - Duration::days(9), from);
        }
        self.usage(from, to)
    }

    fn repeat(&mut self, change: impl FnOnce(&mut Value, u32)) -> Option<Value> {
        if self.acknowledged.is_empty() {
            return None;
        }
        let place = self.random.random_range(0..self.acknowledged.len());
        let mut event = self.acknowledged[place].1.clone();
        change(&mut event, self.random.random());
        Some(event)
    }

    fn malformed(&mut self, from: DateTime<Utc>, to: DateTime<Utc>) -> Value {
        let mut event = self.usage(from, to);
        match self.random.random_range(0..4u8) {
            0 => event["id"] = "".into(),
            1 => event["time"] = "yesterday".into(),
            2 => event["specversion"] = "0.3".into(),
            _ => event["tenantid"] = "../../etc".into(),
        }
        event
    }

    fn usage(&mut self, from: DateTime<Utc>, to: DateTime<Utc>) -> Value {
        let span = to.signed_duration_since(from).num_milliseconds().max(1);
        let time = from + Duration::milliseconds(self.random.random_range(0..span));
        let mut place = self.random.random_range(0..self.weight);
        let mut chosen = 0;
        while place >= self.tenants[chosen].weight {
            place -= self.tenants[chosen].weight;
            chosen += 1;
        }
        let tenant = self.tenants[chosen].id;
        let region = REGIONS[self.random.random_range(0..REGIONS.len())];
        let (kind, data) = self.data(tenant, region);
        let id = self.next_id;
        self.next_id += 1;
        json!({
            "specversion": "1.0",
            "id": format!("evt-{id:08}"),
            "source": format!("//gateway.example.com/{region}"),
            "type": kind,
            "time": time.to_rfc3339_opts(SecondsFormat::Millis, true),
            "tenantid": tenant,
            "data": data,
        })
    }

    fn data(&mut self, tenant: &str, region: &str) -> (&'static str, Value) {
        match self.random.random_range(0..1000u32) {
            0..480 => {
                let model = MODELS[self.random.random_range(0..MODELS.len())];
                let (input, output) = (self.random.random_range(20..16_000u32), self.random.random_range(1..1_500u32));
                if self.random.random_range(0..400u32) == 0 {
                    // A sender that lost its count: no meter can read the text.
                    return (COMPLETION, json!({ "model": model, "input_tokens": input, "output_tokens": "unknown" }));
                }
                (COMPLETION, json!({ "model": model, "input_tokens": input, "output_tokens": output }))
            }
            480..940 => {
                let endpoint = ENDPOINTS[self.random.random_range(0..ENDPOINTS.len())];
                (API_REQUEST, json!({ "endpoint": endpoint, "region": region }))
            }
            940..965 => {
                let bytes = self.random.random_range(1_000_000u64..900_000_000_000);
                let gigabytes: Value =
                    serde_json::from_str(&format!("{}.{:09}", bytes / 1_000_000_000, bytes % 1_000_000_000))
                        .expect("digits, a point and digits are a number");
                (STORAGE, json!({ "gigabytes": gigabytes, "region": region }))
            }
            965..995 => (SEAT, json!({ "user": format!("{tenant}-{:03}", self.random.random_range(0..60u32)) })),
            _ => (PING, json!({ "region": region })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let start = DateTime::from_timestamp(1_790_812_800, 0).expect("in range");
        let draw = |seed| {
            let mut workload = Workload::new(seed);
            let first = workload.step(500, start, start + Duration::hours(6));
            first.iter().for_each(|event| workload.acknowledged(event.clone(), start));
            (first, workload.step(500, start, start + Duration::hours(6)))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
