//! Reads the file twice: once to name it by its content, once row by row into batches.

use super::mapping::{Layout, Mapping};
use super::row::{self, FileIdentity};
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use tokio::sync::mpsc;

/// Events of one request: below the server's default of 10,000, so that its settings may be halved.
pub const BATCH_EVENTS: usize = 5_000;
/// Bytes of one request before compression, well below the server's default of 8 MiB.
const BATCH_BYTES: usize = 4 << 20;

/// A row with its place in the file.
#[derive(Debug, Clone)]
pub struct Row {
    /// From 1, as an editor counts.
    pub line: u64,
    pub record: csv::StringRecord,
}

/// A row and the event that it became.
#[derive(Debug, Clone)]
pub struct Item {
    pub row: Row,
    pub event: String,
}

/// What was read since the batch before.
#[derive(Debug, Default)]
pub struct Batch {
    pub items: Vec<Item>,
    /// Rows that are no event, and why.
    pub malformed: Vec<(Row, String)>,
    /// The file's bytes up to here.
    pub bytes_read: u64,
    event_bytes: usize,
}

/// A file whose header fits the mapping.
pub struct Source {
    reader: csv::Reader<File>,
    layout: Layout,
    identity: FileIdentity,
    pub header: csv::StringRecord,
}

impl Source {
    pub fn open(path: &Path, mapping: &Mapping, tenant: Option<&talea_domain::id::TenantId>) -> anyhow::Result<Self> {
        let context = || format!("reading {}", path.display());
        let identity = FileIdentity::new(&sha256(path).with_context(context)?);
        let file = File::open(path).with_context(context)?;
        // A row with another number of columns is a reject, not the end.
        let mut reader = csv::ReaderBuilder::new().flexible(true).delimiter(mapping.delimiter()).from_reader(file);
        let header = reader.headers().with_context(context)?.clone();
        let layout = mapping.layout(&header, tenant).with_context(context)?;
        Ok(Self { reader, layout, identity, header })
    }

    /// Reads to the end; stops early when nobody listens any more.
    pub fn read_all(mut self, batches: &mpsc::Sender<Batch>) -> anyhow::Result<()> {
        let (mut bytes, mut number, mut batch) = (csv::ByteRecord::new(), 0, Batch::default());
        while self.reader.read_byte_record(&mut bytes).context("reading the file")? {
            number += 1;
            self.add(&bytes, number, &mut batch);
            if batch.is_full() {
                batch.bytes_read = self.reader.position().byte();
                if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                    return Ok(());
                }
            }
        }
        batch.bytes_read = self.reader.position().byte();
        // Who no longer listens has failed already and says so.
        let _ = batches.blocking_send(batch);
        Ok(())
    }

    fn add(&self, bytes: &csv::ByteRecord, number: u64, batch: &mut Batch) {
        let line = bytes.position().map_or(0, csv::Position::line);
        match csv::StringRecord::from_byte_record(bytes.clone()) {
            Ok(record) => match row::event(&record, number, &self.layout, &self.identity) {
                Ok(event) => batch.push(Item { row: Row { line, record }, event }),
                Err(reason) => batch.malformed.push((Row { line, record }, reason)),
            },
            Err(_) => {
                let record = csv::StringRecord::from_byte_record_lossy(bytes.clone());
                batch.malformed.push((Row { line, record }, "the row is not UTF-8".to_owned()));
            }
        }
    }
}

impl Batch {
    fn push(&mut self, item: Item) {
        self.event_bytes += item.event.len() + 1;
        self.items.push(item);
    }

    fn is_full(&self) -> bool {
        self.items.len() + self.malformed.len() >= BATCH_EVENTS || self.event_bytes >= BATCH_BYTES
    }
}

fn sha256(path: &Path) -> std::io::Result<Vec<u8>> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_vec()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
