//! One document of the server, by its id or its number, in the form that is asked for.

use super::http::Client;
use super::table::{self, text};
use anyhow::bail;
use clap::ValueEnum;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Html,
    Csv,
    Json,
}

impl Format {
    fn accept(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "application/json",
            Self::Html => "text/html",
            Self::Csv => "text/csv",
        }
    }
}

/// Prints the document at the path; `readable` writes it for people.
pub async fn show(
    client: &Client,
    path: &str,
    format: Format,
    readable: fn(&Value) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let body = client.text(path, format.accept()).await?;
    match format {
        Format::Text => table::whole(&readable(&serde_json::from_str(&body)?)?),
        Format::Json => table::json(&serde_json::from_str::<Value>(&body)?),
        Format::Html | Format::Csv => table::whole(&body),
    }
}

/// An id as it is, known by its prefix; a number is looked up in the list.
pub async fn id(client: &Client, list: &str, prefix: &str, asked: &str) -> anyhow::Result<String> {
    if asked.starts_with(prefix) {
        return Ok(asked.to_owned());
    }
    let found = client.rows(list, &vec![("number", Some(asked.to_owned()))]).await?;
    match found.as_slice() {
        [one] => Ok(text(&one["id"])),
        [] => bail!("{list} has no number {asked}; the command `list` shows the numbers there are"),
        many => bail!("{} documents have the number {asked}; show one by its id", many.len()),
    }
}
