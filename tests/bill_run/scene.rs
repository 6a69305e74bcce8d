//! Many subscriptions with a month of usage, as onboarding and metering leave them, but written in bulk: decisions by
//! the journal's own append, usage by one statement in ClickHouse. Every quantity follows from the subscription's number,
//! so that what is owed can be told by integers alone.

use crate::harness::Stage;
use crate::harness::stage::{PARTITIONS, START};
use chrono::{DateTime, TimeZone, Utc};
use serde_json::json;
use talea_domain::id::{SubscriptionId, TenantId};
use talea_domain::journal::JournalEvent;
use talea_domain::meter::MeterDefinition;
use talea_domain::money::Currency;
use talea_domain::plan::PlanVersion;
use talea_domain::subscription::{StartOptions, StartTerms, SubscriptionCommand, decide};
use talea_domain::tenant::{Tenant, TenantScope};
use talea_platform::clickhouse::ClickHouse;
use talea_platform::journal::{Decision, append};
use talea_platform::log::topic;
use talea_platform::postgres::WorkerPool;

/// When the run is made: after the grace of September.
pub const NOW: &str = START;
const EVENTS_EACH: u64 = 10;
/// Subscriptions of one append: a tenant and a subscription each.
const CHUNK: u64 = 2_000;
/// Events of one statement.
const EVENTS_OF_INSERT: u64 = 1_000_000;
const ZONES: [chrono_tz::Tz; 4] =
    [chrono_tz::UTC, chrono_tz::Europe::Berlin, chrono_tz::America::New_York, chrono_tz::Asia::Tokyo];

pub struct Scene {
    pub count: u64,
}

impl Scene {
    pub fn events(&self) -> u64 {
        self.count * EVENTS_EACH
    }

    pub async fn onboard(&self, stage: &Stage) {
        let platform = stage.platform().await;
        let plan = plan();
        let mut decisions: Vec<Decision> = meters().into_iter().map(JournalEvent::MeterDefined).map(global).collect();
        decisions.push(global(JournalEvent::PlanPublished(plan.clone())));
        record(&platform.databases.worker, decisions).await;
        for first in (0..self.count).step_by(CHUNK as usize) {
            let chunk = first..self.count.min(first + CHUNK);
            record(&platform.databases.worker, chunk.flat_map(|number| subscriber(number, &plan)).collect()).await;
        }
        self.store_usage(&platform.clickhouse).await;
        self.pretend_metered(stage).await;
    }

    /// `usage_events`, as metering would have written them.
    async fn store_usage(&self, clickhouse: &ClickHouse) {
        for first in (0..self.events()).step_by(EVENTS_OF_INSERT as usize) {
            let many = EVENTS_OF_INSERT.min(self.events() - first);
            let statement = format!(
                "INSERT INTO usage_events (tenant_id, event_type, time, identity, body_hash, source, id, numbers, \
                    partition, offset, epoch, log_time, backfill) \
                 SELECT concat('t', leftPad(toString(s), 7, '0')), 'api.call', \
                    toDateTime64('2026-09-02 06:00:00', 9, 'UTC') + toIntervalHour(e * 60), \
                    reinterpretAsUInt128(sipHash128(number)), reinterpretAsUInt128(sipHash128(number, 'body')), '/api', \
                    toString(number), map('/tokens', toDecimal128((s * 7919 + e * 104729) % 500000, 18), \
                    '/gigabytes', toDecimal128((s * 31 + e * 17) % 1000, 18)), \
                    number % {PARTITIONS}, intDiv(number, {PARTITIONS}), 1, toDateTime64('2026-10-01 00:00:00', 6, 'UTC'), 0 \
                 FROM (SELECT number, intDiv(number, {EVENTS_EACH}) AS s, number % {EVENTS_EACH} AS e \
                    FROM numbers({first}, {many}))"
            );
            clickhouse.execute(clickhouse.query(&statement)).await.expect("is stored");
        }
    }

    /// The log ends where the stored events end, and metering has committed all of it.
    async fn pretend_metered(&self, stage: &Stage) {
        let mut admin = crate::admin(stage).await;
        let end = i64::try_from(self.events().div_ceil(u64::from(PARTITIONS))).expect("fits");
        for statement in [
            "UPDATE log.partitions SET next_offset = $2 WHERE topic = $1",
            "INSERT INTO log.groups (group_name, topic) SELECT 'talea-metering', $1 WHERE $2 >= 0 ON CONFLICT DO NOTHING",
            "INSERT INTO log.group_partitions (group_name, topic, partition, next_offset) \
                SELECT 'talea-metering', topic, partition, $2 FROM log.partitions WHERE topic = $1 \
                ON CONFLICT (group_name, topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
        ] {
            let statement = sqlx::query(statement).bind(topic::USAGE).bind(end);
            statement.execute(&mut admin).await.expect("the log's own tables");
        }
    }

    /// What all invoices together owe, in cents, by integers and by nothing that bills.
    pub fn owed(&self) -> i64 {
        (0..self.count).map(owed).sum()
    }
}

/// Tokens cost 30 and 21 ten-millionths of a dollar, a gigabyte 23 thousandths; each line is rounded once.
fn owed(subscription: u64) -> i64 {
    let events = 0..EVENTS_EACH;
    let tokens: u64 = events.clone().map(|event| (subscription * 7919 + event * 104_729) % 500_000).sum();
    let gigabytes = events.map(|event| (subscription * 31 + event * 17) % 1000).max().unwrap_or(0);
    let tokens = (tokens.min(1_000_000) * 30 + tokens.saturating_sub(1_000_000) * 21 + 50_000) / 100_000;
    let gigabytes = (gigabytes * 23 + 5) / 10;
    (4_900 + (EVENTS_EACH - 4) * 10 + tokens + gigabytes + 999) as i64
}

fn meters() -> Vec<MeterDefinition> {
    let meter = |key: &str, aggregation: &str, field: Option<&str>| {
        json!({ "key": key, "version": 1, "event_type": "api.call", "aggregation": aggregation, "field": field,
            "created_at": NOW })
    };
    let meters = [
        meter("calls", "count", None),
        meter("tokens", "sum", Some("/tokens")),
        meter("storage", "max", Some("/gigabytes")),
    ];
    meters.into_iter().map(|meter| serde_json::from_value(meter).expect("a meter")).collect()
}

/// Five lines on each invoice.
fn plan() -> PlanVersion {
    let flat = |amount: &str| json!({ "type": "flat", "timing": "in_arrears", "amount": { "USD": amount } });
    let price = |key: &str, model| json!({ "key": key, "name": key, "model": model });
    let calls = json!({ "type": "per_unit", "meter": "calls", "included": "4", "unit_amount": { "USD": "0.10" } });
    let tokens = json!({ "type": "graduated", "meter": "tokens", "tiers": [
        { "up_to": "1000000", "unit_amount": { "USD": "0.000003" } }, { "unit_amount": { "USD": "0.0000021" } }] });
    let storage = json!({ "type": "per_unit", "meter": "storage", "unit_amount": { "USD": "0.023" } });
    let prices = [
        price("base", flat("49")),
        price("calls", calls),
        price("tokens", tokens),
        price("storage", storage),
        price("support", flat("9.99")),
    ];
    let plan = json!({ "key": "scale", "version": 1, "name": "Scale", "prices": prices });
    serde_json::from_value(plan).expect("a plan")
}

/// A tenant and its subscription from the first of September of its zone.
fn subscriber(number: u64, plan: &PlanVersion) -> [Decision; 2] {
    let tenant_id = TenantId::parse(&format!("t{number:07}")).expect("a tenant id");
    let zone = ZONES[number as usize % ZONES.len()];
    let tenant = Tenant { tenant_id: tenant_id.clone(), zone, party_version: 0, created_at: now() };
    let terms = StartTerms {
        id: SubscriptionId::parse(&format!("sub{number:07}")).expect("an id"),
        tenant: tenant_id.clone(),
        currency: Currency::parse("USD").expect("a currency"),
        zone,
        calendar: None,
        anchor_day: None,
        start_at: zone.with_ymd_and_hms(2026, 9, 1, 0, 0, 0).single().expect("a midnight").to_utc(),
        end_at: None,
        options: StartOptions::default(),
    };
    let started = decide(None, &SubscriptionCommand::Start { terms, plan }, now()).expect("it may start");
    [JournalEvent::TenantCreated(tenant), started].map(|event| decision(TenantScope::from(&tenant_id), event))
}

fn global(event: JournalEvent) -> Decision {
    decision(TenantScope::Global, event)
}

fn decision(tenant: TenantScope, event: JournalEvent) -> Decision {
    Decision {
        tenant,
        expected_version: None,
        event,
        effective_at: now(),
        recorded_at: now(),
        actor: "bench".to_owned(),
        idempotency_key: None,
    }
}

async fn record(worker: &WorkerPool, decisions: Vec<Decision>) {
    let mut tx = worker.begin().await.expect("begins");
    append(&mut tx, decisions).await.expect("is recorded");
    tx.commit().await.expect("commits");
}

fn now() -> DateTime<Utc> {
    NOW.parse().expect("a time")
}
