//! How much one document may ask for. The bounds of its members multiply: views by subscriptions by usage is hours, and an
//! answer larger than any memory. So its work is counted in steps, not in time, and its answer in rows: the same document is
//! taken or refused on every machine.

use super::result::View;
use crate::error::FieldError;
use crate::invoice::Invoice;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// The steps of one document. A step is a reading that is measured, a price that is looked at, a line that is compared:
/// 20 to 100 ns of one core.
pub const MAX_STEPS: u64 = 100_000_000;
/// The rows of one answer, over all of its views: periods, lines and their rows, movements of credits, usage that nobody pays.
pub const MAX_ANSWER_ROWS: usize = 1_000_000;
/// The JSON of one answer, in bytes.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// An answer of so many rows has its bytes counted before it is given.
const MANY_ROWS: usize = 50_000;
/// Comparing what lies in one row of memory is this many times as fast as a step.
const SCANNED_IN_A_STEP: usize = 8;

/// What is left of a document's steps.
pub(super) struct Work {
    most: u64,
    left: AtomicU64,
}

/// Not one step is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document needs more than {most} steps of work; split it by tenant, or ask for fewer or earlier as_of")]
pub(super) struct Exhausted {
    most: u64,
}

impl Exhausted {
    /// Told where no command is at fault.
    pub fn at(self, field: &str) -> FieldError {
        let text = self.to_string();
        let (reason, way_out) = text.split_once("; ").unwrap_or((&text, ""));
        FieldError::new(field, reason, way_out)
    }
}

impl Work {
    pub fn of(most: u64) -> Self {
        Self { most, left: AtomicU64::new(most) }
    }

    /// Takes steps before they are made.
    pub fn spend(&self, steps: usize) -> Result<(), Exhausted> {
        // One thread simulates a document, so that nothing comes between reading and writing.
        let left = self.left.load(Ordering::Relaxed).checked_sub(steps as u64);
        let left = left.ok_or(Exhausted { most: self.most })?;
        self.left.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// Takes the steps of looking through many small things.
    pub fn scan(&self, many: usize) -> Result<(), Exhausted> {
        self.spend(many / SCANNED_IN_A_STEP)
    }
}

/// How large the answer has become.
pub(super) struct Answer {
    most: usize,
    rows: usize,
}

impl Answer {
    pub fn of(most: usize) -> Self {
        Self { most, rows: 0 }
    }

    /// Takes a view into the answer, or refuses it.
    pub fn add(&mut self, view: &View) -> Result<(), FieldError> {
        self.rows = self.rows.saturating_add(rows(view));
        if self.rows > self.most { Err(too_large(&format!("{} rows", self.most))) } else { Ok(()) }
    }

    /// Whether its bytes, too, are within their bound.
    pub fn check(&self, result: &impl Serialize) -> Result<(), FieldError> {
        if self.rows <= MANY_ROWS {
            return Ok(());
        }
        let counted = serde_json::to_writer(Counter { left: MAX_ANSWER_BYTES }, result);
        counted.map_err(|_| too_large(&format!("{MAX_ANSWER_BYTES} bytes")))
    }
}

fn too_large(than: &str) -> FieldError {
    let way_out = "split the document by tenant, or ask for fewer or earlier as_of";
    FieldError::new("/as_of", format!("the answer has more than {than}"), way_out)
}

fn rows(view: &View) -> usize {
    let of_invoice = |invoice: &Invoice| {
        let lines = invoice.lines.iter().map(|line| 1 + line.rows.len() + line.explanation.len());
        1 + lines.sum::<usize>() + invoice.discounts.len() + invoice.taxes.len() + invoice.credits.len()
    };
    let subscriptions = view.subscriptions.iter().map(|it| {
        let periods = it.periods.iter().map(|period| 1 + period.usage.len());
        1 + it.subscription.changes.len() + periods.sum::<usize>()
    });
    let receivables = view.receivables.iter().map(|it| 1 + it.payments.len() + it.dunning.len());
    let wallets = view.wallets.iter().map(|it| 1 + it.grants.len() + it.ledger.len());
    let notes = view.credit_notes.iter().map(|note| 1 + note.lines.len());
    subscriptions.chain(receivables).chain(wallets).chain(notes).sum::<usize>()
        + view.invoices.iter().map(|invoice| of_invoice(invoice)).sum::<usize>()
        + view.drafts.iter().map(of_invoice).sum::<usize>()
        + view.unbilled_usage.len()
        + view.tenant_states.len()
        + view.open_credits.len()
        + view.charges.len()
}

/// Counts bytes, and keeps none.
struct Counter {
    left: usize,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
