//! Where the auditor reads: the API as any customer would, and ClickHouse's rows by its HTTP interface.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use std::io::BufRead;

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

/// Every row of a list.
pub fn pages(e: &Evidence, path: &str) -> Result<Vec<Value>> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = ureq::get(format!("{}{path}{cursor}&limit=1000", e.api));
        let body =
            request.header("Authorization", format!("Bearer {}", e.api_key)).call()?.into_body().read_to_string()?;
        let page: Value = serde_json::from_str(&body)?;
        rows.extend(page["data"].as_array().context("data")?.iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return Ok(rows) };
        cursor = format!("&cursor={next}");
    }
}

/// The rows of a query that ends in FORMAT JSONEachRow.
pub fn clickhouse(e: &Evidence, sql: &str) -> Result<Vec<Value>> {
    let url = format!("{}/?database={}&output_format_json_quote_decimals=0", e.clickhouse, e.clickhouse_database);
    let request = ureq::post(url).header("X-ClickHouse-User", &e.clickhouse_user);
    let reply = request.header("X-ClickHouse-Key", &e.clickhouse_password).send(sql)?.into_body().into_reader();
    std::io::BufReader::new(reply).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

pub fn text(value: &Value, name: &str) -> Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("{name} is missing in {value}"))
}
pub fn decimal(value: &Value) -> Option<Decimal> {
    value.as_number().and_then(|n| n.to_string().parse().ok())
}
pub fn number(value: &Value) -> Result<Decimal> {
    value.as_str().and_then(|text| text.parse().ok()).with_context(|| format!("{value} is no decimal"))
}
pub fn instant(text: &str) -> Result<DateTime<Utc>> {
    Ok(DateTime::parse_from_rfc3339(text).with_context(|| text.to_owned())?.to_utc())
}
