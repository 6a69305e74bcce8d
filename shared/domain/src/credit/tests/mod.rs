//! Wallets: what is spent first, what the ledger says, and what holds for any course of things.

mod expiry;
mod paying;
mod properties;
mod returning;
mod rules;

use super::*;
use crate::id::{InvoiceId, PriceKey, TenantId};
use crate::invoice::Invoice;
use crate::journal::JournalEvent;
use crate::money::{Currency, Money};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A day of January 2024, at midnight.
fn day(day: u32) -> DateTime<Utc> {
    at(&format!("2024-01-{day:02}T00:00:00Z"))
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

fn units(text: &str) -> Units {
    Units::try_from(text.to_owned()).unwrap()
}

fn wallet(id: &str, unit: &str, prices: &[&str]) -> Wallet {
    Wallet {
        id: WalletId::parse(id).unwrap(),
        tenant: TenantId::parse("acme").unwrap(),
        name: format!("Wallet {id}"),
        unit: serde_json::from_str(unit).unwrap(),
        prices: prices.iter().map(|price| PriceKey::parse(price).unwrap()).collect(),
        zone: chrono_tz::UTC,
        auto_top_up: None,
        created_at: day(1),
    }
}

const MONEY: &str = r#"{"currency":"USD"}"#;
/// A credit is worth three cents.
const CREDITS: &str = r#"{"custom":{"name":"credits","rates":{"USD":"0.03"}}}"#;

fn empty(wallet: Wallet) -> WalletState {
    evolve(None, &create(None, wallet).unwrap()).unwrap().unwrap()
}

/// A paid grant of priority 100 that holds from 1 January on; its cost is its worth.
fn paid(id: &str, amount: &str) -> NewGrant {
    NewGrant {
        id: GrantId::parse(id).unwrap(),
        amount: units(amount),
        kind: GrantKind::Paid,
        cost: None,
        priority: 100,
        effective_at: day(1),
        expires_at: None,
        rollover: None,
        answers: None,
    }
}

fn promotional(id: &str, amount: &str) -> NewGrant {
    NewGrant { kind: GrantKind::Promotional, ..paid(id, amount) }
}

impl WalletState {
    fn with(mut self, asked: NewGrant) -> Self {
        let event = grant(&self, asked, day(1)).unwrap();
        self.take(event, &mut Vec::new()).unwrap();
        self
    }

    fn remaining(&self, id: &str) -> String {
        self.grant(&GrantId::parse(id).unwrap()).unwrap().remaining.to_string()
    }
}

/// A draft of some lines, billed on 20 January.
fn invoice(lines: &[(&str, i64)]) -> Invoice {
    let golden = include_str!("../../../../../schemas/golden/invoice/draft.v1.json");
    let mut invoice: Invoice = serde_json::from_str(golden).unwrap();
    let template = invoice.lines[0].clone();
    invoice.tenant = TenantId::parse("acme").unwrap();
    invoice.billed_at = day(20);
    invoice.lines = lines
        .iter()
        .map(|(price, minor)| {
            let mut line = template.clone();
            (line.price_key, line.amount) = (PriceKey::parse(price).unwrap(), usd(*minor));
            line
        })
        .collect();
    invoice.subtotal = usd(lines.iter().map(|(_, minor)| minor).sum());
    invoice.total = invoice.subtotal;
    invoice
}

/// Who paid how many cents, in order, and what is due then.
fn paid_by(invoice: &Invoice) -> (Vec<(String, i64)>, i64) {
    let rows = invoice.credits.iter().map(|row| (row.grant.to_string(), row.amount.minor));
    (rows.collect(), invoice.amount_due().minor)
}

/// The entries of some events, summed by account and unit: `wallet credits -12.5`. What is zero is left out.
fn booked<'a>(events: impl IntoIterator<Item = &'a JournalEvent>) -> Vec<String> {
    let mut sums = BTreeMap::new();
    for entry in events.into_iter().filter_map(movement).flat_map(|it| &it.entries) {
        *sums.entry((entry.account, entry.unit.clone())).or_insert(rust_decimal::Decimal::ZERO) += entry.amount;
    }
    let told = sums.into_iter().filter(|(_, sum)| !sum.is_zero());
    told.map(|((account, unit), sum)| format!("{} {unit} {}", account.as_str(), sum.normalize())).collect()
}
