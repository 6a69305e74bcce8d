//! `talea billing`: runs on demand, and how billing stands.

use super::http::{Client, Connection};
use super::table::{self, text};
use anyhow::Context;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Subcommand;
use serde_json::{Value, json};
use talea_platform::config::Config;

#[derive(Debug, Clone, Subcommand)]
pub enum BillingCommand {
    /// Bill what is due, now or as of an earlier instant, and wait for it. Doing it again changes nothing.
    Run {
        /// A date (the beginning of that day, UTC) or an RFC 3339 instant; default now.
        #[arg(long, value_parser = instant)]
        as_of: Option<DateTime<Utc>>,
        #[command(flatten)]
        connection: Connection,
    },
    /// What waits, what was refused, and how far metering is.
    Status {
        #[command(flatten)]
        connection: Connection,
    },
}

pub async fn run(config: &Config, command: &BillingCommand, json: bool) -> anyhow::Result<()> {
    match command {
        BillingCommand::Run { as_of, connection } => {
            let body = json!({ "as_of": as_of.map(|instant| instant.to_rfc3339()) });
            let summary = Client::new(config, connection)?.post("/v1/billing/runs", &body).await?.body;
            if json { table::json(&summary) } else { show_summary(&summary) }
        }
        BillingCommand::Status { connection } => {
            let status = Client::new(config, connection)?.get("/v1/billing/status", &Vec::new()).await?;
            if json { table::json(&status) } else { show_status(&status) }
        }
    }
}

fn show_summary(summary: &Value) -> anyhow::Result<()> {
    table::line(format!("billing run as of {}", text(&summary["as_of"])))?;
    let rows = [
        ("invoices issued", "finalized"),
        ("drafts made", "drafted"),
        ("periods closed without amount", "closed_without_amount"),
        ("waiting for their grace", "waiting_for_grace"),
        ("waiting for metering", "waiting_for_metering"),
        ("refused", "refused_count"),
    ];
    let rows = rows.map(|(what, member)| vec![what.to_owned(), text(&summary[member])]);
    table::print(&["what", "count"], &[1], rows)?;
    for refused in summary["refused"].as_array().into_iter().flatten() {
        let part = |name: &str| text(&refused[name]);
        let (subscription, tenant) = (part("subscription_id"), part("tenant_id"));
        table::line(format!("refused: {subscription} of {tenant}: {}", part("reason")))?;
    }
    Ok(())
}

fn show_status(status: &Value) -> anyhow::Result<()> {
    table::line(format!("now {}", text(&status["now"])))?;
    table::line(format!("metered up to what the log held at {}", text(&status["marks"]["reached"])))?;
    let oldest = &status["oldest_draft"];
    let since = if oldest.is_null() { String::new() } else { format!(", the oldest of {}", text(oldest)) };
    table::line(format!("{} drafts{since}", text(&status["drafts"])))?;
    if status["last_run"].is_null() { Ok(()) } else { show_summary(&status["last_run"]) }
}

/// Of a date, its beginning in UTC.
pub(super) fn instant(text: &str) -> anyhow::Result<DateTime<Utc>> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    let instant = DateTime::parse_from_rfc3339(text).context("write 2023-12-02 or 2023-12-02T00:00:00Z")?;
    Ok(instant.to_utc())
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn a_date_begins_in_utc() {
        assert_eq!(instant("2023-12-02").expect("a date").to_rfc3339(), "2023-12-02T00:00:00+00:00");
        assert_eq!(instant("2023-12-02T01:00:00+01:00").expect("an instant").to_rfc3339(), "2023-12-02T00:00:00+00:00");
        assert!(instant("yesterday").is_err());
    }
}
