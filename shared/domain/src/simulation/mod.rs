//! Simulation: a document of plans, subscriptions and usage becomes every billing period and every invoice, without engine
//! and without clock.
//!
//! What bills for real bills here: [`decide`](crate::subscription::decide) and [`evolve`](crate::subscription::evolve)
//! take the commands, [`next_moment`](crate::subscription::next_moment) and [`closes_at`](crate::subscription::closes_at)
//! say when, [`assemble()`](crate::invoice::assemble) and [`finalize()`](crate::invoice::finalize) make the
//! documents. This module holds only what the stores hold for real: which usage was known when, and what is billed.
//!
//! It stands for a bill run that never sleeps: a moment is closed at the very instant at which its grace is over, and
//! usage is known from its `known_at` on.

mod changes;
mod charges;
mod commands;
mod coupons;
mod course;
mod document;
mod entry;
mod held;
mod late;
mod parse;
mod prepare;
mod receivables;
mod result;
mod run;
mod sums;
mod usage;
mod view;
mod wallets;
mod work;

pub use document::{
    AddChargesInput, CancelInput, CreditNoteInput, DEFAULT_DUE_DAYS, DEFAULT_GRACE_HOURS, DEFAULT_ISSUER,
    DEFAULT_SERIES, GrantInput, PhaseInput, SimulationDocument, StartInput, TenantInput, TimelineEntry, TopUpInput,
    TrialInput, UsageInput, WalletInput, WithdrawChargeInput,
};
pub use parse::{MAX_DOCUMENT_BYTES, parse};
pub use prepare::{MAX_AS_OF, MAX_COMMANDS, MAX_METERS, MAX_PLANS, MAX_TENANTS, MAX_USAGE};
pub use result::{
    NextMoment, PeriodState, PeriodView, SimulationResult, SubscriptionView, Totals, UnbilledUsage, Used, View,
    WalletView,
};
pub use run::MAX_MOMENTS;
pub use wallets::MAX_WALLETS;
pub use work::{MAX_ANSWER_BYTES, MAX_ANSWER_ROWS, MAX_STEPS};

use crate::error::FieldError;
use prepare::Prepared;
use run::Simulation;
use serde::Serialize;
use work::{Answer, Work};

/// Why there is no result: every fault that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub errors: Vec<FieldError>,
}

/// Simulates a document. One that asks for too much work, or for too large an answer, is refused as wrong ones are.
pub fn simulate(document: SimulationDocument) -> Result<SimulationResult, Refusal> {
    simulate_within(document, MAX_STEPS, MAX_ANSWER_ROWS)
}

fn simulate_within(mut document: SimulationDocument, steps: u64, rows: usize) -> Result<SimulationResult, Refusal> {
    let prepared = Prepared::new(&mut document, Work::of(steps)).map_err(|errors| Refusal { errors })?;
    let mut simulation = Simulation::new(&document, &prepared);
    let (mut views, mut answer) = (Vec::with_capacity(document.as_of.len()), Answer::of(rows));
    for as_of in &document.as_of {
        simulation.advance(*as_of)?;
        let view = view::view(&simulation, *as_of)?;
        answer.add(&view)?;
        views.push(view);
    }
    drop(simulation);
    let result = SimulationResult { title: document.title, views };
    answer.check(&result)?;
    Ok(result)
}

/// Reads a document and simulates it.
pub fn simulate_text(text: &str) -> Result<SimulationResult, Refusal> {
    simulate(parse(text)?)
}

/// One document on one line to one result on one line: the result, or `{"errors": […]}`.
pub fn simulate_line(text: &str) -> Result<String, serde_json::Error> {
    match simulate_text(text) {
        Ok(result) => serde_json::to_string(&result),
        Err(refusal) => serde_json::to_string(&refusal),
    }
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Self { errors: vec![error] }
    }
}

#[cfg(test)]
mod tests;
