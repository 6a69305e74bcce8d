//! The demo's own calls: set up the catalogue and the tenants, read what came of it.

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use talea_platform::secret::Secret;

pub struct Api {
    client: reqwest::Client,
    url: String,
    key: Secret,
}

impl Api {
    pub fn new(url: &str, key: Secret) -> anyhow::Result<Self> {
        Ok(Self { client: reqwest::Client::builder().no_proxy().build()?, url: url.to_owned(), key })
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Every page of a list.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        let mark = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&format!("{path}{mark}limit=1000{cursor}")).await?;
            rows.extend(page["data"].as_array().context("a page without data")?.iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { return Ok(rows) };
            cursor = format!("&cursor={next}");
        }
    }

    /// The Prometheus page.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        Ok(self.client.get(format!("{}/metrics", self.url)).send().await?.text().await?)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut request =
            self.client.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(self.key.reveal());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(serde_json::to_vec(body)?);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{method} {path}: {status} {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("{method} {path}: {text}"))
    }
}

/// Meters, plans, tenants.
pub async fn onboard(api: &Api, from: &str) -> anyhow::Result<()> {
    for meter in super::catalogue::meters() {
        api.post("/v1/meters", &meter).await?;
    }
    for plan in super::catalogue::plans() {
        api.post("/v1/plans", &plan).await?;
    }
    for tenant in super::catalogue::tenants() {
        let start = local_midnight(from, tenant.zone)?;
        let body = json!({
            "tenant_id": tenant.id, "name": display_name(tenant.id), "zone": tenant.zone, "plan": tenant.plan,
            "currency": tenant.currency, "start_at": start,
            "bill_to": { "name": display_name(tenant.id), "address": ["1 Main Street", "Springfield"] },
        });
        api.post("/v1/tenants", &body).await?;
    }
    Ok(())
}

/// `acme-robotics` is `Acme Robotics`.
fn display_name(id: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    id.split('-').map(capital).collect::<Vec<_>>().join(" ")
}

fn local_midnight(day: &str, zone: &str) -> anyhow::Result<String> {
    use chrono::TimeZone;
    let zone: chrono_tz::Tz = zone.parse().map_err(|error| anyhow::anyhow!("{error}"))?;
    let midnight = day.parse::<chrono::NaiveDate>()?.and_time(chrono::NaiveTime::MIN);
    Ok(zone.from_local_datetime(&midnight).earliest().context("a local midnight")?.to_utc().to_rfc3339())
}
