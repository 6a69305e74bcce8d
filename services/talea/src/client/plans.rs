//! `talea plans`: a plan's subscriptions, moved to another version of it together.

use super::billing::instant;
use super::http::{Client, Connection};
use super::table::{self, money, text};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;
use talea_platform::config::Config;

/// How often a running migration is asked how far it is.
const POLL: Duration = Duration::from_millis(500);
/// Subscriptions of one page of a dry run.
const PAGE: u32 = 500;

#[derive(Debug, Clone, Subcommand)]
pub enum PlansCommand {
    /// Move the subscriptions of a plan to another version of it, and wait for it. Doing it again moves nobody twice.
    Migrate(MigrateArguments),
}

#[derive(Debug, Clone, Args)]
pub struct MigrateArguments {
    /// The plan's key.
    plan: String,
    /// The version to move to.
    #[arg(long)]
    to: u32,
    /// Only from this version; may be given several times. Default: every older one.
    #[arg(long)]
    from: Vec<u32>,
    /// `renewal`, `now`, a date (the beginning of that day, UTC) or an RFC 3339 instant.
    #[arg(long, default_value = "renewal", value_parser = when)]
    at: String,
    /// How the recurring charge of the running period follows.
    #[arg(long, value_enum, default_value = "by-second")]
    proration: Proration,
    /// Only these tenants; may be given several times.
    #[arg(long)]
    tenant: Vec<String>,
    /// Only tell what would be done, and what the next invoices would be.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Proration {
    None,
    ByDay,
    BySecond,
}

pub async fn run(config: &Config, command: &PlansCommand, json: bool) -> anyhow::Result<()> {
    let PlansCommand::Migrate(arguments) = command;
    let client = Client::new(config, &arguments.connection)?;
    let path = format!("/v1/plans/{}/migrations", arguments.plan);
    if arguments.dry_run {
        return dry_run(&client, &path, arguments, json).await;
    }
    let mut state = client.post(&path, &body(arguments)).await?.body;
    let progress = format!("{path}/{}", text(&state["id"]));
    while state["is_done"] != true {
        tokio::time::sleep(POLL).await;
        state = client.get(&progress, &Vec::new()).await?;
    }
    if json { table::json(&state) } else { show(&state) }
}

fn body(arguments: &MigrateArguments) -> Value {
    let proration = match arguments.proration {
        Proration::None => "none",
        Proration::ByDay => "by_day",
        Proration::BySecond => "by_second",
    };
    json!({ "to_version": arguments.to, "from_versions": arguments.from, "when": arguments.at,
        "proration": proration, "tenants": arguments.tenant })
}

/// Page by page: each is printed when it is there. As JSON one page a line.
async fn dry_run(client: &Client, path: &str, arguments: &MigrateArguments, json: bool) -> anyhow::Result<()> {
    let mut body = body(arguments);
    (body["dry_run"], body["limit"]) = (true.into(), PAGE.into());
    loop {
        let page = client.post(path, &body).await?.body;
        if json {
            table::line(&page)?
        } else {
            show_page(&page)?
        }
        if page["next_cursor"].is_null() {
            return Ok(());
        }
        body["cursor"] = page["next_cursor"].clone();
    }
}

fn show(state: &Value) -> anyhow::Result<()> {
    let (moved, stay) = (text(&state["moved"]), text(&state["blocked_count"]));
    let (id, plan, version) = (text(&state["id"]), text(&state["plan"]), text(&state["to_version"]));
    table::line(format!("{id}: {moved} subscriptions of {plan} move to version {version}, {stay} stay"))?;
    for blocked in state["blocked"].as_array().into_iter().flatten() {
        let part = |name: &str| text(&blocked[name]);
        table::line(format!("stays: {} of {}: {}", part("subscription"), part("tenant"), part("reason")))?;
    }
    Ok(())
}

fn show_page(page: &Value) -> anyhow::Result<()> {
    let amount = |row: &Value, name: &str| match &row["next_invoice"] {
        Value::Null => String::new(),
        invoice => money(&invoice[name]),
    };
    let rows = page["data"].as_array().into_iter().flatten().map(|row| {
        let remark = if row["blocked"].is_null() { text(&row["not_computed"]) } else { text(&row["blocked"]) };
        let moves = format!("{} to {}", text(&row["from_version"]), text(&row["to_version"]));
        let own = ["tenant_id", "subscription_id"].map(|name| text(&row[name]));
        let amounts = ["as_it_is", "migrated", "difference"].map(|name| amount(row, name));
        own.into_iter().chain([moves, text(&row["at"])]).chain(amounts).chain([remark]).collect()
    });
    let header = ["tenant", "subscription", "version", "from", "next invoice", "migrated", "difference", "remark"];
    table::print(&header, &[4, 5, 6], rows)?;
    let (done, total) = (text(&page["done"]), text(&page["total"]));
    let (moves, blocked) = (text(&page["moves"]), text(&page["blocked"]));
    table::line(format!("{moves} would move, {blocked} would stay; {done} of {total} looked at"))?;
    for sum in page["totals"].as_array().into_iter().flatten() {
        let [before, after, difference] = ["as_it_is", "migrated", "difference"].map(|name| money(&sum[name]));
        let invoices = text(&sum["invoices"]);
        table::line(format!("{invoices} next invoices: {before} become {after}, a difference of {difference}"))?;
    }
    Ok(())
}

/// As the API writes it.
fn when(text: &str) -> anyhow::Result<String> {
    match text {
        "renewal" => Ok("at_renewal".to_owned()),
        "now" => Ok(text.to_owned()),
        date => Ok(instant(date)?.to_rfc3339()),
    }
}

#[cfg(test)]
mod tests {
    use super::when;

    #[test]
    fn when_is_told_in_the_words_of_the_api() {
        let check = |text: &str, expect: &str| assert_eq!(when(text).expect("a time"), expect);
        check("renewal", "at_renewal");
        check("now", "now");
        check("2026-11-01", "2026-11-01T00:00:00+00:00");
        assert!(when("soon").is_err());
    }
}
