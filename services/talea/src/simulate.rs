//! `talea simulate`: the domain's simulation of a document, for people, for programs, and for many documents in a stream.
//! Nothing is asked of a server.

use crate::client::{invoices, table};
use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use talea_domain::error::FieldError;
use talea_domain::simulation::{
    MAX_DOCUMENT_BYTES, PeriodState, Refusal, SimulationResult, View, simulate_line, simulate_text,
};

/// The answer when some documents of a stream were refused, as for an import that is not complete.
const SOME_REFUSED: u8 = 2;

#[derive(Debug, Clone, clap::Args)]
pub struct SimulateArguments {
    /// The document (schemas/simulation.v1.schema.json); `-` is standard input, also where no file is named.
    file: Option<PathBuf>,
    /// One document a line, answered by one result a line, in order. A wrong one is answered by {"errors": [...]}, and the
    /// rest goes on.
    #[arg(long)]
    jsonl: bool,
}

pub fn run(arguments: &SimulateArguments, json: bool) -> anyhow::Result<ExitCode> {
    let file = arguments.file.as_deref().unwrap_or(Path::new("-"));
    let input: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| file.display().to_string())?)
    };
    if arguments.jsonl {
        let all_taken = lines(BufReader::new(input), BufWriter::new(io::stdout().lock()))?;
        return Ok(if all_taken { ExitCode::SUCCESS } else { ExitCode::from(SOME_REFUSED) });
    }
    let text =
        io::read_to_string(input.take(MAX_DOCUMENT_BYTES as u64 + 1)).with_context(|| file.display().to_string())?;
    match simulate_text(&text) {
        Ok(result) if json => table::json(&result)?,
        Ok(result) => show(&result)?,
        Err(refusal) if json => {
            table::json(&refusal)?;
            return Ok(ExitCode::FAILURE);
        }
        Err(refusal) => bail!("{}", refusal.errors.iter().map(told).collect::<Vec<_>>().join("\nerror: ")),
    }
    Ok(ExitCode::SUCCESS)
}

/// A fault of the whole document has no place in it.
fn told(error: &FieldError) -> String {
    if error.field.is_empty() { format!("the document {}; {}", error.reason, error.way_out) } else { error.to_string() }
}

/// Answers whether every document was taken. A reader that has seen enough ends the stream.
fn lines(mut input: impl BufRead, mut output: impl Write) -> anyhow::Result<bool> {
    let (mut line, mut all_taken) = (Vec::new(), true);
    loop {
        line.clear();
        let bound = MAX_DOCUMENT_BYTES as u64 + 1;
        if input.by_ref().take(bound).read_until(b'\n', &mut line)? == 0 {
            output.flush()?;
            return Ok(all_taken);
        }
        let is_whole = line.last() == Some(&b'\n') || (line.len() as u64) < bound;
        if !is_whole {
            input.skip_until(b'\n')?;
        }
        let answer = answer(&line)?;
        all_taken &= !answer.starts_with("{\"errors\"");
        match writeln!(output, "{answer}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(all_taken),
            other => other?,
        }
    }
}

fn answer(line: &[u8]) -> anyhow::Result<String> {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    match std::str::from_utf8(text) {
        Ok(text) => Ok(simulate_line(text)?),
        Err(_) => {
            let error = FieldError::new("", "is not UTF-8", "send one document as a JSON object in UTF-8");
            Ok(serde_json::to_string(&Refusal::from(error))?)
        }
    }
}

fn show(result: &SimulationResult) -> anyhow::Result<()> {
    if let Some(title) = &result.title {
        table::line(title)?;
    }
    result.views.iter().try_for_each(show_view)
}

fn show_view(view: &View) -> anyhow::Result<()> {
    table::line(format!("\nAs of {}\n", view.as_of))?;
    let header = ["subscription", "period", "state", "usage", "billed for it", "next moment", "final on"];
    let rows = view.subscriptions.iter().flat_map(|subscription| {
        let last = subscription.periods.len().saturating_sub(1);
        subscription.periods.iter().enumerate().map(move |(index, period)| {
            let usage = period.usage.iter().map(|(meter, used)| format!("{} {meter}", used.0.normalize()));
            let next = subscription.next.filter(|_| index == last);
            vec![
                subscription.subscription.id.to_string(),
                format!("{} to {}", day(period.served.start), day(period.served.end)),
                state(period.state).to_owned(),
                usage.collect::<Vec<_>>().join(", "),
                period.billed.to_string(),
                next.map(|next| day(next.at)).unwrap_or_default(),
                next.map(|next| day(next.closes_at)).unwrap_or_default(),
            ]
        })
    });
    table::print(&header, &[4], rows)?;
    for invoice in view.invoices.iter().map(AsRef::as_ref).chain(&view.drafts) {
        table::whole(&format!("\n{}", invoices::readable(&serde_json::to_value(invoice)?)?))?;
    }
    for unbilled in &view.unbilled_usage {
        table::line(format!("\nnot billed: {}: {}", unbilled.usage, unbilled.reason))?;
    }
    for totals in &view.totals {
        let (count, sum, drafted) = (totals.invoices, totals.invoiced, totals.drafted);
        table::line(format!("\n{count} invoices over {sum}, drafts over {drafted}"))?;
    }
    Ok(())
}

fn state(state: PeriodState) -> &'static str {
    match state {
        PeriodState::Open => "open",
        PeriodState::Waiting => "waiting",
        PeriodState::Closed => "closed",
    }
}

/// UTC, without a midnight.
fn day(instant: DateTime<Utc>) -> String {
    let text = instant.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    text.strip_suffix("T00:00:00Z").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_answered_by_a_line_in_order() {
        let good = include_str!("../../../schemas/examples/simulate/103-per-unit.json").replace('\n', " ");
        let input = format!("{good}\n{{\"currency\":1}}\n\n{good}");
        let mut output = Vec::new();
        assert!(!lines(input.as_bytes(), &mut output).expect("written"));
        let output = String::from_utf8(output).expect("UTF-8");
        let answers: Vec<&str> = output.lines().collect();
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0], answers[3]);
        assert!(answers[0].contains("57.87"), "{}", answers[0]);
        assert!(answers[1].starts_with("{\"errors\":[{\"field\":\"/currency\""), "{}", answers[1]);
        assert!(answers[2].starts_with("{\"errors\":[{\"field\":\"\""), "{}", answers[2]);
        assert!(lines(good.as_bytes(), Vec::new()).expect("written"));
    }

    #[test]
    fn bytes_that_are_no_text_are_told() {
        assert!(answer(&[0xff, b'\n']).expect("an answer").contains("is not UTF-8"));
    }
}
