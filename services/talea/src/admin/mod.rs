//! Commands that talk to the engines themselves: for whoever has the database's passwords.

pub mod keys;
pub mod show_config;

use crate::local;
use anyhow::Context;
use comfy_table::{Table, presets};
use std::process::ExitCode;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::config::Config;
use talea_platform::postgres::{self, OwnerPool, Target};
use talea_platform::projections;

/// `talea migrate`: from nothing to current, as often as you like.
pub async fn migrate(config: Config) -> anyhow::Result<()> {
    let (config, engines) = with_engines(config).await?;
    migrate_databases(&config).await?;
    println!("databases are current");
    if let Some(engines) = engines {
        engines.stop().await;
    }
    Ok(())
}

/// Brings Postgres and ClickHouse to the schema of this version.
pub async fn migrate_databases(config: &Config) -> anyhow::Result<()> {
    postgres::migrate(&Target::from(&config.postgres)).await.context("migrate Postgres")?;
    let settings = &config.clickhouse;
    let clickhouse =
        ClickHouse::connect(&settings.url, &settings.user, settings.password.reveal(), &settings.database)?;
    clickhouse.migrate().await.context("migrate ClickHouse")?;
    Ok(())
}

/// `talea rebuild`: fails when a projection did not follow from the journal.
pub async fn rebuild(config: Config, json: bool) -> anyhow::Result<ExitCode> {
    let (config, engines) = with_engines(config).await?;
    let report = projections::rebuild(&OwnerPool::new(&Target::from(&config.postgres))?).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["table", "rows", "bytes", "md5", "missing", "unexpected"]);
        for row in &report.tables {
            let numbers = [row.rows, row.bytes].map(|number| number.to_string());
            let [rows, bytes] = numbers;
            table.add_row([
                row.table.to_owned(),
                rows,
                bytes,
                row.md5.clone(),
                row.missing.to_string(),
                row.unexpected.to_string(),
            ]);
        }
        println!("{table}");
        let verdict = if report.agrees() {
            "every projection holds the same bytes"
        } else {
            "projections differed and were replaced"
        };
        println!("rebuilt up to journal position {}: {verdict}", report.position);
    }
    if let Some(engines) = engines {
        engines.stop().await;
    }
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Local engines are started, or adopted from a running `serve`.
pub(crate) async fn with_engines(config: Config) -> anyhow::Result<(Config, Option<crate::engines::Engines>)> {
    if !local::is_local(&config) {
        return Ok((config, None));
    }
    let options = local::options(&config)?;
    let (config, engines) = local::with_engines(config, options).await?;
    Ok((config, Some(engines)))
}
