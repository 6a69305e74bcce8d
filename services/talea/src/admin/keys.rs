//! `talea keys`: API keys, made at the machine itself. The secret is shown once.

use crate::admin::with_engines;
use anyhow::Context;
use clap::Subcommand;
use serde_json::json;
use talea_domain::id::TenantId;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::clock::Clock;
use talea_platform::config::Config;
use talea_platform::journal::{self, Decision};
use talea_platform::keys::{NewKey, new_key};
use talea_platform::postgres::Databases;
use talea_platform::random;

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and show it, once.
    Create {
        /// What it may do: ingest, read, finance, admin. May be given several times.
        #[arg(long = "scope", required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// The only tenant it may act for; without it, every tenant.
        #[arg(long)]
        tenant: Option<TenantId>,
        /// What it is for.
        #[arg(long, default_value = "")]
        label: String,
    },
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| "use ingest, read, finance or admin".to_owned())
}

pub async fn run(config: Config, command: KeysCommand, json: bool) -> anyhow::Result<()> {
    let (config, engines) = with_engines(config).await?;
    let databases = Databases::connect(&config.postgres).await?;
    let KeysCommand::Create { scopes, tenant, label } = command;
    let key = create(&databases, scopes, tenant, label).await?;
    let created = &key.created;
    if json {
        let scopes: Vec<&str> = created.scopes.iter().map(|scope| scope.as_str()).collect();
        println!("{}", json!({ "id": created.key_id.to_string(), "scopes": scopes, "key": key.shown.reveal() }));
    } else {
        println!("{}", key.shown.reveal());
        eprintln!("{}: keep it now, it is not shown again", created.key_id);
    }
    if let Some(engines) = engines {
        engines.stop().await;
    }
    Ok(())
}

/// Records a new key.
pub async fn create(
    databases: &Databases,
    scopes: Vec<Scope>,
    tenant: Option<TenantId>,
    label: String,
) -> anyhow::Result<NewKey> {
    let now = Clock::system().now();
    let key = new_key(random::bits128(), &random::secret256(), label, scopes, tenant.clone(), now);
    let mut tx = match &tenant {
        Some(tenant) => databases.app.tenant(tenant).await?,
        None => databases.app.global().await?,
    };
    let decision = Decision {
        tenant: tenant.as_ref().map_or(TenantScope::Global, TenantScope::from),
        expected_version: None,
        event: JournalEvent::ApiKeyCreated(key.created.clone()),
        effective_at: now,
        recorded_at: now,
        actor: "command line".to_owned(),
        idempotency_key: None,
    };
    journal::append(&mut tx, vec![decision]).await.context("record the key")?;
    tx.commit().await?;
    Ok(key)
}
