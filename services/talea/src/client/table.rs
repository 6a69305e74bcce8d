//! Answers for people: plain tables without borders, and JSON for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Prints rows under a header; the columns named in `figures` are right-aligned.
pub fn print(header: &[&str], figures: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for index in figures {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    line(table)
}

pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Prints a line. A reader that has seen enough (`| head`) ends the output, not the command.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    quiet(writeln!(std::io::stdout(), "{text}"))
}

/// Prints a text that ends its own lines.
pub fn whole(text: &str) -> anyhow::Result<()> {
    quiet(write!(std::io::stdout(), "{text}"))
}

fn quiet(written: std::io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A member as text; nothing for null and for what is not there.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `57.87 USD` of an amount document.
pub fn money(value: &Value) -> String {
    format!("{} {}", text(&value["amount"]), text(&value["currency"]))
}
