//! The command line, and nothing else: each command's work is in a module of its own.

use crate::{admin, client, demo, engines, import, serve, simulate};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use talea_platform::config::{self, Config};

/// Usage metering and billing that can be proven line by line.
#[derive(Debug, Parser)]
#[command(name = "talea", version, max_term_width = 100)]
struct Cli {
    /// Configuration file; what it does not say, `talea config --default` says.
    #[arg(long, global = true, env = "TALEA_CONFIG")]
    config: Option<PathBuf>,
    /// Print for a program: JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the roles: ingest, metering, billing, quota, provisioning, and the HTTP API.
    Serve(serve::ServeArguments),
    /// Watch a month of usage become invoices and quota signals, with a proof at the end.
    Demo(demo::DemoArguments),
    /// The demo's sender, a process of its own.
    #[command(hide = true)]
    DemoSend(demo::sender::SendArguments),
    /// The demo's auditor, a process of its own.
    #[command(hide = true)]
    DemoRecount(demo::RecountArguments),
    /// Create or update databases, roles and tables.
    Migrate,
    /// Send usage from files.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// API keys.
    #[command(subcommand)]
    Keys(admin::keys::KeysCommand),
    /// Rebuild every projection from the journal and compare.
    Rebuild,
    /// Create what a JSON file describes: a meter, a plan or a tenant.
    Apply(client::apply::ApplyArguments),
    /// Compute the invoices of a document of plans, subscriptions and usage, without server and engines.
    Simulate(simulate::SimulateArguments),
    /// Billing runs.
    #[command(subcommand)]
    Billing(client::billing::BillingCommand),
    /// How much a tenant used.
    Usage(client::usage::UsageArguments),
    /// Invoices.
    #[command(subcommand)]
    Invoices(client::invoices::InvoicesCommand),
    /// Credit notes.
    #[command(subcommand)]
    CreditNotes(client::credit_notes::CreditNotesCommand),
    /// What could not be counted.
    #[command(subcommand)]
    DeadLetters(client::dead_letters::DeadLettersCommand),
    /// The configuration in force, or the commented default.
    Config(admin::show_config::ConfigArguments),
    /// Hosts a local engine; run by `serve` itself.
    #[command(hide = true, trailing_var_arg = true)]
    Engine {
        #[arg(allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Engine { arguments } = &cli.command {
        return ExitCode::from(u8::try_from(engines::child(arguments)).unwrap_or(1));
    }
    talea_platform::telemetry::start_logs(cli.json || std::env::var_os("TALEA_LOG_JSON").is_some());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let load = |overrides: &[(&str, String)]| -> anyhow::Result<Config> {
        Ok(config::load(cli.config.as_deref(), overrides)?)
    };
    let json = cli.json;
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        Command::Serve(arguments) => serve::run(load(&arguments.overrides())?, &arguments).await.map(done),
        Command::Demo(arguments) => demo::run(load(&[])?, arguments, json).await,
        Command::DemoSend(arguments) => demo::sender::run(arguments).await.map(done),
        Command::DemoRecount(arguments) => tokio::task::spawn_blocking(move || demo::recount(arguments)).await?,
        Command::Migrate => admin::migrate(load(&[])?).await.map(done),
        Command::Import(command) => {
            let report = import::command(command, &load(&[])?.engines.home, json).await?;
            Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
        Command::Keys(command) => admin::keys::run(load(&[])?, command, json).await.map(done),
        Command::Rebuild => admin::rebuild(load(&[])?, json).await,
        Command::Apply(arguments) => client::apply::run(&load(&[])?, &arguments, json).await.map(done),
        Command::Simulate(arguments) => simulate::run(&arguments, json),
        Command::Billing(command) => client::billing::run(&load(&[])?, &command, json).await.map(done),
        Command::Usage(arguments) => client::usage::run(&load(&[])?, &arguments, json).await.map(done),
        Command::Invoices(command) => client::invoices::run(&load(&[])?, &command, json).await.map(done),
        Command::CreditNotes(command) => client::credit_notes::run(&load(&[])?, &command, json).await.map(done),
        Command::DeadLetters(command) => client::dead_letters::run(&load(&[])?, &command, json).await.map(done),
        Command::Config(arguments) => admin::show_config::run(&arguments, || load(&[])).map(done),
        Command::Engine { .. } => unreachable!("handled before the runtime starts"),
    }
}
