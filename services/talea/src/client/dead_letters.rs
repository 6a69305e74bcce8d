//! `talea dead-letters`: what could not be counted, and sending it again.

use super::http::{Client, Connection, Query};
use super::table::{self, text};
use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use talea_platform::config::Config;

#[derive(Debug, Clone, Subcommand)]
pub enum DeadLettersCommand {
    /// Dead letters, the latest first.
    List {
        #[arg(long)]
        tenant: Option<String>,
        /// malformed, unknown_tenant, too_late, in_future, conflict, out_of_range or unknown_event.
        #[arg(long)]
        reason: Option<String>,
        /// Leave out those that were sent again.
        #[arg(long)]
        open: bool,
        /// How many to show.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        connection: Connection,
    },
    /// Send dead letters to the log again, with the identity they had.
    Resubmit {
        /// Places as the list shows them, like 3-1204.
        places: Vec<String>,
        /// Every open one.
        #[arg(long, conflicts_with = "places")]
        all: bool,
        /// With --all: only of this reason.
        #[arg(long, requires = "all")]
        reason: Option<String>,
        /// With --all: only of this tenant.
        #[arg(long, requires = "all")]
        tenant: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

pub async fn run(config: &Config, command: &DeadLettersCommand, json: bool) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List { tenant, reason, open, limit, connection } => {
            let client = Client::new(config, connection)?;
            let rows = client.some_rows("/v1/dead-letters", &query(tenant, reason, *open), *limit).await?;
            if json { table::json(&rows) } else { list(&rows) }
        }
        DeadLettersCommand::Resubmit { places, all, reason, tenant, connection } => {
            let client = Client::new(config, connection)?;
            let places = match (places.is_empty(), all) {
                (false, _) => places.clone(),
                (true, true) => open_places(&client, tenant, reason).await?,
                (true, false) => bail!("name places, like 3-1204, or give --all"),
            };
            resubmit(&client, &places, json).await
        }
    }
}

fn query(tenant: &Option<String>, reason: &Option<String>, open: bool) -> Query<'static> {
    vec![("tenant_id", tenant.clone()), ("reason", reason.clone()), ("open", open.then(|| "true".to_owned()))]
}

fn list(rows: &[Value]) -> anyhow::Result<()> {
    let header = ["place", "tenant", "reason", "source", "id", "field", "what", "way out"];
    let members = ["place", "tenant_id", "reason", "source", "id", "field", "detail", "way_out"];
    table::print(&header, &[], rows.iter().map(|row| members.map(|member| text(&row[member])).to_vec()))
}

async fn open_places(client: &Client, tenant: &Option<String>, reason: &Option<String>) -> anyhow::Result<Vec<String>> {
    let rows = client.rows("/v1/dead-letters", &query(tenant, reason, true)).await?;
    Ok(rows.iter().map(|row| text(&row["place"])).collect())
}

/// One that fails does not stop the others; the command fails at the end.
async fn resubmit(client: &Client, places: &[String], json: bool) -> anyhow::Result<()> {
    let (mut sent, mut failed) = (Vec::new(), Vec::new());
    for place in places {
        match client.post(&format!("/v1/dead-letters/{place}/resubmit"), &json!({})).await {
            Ok(_) => sent.push(place.as_str()),
            Err(error) => failed.push((place.as_str(), format!("{error:#}"))),
        }
    }
    if json {
        let failed: Vec<Value> =
            failed.iter().map(|(place, error)| json!({ "place": place, "error": error })).collect();
        table::json(&json!({ "resubmitted": sent, "failed": failed }))?;
    } else {
        table::line(format!("{} sent again", sent.len()))?;
        for (place, error) in &failed {
            table::line(format!("{place}: {error}"))?;
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("{} of {} could not be sent again", failed.len(), places.len()) }
}
