//! The independent auditor. It shares no code with Talea: it reads the sender's journal of what was acknowledged, counts
//! and prices that by its own arithmetic, and compares the outcome with ClickHouse's rows and with what the API answers:
//! per tenant, meter and day to the last decimal, the sets of counted and of dead-lettered identities, every invoice.

mod evidence;

pub use evidence::Evidence;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use evidence::{clickhouse, decimal, instant, number, pages, text};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::BufRead;

#[derive(Default, Debug)]
pub struct Finding {
    pub counted: usize,
    pub dead_lettered: usize,
    pub quantities: usize,
    pub invoices: usize,
    /// Empty when everything agrees.
    pub differences: Vec<String>,
}

type Identity = (String, String, String);
/// (tenant, meter, local day) to quantity.
type Quantities = BTreeMap<(String, String, NaiveDate), Decimal>;
/// (instant of the event, its type, its data), and how many clock barriers were passed when it was acknowledged.
type Counted = HashMap<Identity, (DateTime<Utc>, String, Value, usize)>;

const LATE_DAYS: i64 = 35;
const FUTURE_MINUTES: i64 = 60;

/// Recounts and compares.
pub fn recount(evidence: &Evidence) -> Result<Finding> {
    let journal = std::io::BufReader::new(std::fs::File::open(&evidence.journal)?);
    let (mut setup, mut now, mut barriers) = (Value::Null, DateTime::UNIX_EPOCH, Vec::new());
    let (mut counted, mut dead, mut ever) = (Counted::new(), BTreeSet::new(), HashMap::new());
    for line in journal.lines() {
        let entry: Value = serde_json::from_str(&line?)?;
        if let Some(clock) = entry["clock"].as_str() {
            now = instant(clock)?;
        } else if let Some(barrier) = entry["barrier"].as_str() {
            barriers.push(instant(barrier)?);
        } else if entry["setup"].is_object() {
            setup = entry["setup"].clone();
        } else if entry["verdict"] == "accepted" {
            let event = &entry["event"];
            let identity = (text(event, "tenantid")?, text(event, "source")?, text(event, "id")?);
            let body = (event["type"].clone(), event["subject"].clone(), event["data"].clone());
            let time = instant(&text(event, "time")?)?;
            let window = now - Duration::days(LATE_DAYS) <= time && time <= now + Duration::minutes(FUTURE_MINUTES);
            match ever.get(&identity) {
                Some(first) if *first == body => {}
                Some(_) => drop(dead.insert(identity)),
                None if !window || setup["tenants"][&identity.0].is_null() => drop(dead.insert(identity)),
                None => {
                    counted
                        .insert(identity.clone(), (time, text(event, "type")?, event["data"].clone(), barriers.len()));
                    ever.insert(identity, body);
                }
            }
        }
    }
    let mut finding = Finding { counted: counted.len(), dead_lettered: dead.len(), ..Finding::default() };
    let rows = compare_rows(evidence, &counted, &dead, &mut finding)?;
    let expected = quantities(&setup, &counted, usize::MAX, |day| day)?;
    let stored = quantities(&setup, &rows, usize::MAX, |day| day)?;
    let answered = answered(evidence, &setup)?;
    finding.quantities = expected.len();
    for key in expected.keys().chain(stored.keys()).chain(answered.keys()).collect::<BTreeSet<_>>() {
        let of = |quantities: &Quantities| quantities.get(key).copied().unwrap_or_default();
        let (want, stored, api) = (of(&expected), of(&stored), of(&answered));
        if want != stored || want != api {
            finding.differences.push(format!("{key:?}: journal {want}, rows {stored}, API {api}"));
        }
    }
    compare_invoices(evidence, &setup, &counted, &barriers, &mut finding)?;
    Ok(finding)
}

fn compare_rows(e: &Evidence, counted: &Counted, dead: &BTreeSet<Identity>, finding: &mut Finding) -> Result<Counted> {
    let mut rows = Counted::new();
    let sql = "SELECT tenant_id, source, id, event_type, formatDateTime(time, '%Y-%m-%dT%H:%i:%S.%fZ') AS time, numbers, texts FROM usage_events FORMAT JSONEachRow";
    for row in clickhouse(e, sql)? {
        let identity = (text(&row, "tenant_id")?, text(&row, "source")?, text(&row, "id")?);
        let leaf = |(pointer, value): (&String, &Value)| (pointer[1..].to_owned(), value.clone());
        let numbers = row["numbers"].as_object().into_iter().flatten().map(leaf);
        let data: serde_json::Map<_, _> =
            row["texts"].as_object().into_iter().flatten().map(leaf).chain(numbers).collect();
        let Some((time, kind, body, _)) = counted.get(&identity) else {
            finding.differences.push(format!("{identity:?} is stored, but was not acknowledged as countable"));
            continue;
        };
        let same = |(name, value): (&String, &Value)| match decimal(value) {
            Some(want) => data.get(name).and_then(decimal) == Some(want),
            None => data.get(name) == Some(value),
        };
        let body = body.as_object().context("data is an object")?;
        if instant(&text(&row, "time")?)? != *time
            || row["event_type"] != **kind
            || body.len() != data.len()
            || !body.iter().all(same)
        {
            finding.differences.push(format!("{identity:?} is stored with another content: {row}"));
        }
        if rows.insert(identity.clone(), (*time, kind.clone(), Value::Object(data), 0)).is_some() {
            finding.differences.push(format!("{identity:?} is stored twice"));
        }
    }
    let missing = counted.keys().filter(|identity| !rows.contains_key(*identity));
    finding.differences.extend(missing.map(|identity| format!("{identity:?} was acknowledged and is not stored")));
    let letters = clickhouse(e, "SELECT DISTINCT tenant_id, source, id FROM dead_letters FORMAT JSONEachRow")?;
    let stored = letters.iter().map(|r| Ok((text(r, "tenant_id")?, text(r, "source")?, text(r, "id")?)));
    let stored: BTreeSet<Identity> = stored.collect::<Result<_>>()?;
    for identity in dead.symmetric_difference(&stored) {
        finding.differences.push(format!("{identity:?} is a dead letter on one side only"));
    }
    Ok(rows)
}

/// Every meter of the set-up over the events acknowledged before a barrier, by its own idea of the aggregations.
fn quantities(setup: &Value, events: &Counted, before: usize, label: fn(NaiveDate) -> NaiveDate) -> Result<Quantities> {
    let (mut quantities, mut seen) = (Quantities::new(), BTreeSet::new());
    for ((tenant, _, _), (time, kind, data, _)) in events.iter().filter(|(_, event)| event.3 <= before) {
        let day = label(time.with_timezone(&zone(setup, tenant)?).date_naive());
        for meter in setup["meters"].as_array().context("meters")?.iter().filter(|m| m["event_type"] == **kind) {
            let value = meter["field"].as_str().map(|pointer| &data[&pointer[1..]]);
            let entry = (tenant.clone(), text(meter, "key")?, day);
            let number = value.and_then(decimal).unwrap_or_default();
            match (text(meter, "aggregation")?.as_str(), value) {
                ("count", _) => *quantities.entry(entry).or_default() += Decimal::ONE,
                ("sum", _) => *quantities.entry(entry).or_default() += number,
                ("max", _) => {
                    let most = quantities.entry(entry).or_default();
                    *most = number.max(*most);
                }
                ("unique_count", Some(Value::String(value))) => {
                    if seen.insert((entry.clone(), value.clone())) {
                        *quantities.entry(entry).or_default() += Decimal::ONE;
                    }
                }
                (other, _) => bail!("the auditor does not know the aggregation {other}"),
            }
        }
    }
    quantities.retain(|_, quantity| !quantity.is_zero());
    Ok(quantities)
}

fn zone(setup: &Value, tenant: &str) -> Result<Tz> {
    text(&setup["tenants"][tenant], "zone")?.parse().map_err(|error| anyhow::anyhow!("{error}"))
}

fn compare_invoices(
    e: &Evidence,
    setup: &Value,
    events: &Counted,
    barriers: &[DateTime<Utc>],
    finding: &mut Finding,
) -> Result<()> {
    let by_month = |before| quantities(setup, events, before, |day| day.with_day(1).unwrap_or(day));
    let at_barrier = (0..barriers.len()).map(by_month).collect::<Result<Vec<_>>>()?;
    let grace = Duration::hours(setup["grace_hours"].as_i64().context("grace_hours")?);
    for (tenant, terms) in setup["tenants"].as_object().context("tenants")? {
        let (currency, first) = (text(terms, "currency")?, text(terms, "start")?.parse::<NaiveDate>()?);
        let places = u32::try_from(terms["exponent"].as_u64().context("exponent")?)?;
        let months = |before: NaiveDate| {
            (0..).map_while(move |n| first.checked_add_months(Months::new(n))).take_while(move |m| *m < before)
        };
        let (mut billed, mut expected) = (BTreeMap::new(), Vec::new());
        for month in months(NaiveDate::MAX) {
            let midnight = zone(setup, tenant)?.from_local_datetime(&month.and_time(NaiveTime::MIN)).earliest();
            let moment = midnight.context("a local midnight")?.to_utc();
            let Some(barrier) = barriers.iter().position(|barrier| moment + grace <= *barrier) else { break };
            let mut total = Decimal::ZERO;
            for price in setup["plans"][text(terms, "plan")?]["prices"].as_array().context("prices")? {
                let model = &price["model"];
                let Some(meter) = model["meter"].as_str() else {
                    total += number(&model["amount"][&currency])?;
                    continue;
                };
                for past in months(month) {
                    let quantity = at_barrier[barrier].get(&(tenant.clone(), meter.to_owned(), past)).copied();
                    let owed = rate(model, &currency, quantity.unwrap_or_default())?
                        .round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
                    total += owed - billed.insert((text(price, "key")?, past), owed).unwrap_or_default();
                }
            }
            expected.extend(Some(total).filter(|total| !total.is_zero()));
        }
        let mut actual = Vec::new();
        for invoice in pages(e, &format!("/v1/invoices?tenant_id={tenant}&status=finalized"))? {
            actual.push((text(&invoice, "issue_date")?, text(&invoice["total"], "amount")?.parse::<Decimal>()?));
        }
        actual.sort();
        let actual: Vec<_> = actual.into_iter().map(|(_, total)| total).collect();
        finding.invoices += expected.len();
        if actual != expected {
            finding.differences.push(format!("invoices of {tenant}: expected {expected:?}, issued {actual:?}"));
        }
    }
    Ok(())
}

/// A usage price: one unit amount, or tiers over what is left after the included quantity.
fn rate(model: &Value, currency: &str, quantity: Decimal) -> Result<Decimal> {
    let included = if model["included"].is_null() { Decimal::ZERO } else { number(&model["included"])? };
    let rest = (quantity - included).max(Decimal::ZERO);
    let Some(tiers) = model["tiers"].as_array() else { return Ok(rest * number(&model["unit_amount"][currency])?) };
    let (mut from, mut amount) = (Decimal::ZERO, Decimal::ZERO);
    for tier in tiers {
        let up_to = if tier["up_to"].is_null() { rest } else { number(&tier["up_to"])?.min(rest) };
        amount += (up_to - from).max(Decimal::ZERO) * number(&tier["unit_amount"][currency])?;
        from = up_to.max(from);
    }
    Ok(amount)
}

fn answered(e: &Evidence, setup: &Value) -> Result<Quantities> {
    let (mut answered, (from, to)) = (Quantities::new(), (text(setup, "from")?, text(setup, "to")?));
    for (tenant, terms) in setup["tenants"].as_object().context("tenants")? {
        for meter in setup["meters"].as_array().context("meters")? {
            let (meter, zone) = (text(meter, "key")?, text(terms, "zone")?);
            let path =
                format!("/v1/usage?tenant_id={tenant}&meter={meter}&from={from}&to={to}&window=day&time_zone={zone}");
            for row in pages(e, &path)?.iter().filter(|row| row["value"].is_string()) {
                let day = instant(&text(row, "window_start")?)?.with_timezone(&self::zone(setup, tenant)?).date_naive();
                answered.insert((tenant.clone(), meter.clone(), day), number(&row["value"])?);
            }
        }
    }
    answered.retain(|_, quantity| !quantity.is_zero());
    Ok(answered)
}
