//! `talea import csv`: any CSV file as usage events, through the same HTTP route as everyone's.
//!
//! The file is read once for its identity and once row by row ([`reader`]); a mapping says which column is what
//! ([`mapping`], [`row`]); batches are sent until each event has a final verdict ([`sender`]); what was not accepted stands in
//! the rejects file ([`rejects`]). Running an import again changes nothing, whether the first ended or was killed.

pub mod key;
mod mapping;
mod reader;
mod rejects;
mod report;
mod row;
mod sender;
mod time;

pub use report::ImportReport;
pub use sender::Patience;

use anyhow::{Context, ensure};
use futures::{Stream, StreamExt, stream};
use mapping::Mapping;
use reader::{Batch, Row, Source};
use rejects::Rejects;
use report::Progress;
use sender::{Sender, Sent};
use std::path::{Path, PathBuf};
use talea_domain::id::TenantId;
use talea_platform::secret::Secret;
use tokio::sync::mpsc;

/// Requests under way at once: enough to keep the server's log busy, few enough to leave room for others.
const REQUESTS_IN_FLIGHT: usize = 3;
/// Batches that are read ahead.
const BATCHES_AHEAD: usize = 2;

#[derive(Debug, Clone, clap::Subcommand)]
pub enum ImportCommand {
    /// Send the rows of a CSV file as usage events.
    Csv(ImportArgs),
}

#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// The CSV file; its first line names the columns.
    pub file: PathBuf,
    /// TOML file that says which column is what.
    #[arg(long)]
    pub mapping: PathBuf,
    /// Whose usage it is, instead of what the mapping says.
    #[arg(long)]
    pub tenant: Option<TenantId>,
    /// Admit times that are older than the window. Needs a key with the scope `admin`.
    #[arg(long)]
    pub backfill: bool,
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// File that holds the API key; without it the environment's TALEA_API_KEY, else the local administrator's key.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
    /// Where the rows that were not accepted are written [default: FILE.rejects.csv].
    #[arg(long)]
    pub rejects: Option<PathBuf>,
}

/// Everything an import needs.
#[derive(Debug, Clone)]
pub struct Options {
    pub file: PathBuf,
    pub mapping: PathBuf,
    pub tenant: Option<TenantId>,
    pub backfill: bool,
    pub url: String,
    pub key: Secret,
    pub rejects: PathBuf,
    pub show_progress: bool,
    pub patience: Patience,
}

impl ImportArgs {
    /// `home` is the local engines' folder, where the local administrator's key lies.
    pub fn options(&self, home: &Path) -> anyhow::Result<Options> {
        let key = key::resolve(self.key_file.as_deref(), std::env::var(key::VARIABLE).ok(), home)?;
        Ok(Options {
            file: self.file.clone(),
            mapping: self.mapping.clone(),
            tenant: self.tenant.clone(),
            backfill: self.backfill,
            url: self.url.clone(),
            key,
            rejects: self.rejects.clone().unwrap_or_else(|| rejects::default_path(&self.file)),
            show_progress: true,
            patience: Patience::default(),
        })
    }
}

/// Runs the command and prints its report to standard output, as JSON for a program.
pub async fn command(command: ImportCommand, home: &Path, json: bool) -> anyhow::Result<ImportReport> {
    let ImportCommand::Csv(arguments) = command;
    let report = run(Options { show_progress: !json, ..arguments.options(home)? }).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(report)
}

/// Sends the whole file. Rows that cannot be sent or are refused do not stop it; a server that stays away does.
pub async fn run(options: Options) -> anyhow::Result<ImportReport> {
    check_rejects(&options)?;
    let sender = Sender::new(&options.url, &options.key, options.backfill, options.patience)?;
    let (source, delimiter) = open(&options).await?;
    let mut rejects = Rejects::new(options.rejects.clone(), source.header.clone(), delimiter);
    let progress = Progress::new(file_bytes(&options.file)?, options.show_progress)?;
    let (batches, received) = mpsc::channel(BATCHES_AHEAD);
    let reading = tokio::task::spawn_blocking(move || source.read_all(&batches));

    let mut report = ImportReport { file: options.file.clone(), ..ImportReport::default() };
    let mut sending =
        std::pin::pin!(batches_of(received).map(|batch| settle(&sender, batch)).buffer_unordered(REQUESTS_IN_FLIGHT));
    while let Some(settled) = sending.next().await {
        let Settled { sent, malformed, bytes_read } = settled?;
        report.add(&sent, malformed.len());
        for (row, reason) in malformed.iter().chain(&sent.rejected) {
            report.reason(reason);
            rejects.add(row.line, reason, &row.record)?;
        }
        progress.show(bytes_read, &report);
    }
    reading.await.context("the reader failed")??;
    progress.finish();
    report.rejects_file = rejects.finish()?;
    Ok(report)
}

struct Settled {
    sent: Sent,
    malformed: Vec<(Row, String)>,
    bytes_read: u64,
}

async fn settle(sender: &Sender, batch: Batch) -> anyhow::Result<Settled> {
    let sent = sender.send(batch.items).await?;
    Ok(Settled { sent, malformed: batch.malformed, bytes_read: batch.bytes_read })
}

fn batches_of(received: mpsc::Receiver<Batch>) -> impl Stream<Item = Batch> {
    stream::unfold(received, |mut received| async { received.recv().await.map(|batch| (batch, received)) })
}

async fn open(options: &Options) -> anyhow::Result<(Source, u8)> {
    let (file, mapping, tenant) = (options.file.clone(), options.mapping.clone(), options.tenant.clone());
    let opening = tokio::task::spawn_blocking(move || {
        let mapping = Mapping::read(&mapping)?;
        Ok((Source::open(&file, &mapping, tenant.as_ref())?, mapping.delimiter()))
    });
    opening.await.context("the reader failed")?
}

/// The rejects file is written anew: it must not be one of the files that are read.
fn check_rejects(options: &Options) -> anyhow::Result<()> {
    let Ok(rejects) = options.rejects.canonicalize() else { return Ok(()) };
    let is_read =
        [&options.file, &options.mapping].iter().any(|file| file.canonicalize().is_ok_and(|file| file == rejects));
    ensure!(
        !is_read,
        "--rejects {} would overwrite what the import reads; name another file",
        options.rejects.display()
    );
    Ok(())
}

fn file_bytes(file: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(file).with_context(|| format!("reading {}", file.display()))?.len())
}

impl ImportReport {
    fn add(&mut self, sent: &Sent, malformed: usize) {
        let (malformed, rejected) = (malformed as u64, sent.rejected.len() as u64);
        self.rows += sent.accepted + rejected + malformed;
        self.accepted += sent.accepted;
        self.rejected += rejected;
        self.malformed += malformed;
        self.sent_again += sent.sent_again;
    }
}

#[cfg(test)]
mod tests;
