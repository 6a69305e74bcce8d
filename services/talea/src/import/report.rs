//! What an import did, for people and for programs, and the progress while it runs.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Reasons that are told apart; the rest is counted as [`OTHER_REASONS`]. Every reject has its own in the rejects file.
const MAX_REASONS: usize = 20;
const OTHER_REASONS: &str = "other reasons";

/// The counts of one import. Every row is accepted, rejected or malformed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    pub file: PathBuf,
    pub rows: u64,
    /// Durable in the log; rows that were imported before are among them and count once.
    pub accepted: u64,
    /// Refused by the server.
    pub rejected: u64,
    /// No event, by the mapping.
    pub malformed: u64,
    /// Events that were sent more than once, because they were not acknowledged at first.
    pub sent_again: u64,
    /// How many rows were not accepted, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Every row that was not accepted, with its reason.
    pub rejects_file: Option<PathBuf>,
}

impl ImportReport {
    /// Whether every row was accepted.
    pub fn is_complete(&self) -> bool {
        self.accepted == self.rows
    }

    pub(super) fn reason(&mut self, reason: &str) {
        let known = self.reasons.contains_key(reason) || self.reasons.len() < MAX_REASONS;
        *self.reasons.entry(if known { reason } else { OTHER_REASONS }.to_owned()).or_default() += 1;
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} rows", self.file.display(), self.rows)?;
        writeln!(f, "  accepted   {:>10}", self.accepted)?;
        writeln!(f, "  rejected   {:>10}  by the server", self.rejected)?;
        writeln!(f, "  malformed  {:>10}  no event by the mapping", self.malformed)?;
        for (reason, rows) in &self.reasons {
            writeln!(f, "  {rows:>10} x {reason}")?;
        }
        if self.sent_again > 0 {
            writeln!(f, "  {} events were sent again until they were acknowledged", self.sent_again)?;
        }
        match &self.rejects_file {
            Some(path) => write!(f, "  what was not accepted is in {}", path.display()),
            None => write!(f, "  running it again changes nothing"),
        }
    }
}

/// A bar over the file's bytes; hidden where nobody watches.
pub struct Progress(ProgressBar);

impl Progress {
    pub fn new(file_bytes: u64, visible: bool) -> anyhow::Result<Self> {
        let bar = if visible { ProgressBar::new(file_bytes) } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta} {msg}")?);
        Ok(Self(bar))
    }

    pub fn show(&self, bytes_read: u64, report: &ImportReport) {
        self.0.set_position(bytes_read);
        let ImportReport { accepted, rejected, malformed, .. } = report;
        self.0.set_message(format!("accepted {accepted}, rejected {rejected}, malformed {malformed}"));
    }

    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_are_bounded() {
        let mut report = ImportReport::default();
        (0..1000).for_each(|n| report.reason(&format!("`{n}` is no time")));
        report.reason("`3` is no time");
        assert_eq!(report.reasons.len(), MAX_REASONS + 1);
        assert_eq!(report.reasons.values().sum::<u64>(), 1001);
        assert_eq!(report.reasons["`3` is no time"], 2);
    }
}
