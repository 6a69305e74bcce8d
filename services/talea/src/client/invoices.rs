//! `talea invoices`: the list, and one invoice with its lines explained.

use super::document::{self, Format};
use super::http::{Client, Connection};
use super::table::{self, money, text};
use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use std::fmt::Write;
use talea_platform::config::Config;

#[derive(Debug, Clone, Subcommand)]
pub enum InvoicesCommand {
    /// Invoices, the latest first.
    List {
        #[arg(long)]
        tenant: Option<String>,
        /// draft or finalized.
        #[arg(long)]
        status: Option<String>,
        #[arg(long)]
        subscription: Option<String>,
        /// First issue date.
        #[arg(long)]
        issued_from: Option<String>,
        /// Last issue date.
        #[arg(long)]
        issued_to: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// One invoice.
    Show {
        /// Its id or its number.
        invoice: String,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        #[command(flatten)]
        connection: Connection,
    },
}

pub async fn run(config: &Config, command: &InvoicesCommand, json: bool) -> anyhow::Result<()> {
    match command {
        InvoicesCommand::List { tenant, status, subscription, issued_from, issued_to, connection } => {
            let query = vec![
                ("tenant_id", tenant.clone()),
                ("status", status.clone()),
                ("subscription_id", subscription.clone()),
                ("issued_from", issued_from.clone()),
                ("issued_to", issued_to.clone()),
            ];
            let rows = Client::new(config, connection)?.rows("/v1/invoices", &query).await?;
            if json { table::json(&rows) } else { list(&rows) }
        }
        InvoicesCommand::Show { invoice, format, connection } => {
            let client = Client::new(config, connection)?;
            let format = if json { Format::Json } else { *format };
            let path = format!("/v1/invoices/{}", document::id(&client, "/v1/invoices", "inv_", invoice).await?);
            document::show(&client, &path, format, readable).await
        }
    }
}

fn list(rows: &[Value]) -> anyhow::Result<()> {
    let header = ["number", "tenant", "state", "period", "issued", "due", "total", "id"];
    let shown = rows.iter().map(|row| {
        let period = format!("{} to {}", text(&row["period"]["start"]), text(&row["period"]["end"]));
        let part = |name: &str| text(&row[name]);
        vec![
            part("number"),
            part("tenant_id"),
            part("payment_state"),
            period,
            part("issue_date"),
            part("due_date"),
            money(&row["total"]),
            part("id"),
        ]
    });
    table::print(&header, &[6], shown)
}

/// The invoice as lines of text, each with its explanation and what it stands on.
pub(crate) fn readable(invoice: &Value) -> anyhow::Result<String> {
    let part = |name: &str| text(&invoice[name]);
    let number = if invoice["number"].is_null() { "draft".to_owned() } else { part("number") };
    let mut out = String::new();
    writeln!(out, "Invoice {number}   {}", part("id"))?;
    writeln!(out, "from    {}", text(&invoice["issuer"]["name"]))?;
    writeln!(out, "to      {} ({})", text(&invoice["bill_to"]["name"]), part("tenant"))?;
    writeln!(
        out,
        "period  {} to {} ({})",
        text(&invoice["period"]["start"]),
        text(&invoice["period"]["end"]),
        part("zone")
    )?;
    writeln!(out, "issued  {}   due {}", part("issue_date"), part("due_date"))?;
    if !invoice["replaces"].is_null() {
        writeln!(out, "replaces invoice {}, which is voided", text(&invoice["replaces"]["number"]))?;
    }
    writeln!(out)?;
    for line in invoice["lines"].as_array().context("the invoice has no lines member")? {
        let numbered = format!("{}. {}", text(&line["number"]), text(&line["description"]));
        writeln!(out, "{numbered:<64} {:>20}", money(&line["amount"]))?;
        for sentence in line["explanation"].as_array().into_iter().flatten() {
            writeln!(out, "     {}", text(sentence))?;
        }
        writeln!(out, "     {}", origin(&line["lineage"]))?;
    }
    writeln!(out, "\n{:<64} {:>20}", "Subtotal", money(&invoice["subtotal"]))?;
    for row in invoice["discounts"].as_array().into_iter().flatten() {
        let amount = money(&row["amount"]);
        let amount = amount.strip_prefix('-').map_or_else(|| format!("-{amount}"), str::to_owned);
        writeln!(out, "{:<64} {amount:>20}", text(&row["description"]))?;
        for sentence in row["explanation"].as_array().into_iter().flatten() {
            writeln!(out, "     {}", text(sentence))?;
        }
    }
    taxes(&mut out, &invoice["taxes"])?;
    writeln!(out, "{:<64} {:>20}", "Tax", money(&invoice["tax"]))?;
    writeln!(out, "{:<64} {:>20}", "Total", money(&invoice["total"]))?;
    for credit in invoice["credits"].as_array().into_iter().flatten() {
        writeln!(out, "{:<64} {:>20}", text(&credit["description"]), format!("-{}", money(&credit["amount"])))?;
    }
    if !invoice["amount_due"].is_null() {
        writeln!(out, "{:<64} {:>20}", "Due", money(&invoice["amount_due"]))?;
    }
    for note in invoice["notes"].as_array().into_iter().flatten() {
        writeln!(out, "\n{}", text(note))?;
    }
    Ok(out)
}

/// A row for each rate.
pub(super) fn taxes(out: &mut String, rows: &Value) -> std::fmt::Result {
    for row in rows.as_array().into_iter().flatten() {
        let included = if row["included"] == true { ", included" } else { "" };
        let rate =
            format!("{} {} %{included}, on {}", text(&row["name"]), text(&row["rate_percent"]), money(&row["base"]));
        writeln!(out, "{rate:<64} {:>20}", money(&row["amount"]))?;
    }
    Ok(())
}

fn origin(lineage: &Value) -> String {
    let part = |name: &str| text(&lineage[name]);
    let mut origin = match lineage["plan"].is_null() {
        true => format!("one-off charge {}, price {}", part("charge"), part("price_key")),
        false => format!("by plan {} v{}, price {}", part("plan"), part("plan_version"), part("price_key")),
    };
    if !lineage["digest"].is_null() {
        let (meter, version, events, digest) =
            (part("meter"), part("meter_version"), part("event_count"), part("digest"));
        origin.push_str(&format!("; meter {meter} v{version}, {events} events, digest {digest}"));
    }
    origin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_reads_as_text_with_its_explanations() {
        let golden = include_str!("../../../../schemas/golden/invoice/finalized.v1.json");
        let text = readable(&serde_json::from_str(golden).expect("JSON")).expect("a text");
        for part in [
            "Invoice INV-2023-000007",
            "2. Support, 2023-12-01 to 2023-12-19",
            "6.129032258064516129 USD rounded once to 6.13 USD",
            "meter api_calls v1, 1 events, digest 0123456789abcdef",
            "-13.34 USD",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn discounts_and_taxes_stand_below_the_lines() {
        let golden = include_str!("../../../../schemas/golden/invoice/taxed.v1.json");
        let text = readable(&serde_json::from_str(golden).expect("JSON")).expect("a text");
        for part in ["Fifth: 20 % off", " 5.06 EUR", "VAT 19 %, on -20.23 EUR", "-3.85 EUR", "-24.08 EUR"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
