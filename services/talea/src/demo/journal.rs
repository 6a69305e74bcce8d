//! The sender's own journal: what it sent and what was acknowledged, one JSON object a line. The auditor reads it and
//! nothing else of the sender.

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

pub struct Journal(BufWriter<File>);

impl Journal {
    pub fn create(path: &Path, setup: &Value) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("write {}", path.display()))?;
        let mut journal = Self(BufWriter::new(file));
        journal.line(setup)?;
        Ok(journal)
    }

    /// Adds to a journal whose writer has ended.
    pub fn go_on(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().append(true).open(path).with_context(|| format!("write {}", path.display()))?;
        Ok(Self(BufWriter::new(file)))
    }

    /// From here on the server's clock stands there.
    pub fn clock(&mut self, now: DateTime<Utc>) -> anyhow::Result<()> {
        self.line(&json!({ "clock": now }))
    }

    /// Everything due by then was billed here: what is acknowledged later comes after the close.
    pub fn barrier(&mut self, as_of: DateTime<Utc>) -> anyhow::Result<()> {
        self.line(&json!({ "barrier": as_of }))
    }

    pub fn verdict(&mut self, event: &Value, verdict: &Value) -> anyhow::Result<()> {
        self.line(&json!({ "event": event, "verdict": verdict["status"], "field": verdict["field"] }))
    }

    /// On disk before the next request goes out.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }

    fn line(&mut self, value: &Value) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.0, value)?;
        Ok(self.0.write_all(b"\n")?)
    }
}
