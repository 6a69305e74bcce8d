//! The independent auditor. It shares no code with Talea: it counts and prices the sender's journal by itself, and
//! compares the outcome with ClickHouse's rows and the API's answers: quantities per tenant, meter and day to the last
//! decimal, the sets of counted and of dead-lettered identities, and the total of every invoice.

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, NaiveTime, Utc};
use rust_decimal::{Decimal, RoundingStrategy::MidpointAwayFromZero};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Deserializer, Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::{BufRead, BufReader};

/// Where the evidence is.
pub struct Evidence {
    pub journal: std::path::PathBuf,
    pub api: String,
    pub api_key: String,
    pub clickhouse: String,
    pub clickhouse_user: String,
    pub clickhouse_password: String,
    pub clickhouse_database: String,
}

/// How much was compared, and every difference.
pub struct Finding {
    pub counted: usize,
    pub dead_lettered: usize,
    pub quantities: usize,
    pub invoices: usize,
    pub differences: Vec<String>,
}

/// By tenant, source and id: type, subject and data; time; how many rows hold the identity.
type Events = BTreeMap<(String, String, String), (Body, DateTime<Utc>, u32)>;
type Body = (String, Option<String>, BTreeMap<String, String>);
/// By tenant, meter and first day.
type Quantities = BTreeMap<(String, String, NaiveDate), Decimal>;
/// By tenant and billed moment: the total of every document.
type Invoices = BTreeMap<(String, DateTime<Utc>), Vec<Decimal>>;

const COUNTED: &str = "SELECT (tenant_id, source, id), ((event_type, nullIf(subject, ''), mapConcat(
    numbers::Map(String, String), mapApply((field, text) -> (field, toJSONString(text)), texts::Map(String, String)))),
    time, count() OVER (PARTITION BY tenant_id, source, id)::UInt32) FROM usage_events
    SETTINGS date_time_output_format = 'iso', output_format_json_escape_forward_slashes = 0";

/// Recounts and compares. An acknowledged event counts when it is new, of a known tenant, at most 35 days late and an
/// hour early; the same again, at whatever time, changes nothing; anything else is a dead letter.
pub fn recount(e: &Evidence) -> Result<Finding> {
    let (mut setup, mut now, mut closings) = (Value::Null, DateTime::UNIX_EPOCH, Vec::new());
    let (mut counted, mut dead) = (Events::new(), BTreeMap::new());
    for line in BufReader::new(std::fs::File::open(&e.journal)?).lines() {
        let entry: Value = serde_json::from_str(&line?)?;
        setup = at::<Option<Value>>(&entry, "/setup")?.unwrap_or(setup);
        now = at::<Option<DateTime<Utc>>>(&entry, "/clock")?.unwrap_or(now);
        if let Some(moment) = at(&entry, "/barrier")? {
            closings.push((moment, quantities(&setup, &counted, |day| day.with_day(1).unwrap_or(day))?));
        } else if entry["verdict"] == "accepted" {
            let id = (at(&entry, "/event/tenantid")?, at(&entry, "/event/source")?, at(&entry, "/event/id")?);
            let body = (at(&entry, "/event/type")?, at(&entry, "/event/subject")?, spelled(at(&entry, "/event/data")?));
            let time = at(&entry, "/event/time")?;
            let in_time = now - Duration::days(35) <= time && time <= now + Duration::hours(1);
            match counted.get(&id) {
                None if in_time && setup["tenants"].get(&id.0).is_some() => drop(counted.insert(id, (body, time, 1))),
                Some((first, ..)) if *first == body => {}
                _ => drop(dead.insert(id, true)),
            }
        }
    }
    let mut issued = Invoices::new();
    for invoice in api(e, "invoices?status=finalized")? {
        let moment = (at(&invoice, "/tenant_id")?, at(&invoice, "/billed_at")?);
        issued.entry(moment).or_default().push(at(&invoice, "/total/amount")?);
    }
    let (days, owed) = (quantities(&setup, &counted, |day| day)?, invoices(&setup, &closings)?);
    let differences = [
        compare("event", &counted, rows(e, COUNTED)?),
        compare("dead letter", &dead, rows(e, "SELECT DISTINCT (tenant_id, source, id), true FROM dead_letters")?),
        compare("quantity", &days, answered(e, &setup)?),
        compare("invoice", &owed, issued),
    ];
    let (counted, dead_lettered, quantities, invoices) = (counted.len(), dead.len(), days.len(), owed.len());
    Ok(Finding { counted, dead_lettered, quantities, invoices, differences: differences.concat() })
}

/// Values by pointer: numbers without trailing zeros, texts in quotes.
fn spelled(data: Map<String, Value>) -> BTreeMap<String, String> {
    let spell = |value: String| value.parse::<Decimal>().map_or(value, |number| number.normalize().to_string());
    data.into_iter().map(|(name, value)| (format!("/{name}"), spell(value.to_string()))).collect()
}

/// Every meter over all that counts, by this auditor's own idea of the aggregations.
fn quantities(setup: &Value, counted: &Events, first: fn(NaiveDate) -> NaiveDate) -> Result<Quantities> {
    let (mut quantities, mut seen) = (Quantities::new(), BTreeSet::new());
    let meters: Vec<Value> = at(setup, "/meters")?;
    for ((tenant, ..), ((kind, _, data), time, _)) in counted {
        let day = first(time.with_timezone(&at::<chrono_tz::Tz>(&setup["tenants"][tenant], "/zone")?).date_naive());
        for meter in meters.iter().filter(|meter| meter["event_type"] == **kind) {
            let value = meter["field"].as_str().and_then(|field| data.get(field));
            let number = value.and_then(|value| value.parse::<Decimal>().ok()).unwrap_or_default();
            let key = (tenant.clone(), at(meter, "/key")?, day);
            let total = quantities.entry(key.clone()).or_default();
            *total = match at(meter, "/aggregation")? {
                "sum" => *total + number,
                "max" => number.max(*total),
                "count" => *total + Decimal::ONE,
                "unique_count" => *total + Decimal::from(u8::from(seen.insert((key, value)))),
                other => bail!("the auditor does not know the aggregation {other}"),
            };
        }
    }
    Ok(quantities)
}

/// As each month begins: all prices in advance, and what all usage before it is worth by now, less all that was billed.
fn invoices(setup: &Value, closings: &[(DateTime<Utc>, Quantities)]) -> Result<Invoices> {
    let (mut invoices, grace) = (Invoices::new(), Duration::hours(at(setup, "/grace_hours")?));
    for (tenant, terms) in at::<Map<_, _>>(setup, "/tenants")? {
        let (start, zone): (NaiveDate, chrono_tz::Tz) = (at(&terms, "/start")?, at(&terms, "/zone")?);
        let (currency, places): (&str, u32) = (at(&terms, "/currency")?, at(&terms, "/exponent")?);
        let prices: Vec<Value> = at(&setup["plans"][at::<&str>(&terms, "/plan")?], "/prices")?;
        let (mut in_advance, mut billed) = (Decimal::ZERO, Decimal::ZERO);
        for month in (0..).map(|months| start + Months::new(months)) {
            let midnight = month.and_time(NaiveTime::MIN).and_local_timezone(zone).earliest().context("midnight")?;
            let Some((_, usage)) = closings.iter().find(|(moment, _)| midnight + grace <= *moment) else { break };
            let mut worth = Decimal::ZERO;
            for model in prices.iter().map(|price| &price["model"]) {
                in_advance += at::<Option<Decimal>>(model, &format!("/amount/{currency}"))?.unwrap_or_default();
                let key = |day| (tenant.clone(), model["meter"].as_str().unwrap_or_default().to_owned(), day);
                for (_, quantity) in usage.range(key(start)..key(month)) {
                    worth += rate(model, currency, *quantity)?.round_dp_with_strategy(places, MidpointAwayFromZero);
                }
            }
            invoices.insert((tenant.clone(), midnight.to_utc()), vec![in_advance + worth - billed]);
            billed = in_advance + worth;
        }
    }
    invoices.retain(|_, totals| *totals != [Decimal::ZERO]);
    Ok(invoices)
}

/// Tiers over what exceeds the included quantity; a single unit amount is one tier without an end.
fn rate(model: &Value, currency: &str, quantity: Decimal) -> Result<Decimal> {
    let rest = (quantity - at::<Option<Decimal>>(model, "/included")?.unwrap_or_default()).max(Decimal::ZERO);
    let (mut from, mut amount) = (Decimal::ZERO, Decimal::ZERO);
    for tier in model["tiers"].as_array().map_or(std::slice::from_ref(model), Vec::as_slice) {
        let to = at::<Option<Decimal>>(tier, "/up_to")?.map_or(rest, |up_to| up_to.min(rest));
        amount += (to - from) * at::<Decimal>(tier, &format!("/unit_amount/{currency}"))?;
        from = to;
    }
    Ok(amount)
}

fn compare<K: Ord + Debug, V: Eq + Debug>(what: &str, want: &BTreeMap<K, V>, have: BTreeMap<K, V>) -> Vec<String> {
    let differ = |key: &K| match (want.get(key), have.get(key)) {
        (None, have) => format!("extra {what} {key:?}: {have:?}"),
        (want, None) => format!("missing {what} {key:?}: {want:?}"),
        (want, have) => format!("altered {what} {key:?}: {have:?} instead of {want:?}"),
    };
    let keys: BTreeSet<_> = want.keys().chain(have.keys()).filter(|key| want.get(key) != have.get(key)).collect();
    keys.into_iter().map(differ).collect()
}

fn rows<K: Ord + DeserializeOwned, V: DeserializeOwned>(e: &Evidence, query: &str) -> Result<BTreeMap<K, V>> {
    let url = format!("{}/?database={}&default_format=JSONCompactEachRow", e.clickhouse, e.clickhouse_database);
    let request = ureq::post(url).header("X-ClickHouse-User", &e.clickhouse_user);
    let reply = request.header("X-ClickHouse-Key", &e.clickhouse_password).send(query)?;
    let rows = Deserializer::from_reader(BufReader::new(reply.into_body().into_reader())).into_iter();
    Ok(rows.collect::<Result<_, _>>()?)
}

fn api(e: &Evidence, path: &str) -> Result<Vec<Value>> {
    let request = ureq::get(format!("{}/v1/{path}&limit=1000", e.api));
    let reply = request.header("Authorization", format!("Bearer {}", e.api_key)).call()?;
    let page: Value = serde_json::from_str(&reply.into_body().read_to_string()?)?;
    ensure!(page["next_cursor"].is_null(), "{path} has more than one page");
    at(&page, "/data")
}

fn answered(e: &Evidence, setup: &Value) -> Result<Quantities> {
    let (mut answered, from, to) = (Quantities::new(), at::<&str>(setup, "/from")?, at::<&str>(setup, "/to")?);
    for (tenant, terms) in at::<Map<_, _>>(setup, "/tenants")? {
        for meter in at::<Vec<Value>>(setup, "/meters")? {
            let (meter, zone): (String, chrono_tz::Tz) = (at(&meter, "/key")?, at(&terms, "/zone")?);
            let query = format!("tenant_id={tenant}&meter={meter}&from={from}&to={to}&window=day&time_zone={zone}");
            for row in api(e, &format!("usage?{query}"))? {
                let day = at::<DateTime<Utc>>(&row, "/window_start")?.with_timezone(&zone).date_naive();
                answered.insert((tenant.clone(), meter.clone(), day), at(&row, "/value")?);
            }
        }
    }
    Ok(answered)
}

/// What stands at a JSON pointer, as the type that is asked for.
fn at<'v, T: Deserialize<'v>>(value: &'v Value, pointer: &str) -> Result<T> {
    T::deserialize(value.pointer(pointer).unwrap_or(&Value::Null)).with_context(|| format!("{pointer} of {value}"))
}
