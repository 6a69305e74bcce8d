//! `talea apply`: creates what JSON files describe. What exists as described stays as it is, so that a file may be applied
//! again.

use super::http::{Answer, Client, Connection};
use super::table;
use anyhow::{Context, bail};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use talea_platform::config::Config;

#[derive(Debug, Clone, clap::Args)]
pub struct ApplyArguments {
    /// JSON files, each a document or an array of documents like {"kind": "plan", ...}; kinds are meter, plan, tenant and
    /// subscription. `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(config: &Config, arguments: &ApplyArguments, json: bool) -> anyhow::Result<()> {
    let client = Client::new(config, &arguments.connection)?;
    // All files are read before the first is applied, so that a slip in one changes nothing.
    let mut documents = Vec::new();
    for file in &arguments.files {
        let read = read(file).and_then(|text| parse(&text));
        documents.extend(read.with_context(|| file.display().to_string())?);
    }
    let mut applied = Vec::new();
    for document in documents {
        let name = document.name();
        let answer = client.post(document.route(), &document.body).await.with_context(|| name.clone())?;
        if !json {
            table::line(format!("{name} {}", outcome(&answer)))?;
            show_keys(&answer.body)?;
        }
        applied.push(json!({ "kind": document.kind.word(), "outcome": outcome(&answer), "answer": answer.body }));
    }
    if json { table::json(&applied) } else { Ok(()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Meter,
    Plan,
    Tenant,
    Subscription,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Meter, Self::Plan, Self::Tenant, Self::Subscription];

    fn word(self) -> &'static str {
        match self {
            Self::Meter => "meter",
            Self::Plan => "plan",
            Self::Tenant => "tenant",
            Self::Subscription => "subscription",
        }
    }
}

#[derive(Debug, PartialEq)]
struct Document {
    kind: Kind,
    body: Value,
}

impl Document {
    fn route(&self) -> &'static str {
        match self.kind {
            Kind::Meter => "/v1/meters",
            Kind::Plan => "/v1/plans",
            Kind::Tenant => "/v1/tenants",
            Kind::Subscription => "/v1/subscriptions",
        }
    }

    fn name(&self) -> String {
        let named = ["key", "id", "tenant_id", "tenant", "plan"].iter().find_map(|member| self.body[*member].as_str());
        format!("{} {}", self.kind.word(), named.unwrap_or("without a name"))
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() != "-" {
        return Ok(fs::read_to_string(file)?);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn parse(text: &str) -> anyhow::Result<Vec<Document>> {
    let documents = match serde_json::from_str(text)? {
        Value::Array(documents) => documents,
        document => vec![document],
    };
    documents
        .into_iter()
        .enumerate()
        .map(|(index, value)| document(value).with_context(|| format!("document {index}")))
        .collect()
}

fn document(value: Value) -> anyhow::Result<Document> {
    let Value::Object(mut members) = value else { bail!("is no JSON object; write {{\"kind\": \"plan\", ...}}") };
    let word = members.remove("kind");
    let word = word.as_ref().and_then(Value::as_str).unwrap_or_default();
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    let kind =
        kind.with_context(|| format!("kind \"{word}\" is not known; use meter, plan, tenant or subscription"))?;
    Ok(Document { kind, body: Value::Object(members) })
}

fn outcome(answer: &Answer) -> &'static str {
    if answer.status == StatusCode::CREATED { "created" } else { "unchanged" }
}

/// Secrets of new keys: the server shows them once, so they are shown here.
fn show_keys(body: &Value) -> anyhow::Result<()> {
    for key in body["keys"].as_array().into_iter().flatten() {
        let scopes: Vec<&str> = key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if let Some(secret) = key["secret"].as_str() {
            table::line(format!("  {} ({}): {secret}", table::text(&key["key_id"]), scopes.join(", ")))?;
            table::line("  keep it now, it is not shown again")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<Vec<(Kind, Value)>, &str>) {
        let parsed = parse(text).map(|all| all.into_iter().map(|it| (it.kind, it.body)).collect::<Vec<_>>());
        match (parsed, expect) {
            (Ok(parsed), Ok(expect)) => assert_eq!(parsed, expect),
            (Err(error), Err(says)) => assert!(format!("{error:#}").contains(says), "{error:#}"),
            (parsed, _) => panic!("{text}: {parsed:?}"),
        }
    }

    #[test]
    fn a_file_is_a_document_or_several() {
        check(r#"{"kind":"meter","key":"calls"}"#, Ok(vec![(Kind::Meter, json!({"key": "calls"}))]));
        check(
            r#"[{"kind":"plan","key":"p"},{"kind":"tenant","id":"acme"}]"#,
            Ok(vec![(Kind::Plan, json!({"key": "p"})), (Kind::Tenant, json!({"id": "acme"}))]),
        );
        check(r#"[{"kind":"plan"},{"kind":"price"}]"#, Err("document 1: kind \"price\""));
        check(r#"[1]"#, Err("no JSON object"));
        check("{", Err(""));
    }
}
