//! `talea usage`: how much a tenant used, as a table.

use super::http::{Client, Connection, Query};
use super::table::{self, text};
use serde_json::Value;
use talea_platform::config::Config;

#[derive(Debug, Clone, clap::Args)]
pub struct UsageArguments {
    /// Whose usage; may be left out with a key that is bound to a tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Which meter.
    #[arg(long)]
    meter: String,
    /// From this instant (RFC 3339), inclusive.
    #[arg(long)]
    from: String,
    /// To this instant (RFC 3339), exclusive.
    #[arg(long)]
    to: String,
    /// minute, hour, day, month or billing_period; without it the whole range is one window.
    #[arg(long)]
    window: Option<String>,
    /// IANA time zone of the windows; default the tenant's.
    #[arg(long)]
    zone: Option<String>,
    /// For --window billing_period: whose periods.
    #[arg(long)]
    subscription: Option<String>,
    /// NAME:VALUE of a dimension; may be given several times.
    #[arg(long = "filter")]
    filters: Vec<String>,
    /// Dimension to group by; may be given several times.
    #[arg(long = "group-by")]
    group_by: Vec<String>,
    /// Read every event instead of the buckets; the answer is the same.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(config: &Config, arguments: &UsageArguments, json: bool) -> anyhow::Result<()> {
    let client = Client::new(config, &arguments.connection)?;
    let rows = client.rows("/v1/usage", &arguments.query()).await?;
    if json {
        return table::json(&rows);
    }
    let mut header = vec!["from", "to"];
    header.extend(arguments.group_by.iter().map(String::as_str));
    header.extend([arguments.meter.as_str(), "events", "unmetered"]);
    let figures = [header.len() - 3, header.len() - 2, header.len() - 1];
    table::print(&header, &figures, rows.iter().map(|row| shown(row, &arguments.group_by)))
}

impl UsageArguments {
    fn query(&self) -> Query<'_> {
        let joined = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
        vec![
            ("tenant_id", self.tenant.clone()),
            ("meter", Some(self.meter.clone())),
            ("from", Some(self.from.clone())),
            ("to", Some(self.to.clone())),
            ("window", self.window.clone()),
            ("time_zone", self.zone.clone()),
            ("subscription_id", self.subscription.clone()),
            ("filter", joined(&self.filters)),
            ("group_by", joined(&self.group_by)),
            ("source", self.raw.then(|| "raw".to_owned())),
        ]
    }
}

fn shown(row: &Value, group_by: &[String]) -> Vec<String> {
    let mut cells = vec![text(&row["window_start"]), text(&row["window_end"])];
    cells.extend(group_by.iter().map(|name| text(&row["group"][name])));
    cells.extend(["value", "count", "unmetered"].map(|member| text(&row[member])));
    cells
}
