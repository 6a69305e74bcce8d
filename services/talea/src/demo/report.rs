//! What the demo shows at its end: what was sent and what became of it, usage, invoices that explain themselves, quota
//! signals, the proof. One JSON document; the text is made from it.

use super::api::Api;
use super::catalogue;
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::BufRead;
use std::path::Path;
use std::time::Duration;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::config::Config;

/// Tenants whose usage and invoices are shown.
const SHOWN_TENANTS: usize = 6;
const SHOWN_INVOICES: usize = 3;
const SHOWN_SIGNALS: usize = 12;

pub struct Timing {
    pub total: Duration,
    pub sending: Duration,
    pub until_counted: Duration,
}

pub async fn gather(
    config: &Config,
    api: &Api,
    journal: &Path,
    proof: Value,
    restarts: u32,
    timing: &Timing,
    latency: &[u64],
) -> anyhow::Result<Value> {
    let (accepted, rejected) = sent(journal)?;
    let stored = stored(config).await?;
    let counted = stored["counted"].as_u64().unwrap_or_default();
    let signals = api.list("/v1/quota-signals").await?;
    Ok(json!({
        "sent": { "accepted": accepted, "rejected_by_field": rejected },
        "stored": stored,
        "usage": usage(api).await?,
        "invoices": invoices(api).await?,
        "signals": signals,
        "signal_latency_milliseconds": quantiles(latency),
        "restarts": restarts,
        "timing_milliseconds": {
            "total": milliseconds(timing.total),
            "sending": milliseconds(timing.sending),
            "until_counted": milliseconds(timing.until_counted),
        },
        "counted_per_second": u128::from(counted) * 1000 / milliseconds(timing.until_counted).max(1),
        "proof": proof,
    }))
}

/// Of sorted milliseconds.
fn quantiles(sorted: &[u64]) -> Value {
    let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
    json!({ "probes": sorted.len(), "p50": at(50), "p90": at(90), "highest": sorted.last() })
}

fn milliseconds(duration: Duration) -> u128 {
    duration.as_millis()
}

/// Verdicts of the sender's journal.
fn sent(journal: &Path) -> anyhow::Result<(u64, BTreeMap<String, u64>)> {
    let (mut accepted, mut rejected) = (0, BTreeMap::new());
    for line in std::io::BufReader::new(std::fs::File::open(journal)?).lines() {
        let entry: Value = serde_json::from_str(&line?)?;
        match entry["verdict"].as_str() {
            Some("accepted") => accepted += 1,
            Some("rejected") => *rejected.entry(entry["field"].as_str().unwrap_or("").to_owned()).or_default() += 1,
            _ => {}
        }
    }
    Ok((accepted, rejected))
}

#[derive(clickhouse::Row, Deserialize)]
struct Counted {
    what: String,
    records: u64,
}

/// What ClickHouse holds, over all tenants.
async fn stored(config: &Config) -> anyhow::Result<Value> {
    let settings = &config.clickhouse;
    let clickhouse =
        ClickHouse::connect(&settings.url, &settings.user, settings.password.reveal(), &settings.database)?;
    let count = async |sql: &str| clickhouse.rows::<Counted>(clickhouse.query(sql)).await;
    let totals = count(
        "SELECT 'counted' AS what, count() AS records FROM usage_events \
         UNION ALL SELECT 'duplicates', uniqExact(partition, offset) FROM usage_repeats",
    )
    .await?;
    let letters = count(
        "SELECT toString(reason) AS what, uniqExact(partition, offset) AS records FROM dead_letters GROUP BY what ORDER BY what",
    )
    .await?;
    let unmetered = count(&format!(
        "SELECT toString(event_type) AS what, count() AS records FROM usage_events WHERE event_type = '{}' GROUP BY what",
        catalogue::PING
    ))
    .await?;
    let map = |rows: Vec<Counted>| rows.into_iter().map(|row| (row.what, row.records)).collect::<BTreeMap<_, _>>();
    let totals = map(totals);
    Ok(json!({
        "counted": totals.get("counted"),
        "duplicates": totals.get("duplicates"),
        "dead_letters_by_reason": map(letters),
        "counted_without_a_meter_by_type": map(unmetered),
    }))
}

/// The largest tenants' first month, in their own zones.
async fn usage(api: &Api) -> anyhow::Result<Value> {
    let [first, second, _] = super::months()?;
    let mut rows = Vec::new();
    let mut tenants = catalogue::tenants();
    tenants.sort_by_key(|tenant| std::cmp::Reverse(tenant.weight));
    for tenant in tenants.iter().take(SHOWN_TENANTS) {
        let mut row = json!({ "tenant": tenant.id, "plan": tenant.plan, "zone": tenant.zone });
        for meter in catalogue::meters() {
            let key = meter["key"].as_str().context("key")?;
            let path = format!(
                "/v1/usage?tenant_id={}&meter={key}&from={}&to={}",
                tenant.id,
                first.format("%Y-%m-%dT%H:%M:%SZ"),
                second.format("%Y-%m-%dT%H:%M:%SZ")
            );
            row[key] = api.get(&path).await?["data"][0]["value"].clone();
        }
        rows.push(row);
    }
    Ok(rows.into())
}

/// How many there are, and some of the largest in full.
async fn invoices(api: &Api) -> anyhow::Result<Value> {
    let all = api.list("/v1/invoices?status=finalized").await?;
    let mut with_adjustment = Vec::new();
    let mut totals: BTreeMap<String, i64> = BTreeMap::new();
    for invoice in &all {
        let minor: i64 = invoice["total"]["amount_minor"].as_str().unwrap_or("0").parse()?;
        *totals.entry(invoice["total"]["currency"].as_str().unwrap_or_default().to_owned()).or_default() += minor;
    }
    let mut shown = Vec::new();
    for invoice in all.iter().rev() {
        if shown.len() + with_adjustment.len() == SHOWN_INVOICES {
            break;
        }
        let id = invoice["id"].as_str().context("id")?;
        let document = api.get(&format!("/v1/invoices/{id}")).await?;
        let lines = document["lines"].as_array().map_or(0, Vec::len);
        let adjusts =
            document["lines"].as_array().is_some_and(|lines| lines.iter().any(|line| line["kind"] == "adjustment"));
        if adjusts && with_adjustment.is_empty() {
            with_adjustment.push(document);
        } else if lines >= 3 && shown.len() + 1 < SHOWN_INVOICES {
            shown.push(document);
        }
    }
    shown.extend(with_adjustment);
    Ok(json!({ "finalized": all.len(), "total_minor_by_currency": totals, "shown": shown }))
}

/// The report for people.
pub fn text(report: &Value) -> String {
    let mut out = String::from("\nWhat was sent, and what became of it\n");
    let stored = &report["stored"];
    let mut table = table(&["", "events"]);
    table.add_row(["accepted by ingest".to_owned(), shown(&report["sent"]["accepted"])]);
    table.add_row(["  counted once".to_owned(), shown(&stored["counted"])]);
    table.add_row(["  duplicates, not counted".to_owned(), shown(&stored["duplicates"])]);
    rows(&mut table, "  dead letter: ", &stored["dead_letters_by_reason"]);
    rows(&mut table, "  counted, but no meter reads type ", &stored["counted_without_a_meter_by_type"]);
    rows(&mut table, "rejected by ingest, field ", &report["sent"]["rejected_by_field"]);
    table.add_row(["server killed and restarted".to_owned(), shown(&report["restarts"])]);
    let _ = writeln!(out, "{table}\n\nUsage of the first month, largest tenants");
    let _ = writeln!(out, "{}\n", usage_table(&report["usage"]));
    let _ = writeln!(
        out,
        "Invoices: {} finalized, {}",
        report["invoices"]["finalized"], report["invoices"]["total_minor_by_currency"]
    );
    for invoice in report["invoices"]["shown"].as_array().into_iter().flatten() {
        invoice_text(&mut out, invoice);
    }
    signals_text(&mut out, report);
    proof_text(&mut out, report);
    out
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn rows(table: &mut Table, prefix: &str, map: &Value) {
    for (name, count) in map.as_object().into_iter().flatten() {
        table.add_row([format!("{prefix}{name}"), shown(count)]);
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn usage_table(usage: &Value) -> Table {
    let columns = ["tenant", "plan", "api_calls", "tokens_in", "tokens_out", "storage", "seats"];
    let mut table = table(&columns);
    for row in usage.as_array().into_iter().flatten() {
        table.add_row(columns.map(|column| shown(&row[column])));
    }
    table
}

fn invoice_text(out: &mut String, invoice: &Value) {
    let _ = writeln!(
        out,
        "\n  {}  {}  {} to {}",
        shown(&invoice["number"]),
        shown(&invoice["tenant"]),
        shown(&invoice["period"]["start"]),
        shown(&invoice["period"]["end"])
    );
    for line in invoice["lines"].as_array().into_iter().flatten() {
        let amount = format!("{} {}", shown(&line["amount"]["amount"]), shown(&line["amount"]["currency"]));
        let _ = writeln!(out, "    {:<52} {amount:>16}", shown(&line["description"]));
        for explanation in line["explanation"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "      {}", shown(explanation));
        }
        if let Some(count) = line["lineage"]["event_count"].as_u64() {
            let digest: String = shown(&line["lineage"]["digest"]).chars().take(16).collect();
            let _ = writeln!(out, "      from {count} events, digest {digest}…");
        }
    }
    let total = format!("{} {}", shown(&invoice["total"]["amount"]), shown(&invoice["total"]["currency"]));
    let _ = writeln!(out, "    {:<52} {total:>16}", "total");
}

fn signals_text(out: &mut String, report: &Value) {
    let signals = report["signals"].as_array().map_or(&[][..], Vec::as_slice);
    let latency = &report["signal_latency_milliseconds"];
    let _ = writeln!(
        out,
        "\nQuota signals: {}; from acknowledgement to signal p50 {} ms, p90 {} ms, highest {} ms over {} probes",
        signals.len(),
        shown(&latency["p50"]),
        shown(&latency["p90"]),
        shown(&latency["highest"]),
        shown(&latency["probes"])
    );
    // Crossings first, then new periods; the probes of the latency are left out.
    let is_probe = |signal: &&Value| catalogue::PROBES.contains(&signal["tenant_id"].as_str().unwrap_or_default());
    let mut ordered: Vec<&Value> = signals.iter().filter(|signal| !is_probe(signal)).collect();
    ordered.sort_by_key(|signal| (signal["kind"] == "reset", shown(&signal["kind"])));
    for signal in ordered.into_iter().take(SHOWN_SIGNALS) {
        let _ = writeln!(
            out,
            "  {:<9} {:<18} {:<10} used {} of {}",
            shown(&signal["kind"]),
            shown(&signal["tenant_id"]),
            shown(&signal["feature"]),
            shown(&signal["used"]),
            shown(&signal["limit"])
        );
    }
}

fn proof_text(out: &mut String, report: &Value) {
    let (proof, timing) = (&report["proof"], &report["timing_milliseconds"]);
    let verdict = if proof["agrees"] == true { "AGREES" } else { "DOES NOT AGREE" };
    let _ = writeln!(
        out,
        "\nProof: the auditor's recount {verdict}: {} counted and {} dead-lettered identities, {} quantities per tenant, meter and day, {} invoices",
        proof["counted"], proof["dead_lettered"], proof["quantities"], proof["invoices"]
    );
    for difference in proof["first_differences"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "  {}", shown(difference));
    }
    let _ = writeln!(
        out,
        "Time: {} ms in all; {} ms sending, {} ms until counted, {} counted events a second",
        timing["total"], timing["sending"], timing["until_counted"], report["counted_per_second"]
    );
}
