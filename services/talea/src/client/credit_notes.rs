//! `talea credit-notes`: the list, and one credit note.

use super::document::{self, Format};
use super::http::{Client, Connection};
use super::invoices::taxes;
use super::table::{self, money, text};
use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use std::fmt::Write;
use talea_platform::config::Config;

#[derive(Debug, Clone, Subcommand)]
pub enum CreditNotesCommand {
    /// Credit notes, the latest first.
    List {
        #[arg(long)]
        tenant: Option<String>,
        /// The id of the invoice that they correct.
        #[arg(long)]
        invoice: Option<String>,
        /// First issue date.
        #[arg(long)]
        issued_from: Option<String>,
        /// Last issue date.
        #[arg(long)]
        issued_to: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// One credit note.
    Show {
        /// Its id or its number.
        credit_note: String,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        #[command(flatten)]
        connection: Connection,
    },
}

pub async fn run(config: &Config, command: &CreditNotesCommand, json: bool) -> anyhow::Result<()> {
    match command {
        CreditNotesCommand::List { tenant, invoice, issued_from, issued_to, connection } => {
            let query = vec![
                ("tenant_id", tenant.clone()),
                ("invoice_id", invoice.clone()),
                ("issued_from", issued_from.clone()),
                ("issued_to", issued_to.clone()),
            ];
            let rows = Client::new(config, connection)?.rows("/v1/credit-notes", &query).await?;
            if json { table::json(&rows) } else { list(&rows) }
        }
        CreditNotesCommand::Show { credit_note, format, connection } => {
            let client = Client::new(config, connection)?;
            let format = if json { Format::Json } else { *format };
            let id = document::id(&client, "/v1/credit-notes", "crn_", credit_note).await?;
            document::show(&client, &format!("/v1/credit-notes/{id}"), format, readable).await
        }
    }
}

fn list(rows: &[Value]) -> anyhow::Result<()> {
    let header = ["number", "tenant", "invoice", "issued", "total", "id"];
    let shown = rows.iter().map(|row| {
        let part = |name: &str| text(&row[name]);
        let total = money(&row["total"]);
        vec![part("number"), part("tenant_id"), part("invoice_id"), part("issue_date"), total, part("id")]
    });
    table::print(&header, &[4], shown)
}

fn readable(note: &Value) -> anyhow::Result<String> {
    let part = |name: &str| text(&note[name]);
    let mut out = String::new();
    writeln!(out, "Credit note {}   {}", part("number"), part("id"))?;
    writeln!(out, "from      {}", text(&note["issuer"]["name"]))?;
    writeln!(out, "to        {} ({})", text(&note["bill_to"]["name"]), part("tenant"))?;
    writeln!(out, "corrects  invoice {}   {}", part("invoice_number"), part("invoice"))?;
    writeln!(out, "issued    {}", part("issue_date"))?;
    writeln!(out, "reason    {}\n", part("reason"))?;
    for line in note["lines"].as_array().context("the credit note has no lines member")? {
        let quantity =
            if line["quantity"].is_null() { String::new() } else { format!(" x {}", text(&line["quantity"])) };
        let named = format!("line {}: {}{quantity}", text(&line["invoice_line"]), text(&line["description"]));
        writeln!(out, "{named:<64} {:>20}", money(&line["amount"]))?;
    }
    writeln!(out, "\n{:<64} {:>20}", "Subtotal", money(&note["subtotal"]))?;
    taxes(&mut out, &note["taxes"])?;
    for (name, member) in [
        ("Tax", "tax"),
        ("Credited", "total"),
        ("Lowers what the invoice leaves open", "reduces_open"),
        ("The tenant's credit", "credit_owed"),
    ] {
        writeln!(out, "{name:<64} {:>20}", money(&note[member]))?;
    }
    if !note["prepaid_returned"].is_null() {
        writeln!(out, "{:<64} {:>20}", "Back to prepaid credits", money(&note["prepaid_returned"]))?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credit_note_reads_as_text() {
        let golden = include_str!("../../../../schemas/golden/journal/credit_note.issued.v1.json");
        let text = readable(&serde_json::from_str(golden).expect("JSON")).expect("a text");
        for part in [
            "Credit note CN-000001",
            "corrects  invoice INV-000001",
            "line 1: API calls, 2026-02-01 to 2026-02-28 x 200",
            "VAT 19 %, on 10.00 EUR",
            "11.90 EUR",
            "own tests",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
