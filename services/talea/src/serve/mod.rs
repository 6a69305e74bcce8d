//! `talea serve`: the roles of this process, its HTTP server, and the way it starts and stops.

mod connections;
mod http;
mod probes;
mod roles;
mod test_clock;

pub use roles::Role;

use crate::{admin, local};
use anyhow::Context;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use talea_domain::tenant::Scope;
use talea_platform::config::Config;
use talea_platform::runtime::Platform;
use talea_platform::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    /// Which roles run here: ingest, metering, billing, quota, provisioning. Default: all.
    #[arg(long, value_delimiter = ',', value_enum)]
    roles: Vec<Role>,
    /// Serve on a test clock that starts here (RFC 3339) and is moved by POST /v1/test-clock/advance.
    #[arg(long, value_name = "FROM")]
    clock: Option<DateTime<Utc>>,
    /// Address and port, instead of server.listen.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

impl ServeArguments {
    /// What the command line says of the configuration.
    pub fn overrides(&self) -> Vec<(&'static str, String)> {
        let clock = self.clock.map(|clock| ("clock.test", clock.to_rfc3339()));
        let listen = self.listen.map(|listen| ("server.listen", listen.to_string()));
        clock.into_iter().chain(listen).collect()
    }

    fn roles(&self) -> BTreeSet<Role> {
        if self.roles.is_empty() { Role::ALL.into_iter().collect() } else { self.roles.iter().copied().collect() }
    }
}

/// Serves until SIGTERM or Ctrl-C; a second signal ends at once.
pub async fn run(config: Config, arguments: &ServeArguments) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    watch_signals(stop.clone())?;
    let is_local = local::is_local(&config);
    let (config, engines) = admin::with_engines(config).await?;
    if is_local {
        admin::migrate_databases(&config).await?;
    }
    let metrics = telemetry::start_metrics()?;
    let shutdown = Duration::from_secs(config.server.shutdown_seconds);
    let home = config.engines.home.clone();
    let platform = Platform { stop: stop.clone(), ..Platform::connect(config).await? };
    if is_local {
        ensure_admin_key(&platform, &home).await?;
    }
    let listener = tokio::net::TcpListener::bind(platform.config.server.listen)
        .await
        .with_context(|| format!("server.listen {}: choose another address or port", platform.config.server.listen))?;
    let running = roles::start(&platform, &arguments.roles()).await?;
    let address = listener.local_addr()?;
    eprintln!("serving on http://{address}");
    let app = http::app(&platform, running.routes, metrics);
    let drained = async {
        connections::serve(listener, app, connections::HEAD_TIMEOUT, stop.clone()).await;
        for task in running.tasks {
            task.await?;
        }
        anyhow::Ok(())
    };
    let limit = async {
        stop.cancelled().await;
        tokio::time::sleep(shutdown).await;
    };
    tokio::select! {
        ended = drained => ended?,
        () = limit => tracing::warn!("serve.shutdown_timed_out"),
    }
    platform.databases.close().await;
    if let Some(engines) = engines {
        engines.stop().await;
    }
    Ok(())
}

fn watch_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        for is_second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if is_second {
                std::process::exit(130);
            }
            eprintln!("stopping; a second signal ends at once");
            stop.cancel();
        }
    });
    Ok(())
}

/// A key for this machine's own commands, where no key file is.
async fn ensure_admin_key(platform: &Platform, home: &std::path::Path) -> anyhow::Result<()> {
    let path = local::admin_key_path(home);
    if let Ok(text) = std::fs::read_to_string(&path)
        && platform.authenticator.authenticate(text.trim()).await?.is_some()
    {
        return Ok(());
    }
    let key =
        admin::keys::create(&platform.databases, Scope::ALL.to_vec(), None, "local administrator".to_owned()).await?;
    local::write_private(&path, key.shown.reveal())
}
