//! Reading the evidence: the API as any customer would, ClickHouse by its HTTP interface, JSON by name.

use anyhow::{Context, Result, anyhow};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::BufRead;

/// Tenant, source, id.
pub type Identity = (String, String, String);

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

/// Every row of a list of the API.
pub fn pages(e: &Evidence, path: &str) -> Result<Vec<Value>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = ureq::get(format!("{}{path}{cursor}&limit=1000", e.api))
            .header("Authorization", format!("Bearer {}", e.api_key));
        let page: Value = serde_json::from_str(&request.call()?.into_body().read_to_string()?)?;
        all.extend(rows(&page["data"])?.iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return Ok(all) };
        cursor = format!("&cursor={next}");
    }
}

/// The rows of a query that ends in FORMAT JSONEachRow.
pub fn clickhouse(e: &Evidence, sql: &str) -> Result<Vec<Value>> {
    let url = format!("{}/?database={}&output_format_json_quote_decimals=0", e.clickhouse, e.clickhouse_database);
    let request = ureq::post(url)
        .header("X-ClickHouse-User", &e.clickhouse_user)
        .header("X-ClickHouse-Key", &e.clickhouse_password);
    let reply = std::io::BufReader::new(request.send(sql)?.into_body().into_reader());
    reply.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

/// Values by name, numbers in one spelling.
pub fn leaves(data: &Map<String, Value>) -> BTreeMap<String, String> {
    let spelled = |value: &Value| match value.as_number().and_then(|number| number.to_string().parse::<Decimal>().ok())
    {
        Some(number) => number.normalize().to_string(),
        None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    };
    data.iter().map(|(name, value)| (name.clone(), spelled(value))).collect()
}

pub fn identity(value: &Value, tenant: &str) -> Result<Identity> {
    Ok((text(value, tenant)?, text(value, "source")?, text(value, "id")?))
}
pub fn text(value: &Value, name: &str) -> Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("{name} is missing in {value}"))
}
pub fn number(value: &Value) -> Result<Decimal> {
    value.as_str().and_then(|text| text.parse().ok()).with_context(|| format!("{value} is no decimal"))
}
pub fn instant(text: &str) -> Result<DateTime<Utc>> {
    Ok(DateTime::parse_from_rfc3339(text).with_context(|| text.to_owned())?.to_utc())
}
pub fn rows(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("a list")
}
pub fn zone(setup: &Value, tenant: &str) -> Result<chrono_tz::Tz> {
    text(&setup["tenants"][tenant], "zone")?.parse().map_err(|error| anyhow!("{error}"))
}
