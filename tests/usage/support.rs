//! Random usage from a seed, and its storage. The texts are chosen to hurt: quotes, backslashes, question marks, numbers in the place
//! of texts and the other way round.

use chrono::{DateTime, Duration, TimeZone, Utc};
use rust_decimal::Decimal;
use talea_domain::event::{UsageEvent, identity_of};
use talea_domain::id::{MeterKey, TenantId};
use talea_domain::meter::{Aggregation, Dimension, Filter, MeterDefinition};
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::insert::{Fence, Table, statement};
use talea_platform::usage::rows::{StoredEvent, encode_event};
use talea_platform::usage::{dirty::DirtyBucket, fence};

pub const TOPIC: &str = "talea.usage.v1";
pub const PARTITIONS: u32 = 4;

/// SplitMix64: small, seeded, the same on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    pub fn time(&mut self, from: DateTime<Utc>, to: DateTime<Utc>) -> DateTime<Utc> {
        let span = (to - from).num_nanoseconds().expect("test ranges are short") as u64;
        let time = from + Duration::nanoseconds(self.below(span) as i64);
        // Borders are where mistakes live.
        let bucket = talea_domain::meter::bucket_start(time);
        match self.below(8) {
            0 => bucket,
            1 => bucket + Duration::nanoseconds(1),
            2 => bucket + Duration::seconds(900) - Duration::nanoseconds(1),
            _ => time,
        }
    }
}

pub fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("a tenant id")
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

pub const MODELS: [&str; 6] = ["small", "it's", r"back\slash", "what?", "große", ""];

fn number(dice: &mut Dice) -> Decimal {
    let scale = dice.pick(&[0, 0, 0, 1, 2, 6, 12, 18]);
    let digits = if scale == 18 { 10i64.pow(18) } else { 10i64.pow(dice.below(9) as u32 + 1) };
    let mantissa = (dice.roll() % digits as u64) as i64;
    Decimal::new(if dice.one_in(6) { -mantissa } else { mantissa }, scale)
}

/// A random event of one of two types; `serial` makes its identity.
pub fn event(dice: &mut Dice, tenant: &TenantId, serial: u64, from: DateTime<Utc>, to: DateTime<Utc>) -> UsageEvent {
    let (source, id) = ("app".to_owned(), format!("e{serial}"));
    let (mut numbers, mut texts, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    match dice.below(12) {
        0 => {}
        1 => texts.push(("/tokens".to_owned(), "many".to_owned())),
        2 => {
            texts.push(("/tokens".to_owned(), "1e300".to_owned()));
            unreadable.push("/tokens".to_owned());
        }
        _ => numbers.push(("/tokens".to_owned(), number(dice))),
    }
    match dice.below(8) {
        0 => {}
        1 => numbers.push(("/model".to_owned(), Decimal::new(150, 2))),
        _ => texts.push(("/model".to_owned(), dice.pick(&MODELS).to_owned())),
    }
    match dice.below(4) {
        0 => {}
        1 => numbers.push(("/region".to_owned(), Decimal::new(dice.below(3) as i64 * 10, 1))),
        _ => texts.push(("/region".to_owned(), dice.pick(&["eu", "us"]).to_owned())),
    }
    let identity = identity_of(tenant, &source, &id);
    UsageEvent {
        tenant: tenant.clone(),
        source,
        id,
        event_type: dice.pick(&["api.call", "api.call", "storage"]).to_owned(),
        subject: dice.one_in(3).then(|| "user-1".to_owned()),
        time: dice.time(from, to),
        numbers,
        texts,
        unreadable,
        identity,
        body_hash: (u128::from(dice.roll()) << 64) | u128::from(dice.roll()),
    }
}

/// Gives events their places in the log, by identity as a producer would.
pub fn place(
    events: Vec<UsageEvent>,
    next: &mut [u64; PARTITIONS as usize],
    log_time: DateTime<Utc>,
) -> Vec<StoredEvent> {
    events
        .into_iter()
        .map(|event| {
            let partition = (event.identity.0 % u128::from(PARTITIONS)) as u32;
            let offset = next[partition as usize];
            next[partition as usize] += 1;
            StoredEvent { event, partition, offset, epoch: 1, log_time, backfill: false }
        })
        .collect()
}

pub fn own(partition: u32, epoch: u64) -> Fence {
    Fence { topic: TOPIC.to_owned(), partition, epoch }
}

/// Takes every partition with epoch 1.
pub async fn own_all(clickhouse: &ClickHouse) {
    for partition in 0..PARTITIONS {
        fence::take(clickhouse, &own(partition, 1)).await.expect("partition taken");
    }
}

/// Stores events as metering does: one insert per partition.
pub async fn store(clickhouse: &ClickHouse, rows: &[StoredEvent], attempt: u64) {
    for partition in 0..PARTITIONS {
        let mut body = Vec::new();
        for row in rows.iter().filter(|row| row.partition == partition) {
            encode_event(&mut body, row).expect("a storable event");
        }
        if body.is_empty() {
            continue;
        }
        let fence = own(partition, 1);
        let id = fence.query_id(Table::Events, attempt);
        clickhouse.insert_whole(&statement(Table::Events, &fence), body.into(), &id).await.expect("stored");
    }
}

pub fn dirty_of(rows: &[StoredEvent]) -> Vec<DirtyBucket> {
    let mut dirty: Vec<DirtyBucket> =
        rows.iter().map(|row| DirtyBucket::of(&row.event.tenant, &row.event.event_type, row.event.time)).collect();
    dirty.sort();
    dirty.dedup();
    dirty
}

/// A meter of each aggregation and shape.
pub fn meter(dice: &mut Dice, key: &str, aggregation: Aggregation) -> MeterDefinition {
    let dimension = |name: &str, field: &str| Dimension { name: name.to_owned(), field: field.to_owned() };
    let filters = match dice.below(4) {
        0 => vec![Filter {
            field: "/model".to_owned(),
            one_of: vec!["it's".to_owned(), "1.5".to_owned(), String::new()],
        }],
        1 => vec![Filter {
            field: "/region".to_owned(),
            one_of: vec!["eu".to_owned(), "2".to_owned(), r"\'".to_owned()],
        }],
        _ => Vec::new(),
    };
    let dimensions = match dice.below(3) {
        0 => Vec::new(),
        1 => vec![dimension("region", "/region")],
        _ => vec![dimension("model", "/model"), dimension("region", "/region")],
    };
    let field = match aggregation {
        Aggregation::Count => None,
        Aggregation::UniqueCount => Some(dice.pick(&["/tokens", "/model"]).to_owned()),
        _ => Some("/tokens".to_owned()),
    };
    MeterDefinition {
        key: MeterKey::parse(key).expect("a meter key"),
        version: 1,
        event_type: "api.call".to_owned(),
        aggregation,
        field,
        filters,
        dimensions,
        unit: None,
        created_at: Utc.timestamp_opt(0, 0).single().expect("a time"),
    }
}
