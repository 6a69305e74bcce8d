//! The independent auditor. It shares no code with Talea: it reads the sender's journal of what was acknowledged, counts
//! and prices that by its own arithmetic, and compares the outcome with ClickHouse's rows and with what the API answers:
//! per tenant, meter and day to the last decimal, the sets of counted and of dead-lettered identities, every invoice.

mod evidence;
mod pricing;

pub use evidence::Evidence;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Duration, NaiveDate, Utc};
use evidence::{Identity, clickhouse, identity, instant, leaves, number, pages, rows, text, zone};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::BufRead;

/// How much was compared, and every difference.
#[derive(Default)]
pub struct Finding {
    pub counted: usize,
    pub dead_lettered: usize,
    pub quantities: usize,
    pub invoices: usize,
    pub differences: Vec<String>,
}

/// Time, type, leaves of `data` in one spelling, and how many rows hold the identity.
type Event = (DateTime<Utc>, String, BTreeMap<String, String>, usize);
/// Tenant, meter, first day.
type Quantities = BTreeMap<(String, String, NaiveDate), Decimal>;

/// The window of a late event, and of one from the future.
const LATE: Duration = Duration::days(35);
const FUTURE: Duration = Duration::minutes(60);

/// Recounts and compares.
pub fn recount(e: &Evidence) -> Result<Finding> {
    let (mut setup, mut now, mut barriers) = (Value::Null, DateTime::UNIX_EPOCH, Vec::new());
    let (mut counted, mut dead, mut bodies, mut passed) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for line in std::io::BufReader::new(std::fs::File::open(&e.journal)?).lines() {
        let entry: Value = serde_json::from_str(&line?)?;
        let event = &entry["event"];
        if let Some(clock) = entry["clock"].as_str() {
            now = instant(clock)?;
        } else if let Some(barrier) = entry["barrier"].as_str() {
            barriers.push(instant(barrier)?);
        } else if entry["setup"].is_object() {
            setup = entry["setup"].clone();
        } else if entry["verdict"] == "accepted" {
            let (id, time) = (identity(event, "tenantid")?, instant(&text(event, "time")?)?);
            let body = (event["type"].clone(), event["subject"].clone(), event["data"].clone());
            let in_window = now - LATE <= time && time <= now + FUTURE && setup["tenants"].get(&id.0).is_some();
            match bodies.get(&id) {
                None if in_window => {
                    let data = leaves(event["data"].as_object().context("data")?);
                    counted.insert(id.clone(), (time, text(event, "type")?, data, 1));
                    passed.insert(id.clone(), barriers.len());
                    bodies.insert(id, body);
                }
                Some(first) if *first == body => {}
                _ => drop(dead.insert(id, ())),
            }
        }
    }
    let (stored, letters) = stored(e)?;
    let per_day = |events| quantities(&setup, events, |_| true, |day| day);
    let (days, asked) = (per_day(&counted)?, answered(e, &setup)?);
    let (owed, issued) = (pricing::invoices(&setup, &counted, &passed, &barriers)?, issued(e, &setup)?);
    let mut finding =
        Finding { counted: counted.len(), dead_lettered: dead.len(), quantities: days.len(), ..Finding::default() };
    finding.invoices = owed.values().map(Vec::len).sum();
    differ("event", &counted, &stored, &mut finding.differences);
    differ("dead letter", &dead, &letters, &mut finding.differences);
    differ("quantity of the rows", &days, &per_day(&stored)?, &mut finding.differences);
    differ("quantity by the API", &days, &asked, &mut finding.differences);
    differ("invoices", &owed, &issued, &mut finding.differences);
    Ok(finding)
}

fn differ<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    want: &BTreeMap<K, V>,
    have: &BTreeMap<K, V>,
    out: &mut Vec<String>,
) {
    for key in want.keys().chain(have.keys()).collect::<BTreeSet<_>>() {
        match (want.get(key), have.get(key)) {
            (None, Some(have)) => out.push(format!("extra {what} {key:?}: {have:?}")),
            (Some(want), None) => out.push(format!("missing {what} {key:?}: {want:?}")),
            (Some(want), Some(have)) if want != have => {
                out.push(format!("altered {what} {key:?}: {have:?} instead of {want:?}"))
            }
            _ => {}
        }
    }
}

fn stored(e: &Evidence) -> Result<(BTreeMap<Identity, Event>, BTreeMap<Identity, ()>)> {
    let mut stored: BTreeMap<Identity, Event> = BTreeMap::new();
    let columns =
        "tenant_id, source, id, event_type, formatDateTime(time, '%Y-%m-%dT%H:%i:%S.%fZ') AS time, numbers, texts";
    for row in clickhouse(e, &format!("SELECT {columns} FROM usage_events FORMAT JSONEachRow"))? {
        let both = ["numbers", "texts"].into_iter().filter_map(|name| row[name].as_object()).flatten();
        let data = leaves(&both.map(|(pointer, value)| (pointer[1..].to_owned(), value.clone())).collect());
        let event = (instant(&text(&row, "time")?)?, text(&row, "event_type")?, data, 1);
        stored.entry(identity(&row, "tenant_id")?).and_modify(|held| held.3 += 1).or_insert(event);
    }
    let letters = clickhouse(e, "SELECT DISTINCT tenant_id, source, id FROM dead_letters FORMAT JSONEachRow")?;
    Ok((stored, letters.iter().map(|row| Ok((identity(row, "tenant_id")?, ()))).collect::<Result<_>>()?))
}

/// Every meter of the set-up over some events, by its own idea of the aggregations.
fn quantities(
    setup: &Value,
    events: &BTreeMap<Identity, Event>,
    take: impl Fn(&Identity) -> bool,
    label: fn(NaiveDate) -> NaiveDate,
) -> Result<Quantities> {
    let (mut quantities, mut seen) = (Quantities::new(), BTreeSet::new());
    for (id, (time, kind, data, _)) in events.iter().filter(|(id, _)| take(id)) {
        let day = label(time.with_timezone(&zone(setup, &id.0)?).date_naive());
        for meter in rows(&setup["meters"])?.iter().filter(|meter| meter["event_type"] == **kind) {
            let value =
                meter["field"].as_str().and_then(|pointer| data.get(&pointer[1..])).cloned().unwrap_or_default();
            let key = (id.0.clone(), text(meter, "key")?, day);
            let number: Decimal = value.parse().unwrap_or_default();
            let (held, one) = (quantities.get(&key).copied().unwrap_or_default(), Decimal::ONE);
            let total = match text(meter, "aggregation")?.as_str() {
                "count" => held + one,
                "sum" => held + number,
                "max" => held.max(number),
                "unique_count" => held + if seen.insert((key.clone(), value)) { one } else { Decimal::ZERO },
                other => bail!("the auditor does not know the aggregation {other}"),
            };
            quantities.insert(key, total);
        }
    }
    quantities.retain(|_, quantity| !quantity.is_zero());
    Ok(quantities)
}

fn issued(e: &Evidence, setup: &Value) -> Result<BTreeMap<String, Vec<Decimal>>> {
    let (mut dated, mut all) = (Vec::new(), BTreeMap::new());
    for invoice in pages(e, "/v1/invoices?status=finalized")? {
        dated.push((text(&invoice, "issue_date")?, text(&invoice, "tenant_id")?, number(&invoice["total"]["amount"])?));
    }
    dated.sort();
    for (_, tenant, total) in dated.into_iter().filter(|(_, tenant, _)| setup["tenants"].get(tenant).is_some()) {
        all.entry(tenant).or_insert_with(Vec::new).push(total);
    }
    Ok(all)
}

fn answered(e: &Evidence, setup: &Value) -> Result<Quantities> {
    let (mut answered, from, to) = (Quantities::new(), text(setup, "from")?, text(setup, "to")?);
    for tenant in setup["tenants"].as_object().context("tenants")?.keys() {
        for meter in rows(&setup["meters"])? {
            let (meter, zone) = (text(meter, "key")?, zone(setup, tenant)?);
            let path =
                format!("/v1/usage?tenant_id={tenant}&meter={meter}&from={from}&to={to}&window=day&time_zone={zone}");
            for row in pages(e, &path)?.iter().filter(|row| row["value"].is_string()) {
                let day = instant(&text(row, "window_start")?)?.with_timezone(&zone).date_naive();
                answered.insert((tenant.clone(), meter.clone(), day), number(&row["value"])?);
            }
        }
    }
    answered.retain(|_, quantity| !quantity.is_zero());
    Ok(answered)
}
