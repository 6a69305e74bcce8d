//! Runs the auditor as a process of its own. The crate behind it shares no code with Talea.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use talea_platform::config::Config;
use talea_recount::{Evidence, recount as count_again};

const CLICKHOUSE_PASSWORD: &str = "TALEA_RECOUNT_CLICKHOUSE_PASSWORD";
/// Differences that are shown; the rest is only counted.
const SHOWN: usize = 20;

#[derive(Debug, Clone, clap::Args)]
pub struct RecountArguments {
    #[arg(long)]
    journal: PathBuf,
    #[arg(long)]
    url: String,
    #[arg(long)]
    key_file: PathBuf,
    #[arg(long)]
    clickhouse: String,
    #[arg(long)]
    clickhouse_user: String,
    #[arg(long)]
    clickhouse_database: String,
}

/// The hidden subcommand: prints the finding; fails when anything differs.
pub fn recount(arguments: RecountArguments) -> anyhow::Result<ExitCode> {
    let finding = count_again(&Evidence {
        journal: arguments.journal,
        api: arguments.url,
        api_key: std::fs::read_to_string(arguments.key_file)?.trim().to_owned(),
        clickhouse: arguments.clickhouse,
        clickhouse_user: arguments.clickhouse_user,
        clickhouse_password: std::env::var(CLICKHOUSE_PASSWORD).unwrap_or_default(),
        clickhouse_database: arguments.clickhouse_database,
    })?;
    let agrees = finding.differences.is_empty();
    let shown: Vec<_> = finding.differences.iter().take(SHOWN).collect();
    println!(
        "{}",
        json!({ "agrees": agrees, "counted": finding.counted, "dead_lettered": finding.dead_lettered,
            "quantities": finding.quantities, "invoices": finding.invoices,
            "differences": finding.differences.len(), "first_differences": shown })
    );
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn run(config: &Config, url: &str, key_file: &Path, journal: &Path) -> anyhow::Result<Value> {
    let settings = &config.clickhouse;
    let output = tokio::process::Command::new(std::env::current_exe()?)
        .args(["demo-recount", "--url", url, "--clickhouse", &settings.url])
        .args(["--clickhouse-user", &settings.user, "--clickhouse-database", &settings.database])
        .arg("--journal")
        .arg(journal)
        .arg("--key-file")
        .arg(key_file)
        .env(CLICKHOUSE_PASSWORD, settings.password.reveal())
        .stdin(Stdio::null())
        .output()
        .await
        .context("start the auditor")?;
    match serde_json::from_slice(&output.stdout) {
        Ok(finding) => Ok(finding),
        Err(_) => bail!("the auditor gave no finding: {}", String::from_utf8_lossy(&output.stderr)),
    }
}
