//! Wallets in words, for the page of worked examples.

use super::*;
use crate::credit::GrantKind;
use crate::invoice::Invoice;
use crate::money::group_thousands;
use chrono::{DateTime, Utc};
use std::fmt::Write;

pub fn granted(grant: &GrantInput, print: fn(DateTime<Utc>) -> String) -> String {
    let kind = match grant.kind {
        Some(GrantKind::Promotional) => "promotional",
        Some(GrantKind::Paid) | None => "paid",
    };
    let cost = grant.cost.map(|cost| format!(" for {cost}")).unwrap_or_default();
    let priority = grant.priority.map(|priority| format!(", priority {priority}")).unwrap_or_default();
    let until = grant.expires_at.map(|at| format!(", until {}", print(at))).unwrap_or_default();
    let rollover = grant.rollover.map(|rollover| {
        let cap = rollover.cap.map_or("the rest".to_owned(), |cap| format!("at most {cap} of the rest"));
        let until = rollover.until.map(|at| format!(", until {}", print(at))).unwrap_or_default();
        format!("; {cap} rolls over{until}")
    });
    let name = grant.id.as_ref().map(|id| format!(" as `{id}`")).unwrap_or_default();
    let (amount, rollover) = (grant.amount, rollover.unwrap_or_default());
    format!("{amount} {kind} into wallet `{}`{name}{cost}{priority}{until}{rollover}", grant.wallet)
}

/// The rows below an invoice's total.
pub fn credits(page: &mut String, invoice: &Invoice) {
    for credit in &invoice.credits {
        let units = credit.units.zip(credit.unit.as_ref()).map(|(units, unit)| format!(", {units} {unit}"));
        let units = units.unwrap_or_default();
        writeln!(page, "| {}, `{}`{units} | -{} |", credit.description, credit.grant, credit.amount).unwrap();
    }
    if let Some(due) = invoice.amount_due {
        writeln!(page, "| **Due** | **{due}** |").unwrap();
    }
}

/// A wallet, its grants, and its ledger.
pub fn wallet(page: &mut String, view: &WalletView, print: fn(DateTime<Utc>) -> String) {
    let unit = view.wallet.unit.name();
    write!(page, "\nWallet `{}`: **{} {unit}**", view.wallet.id, view.balance).unwrap();
    for held in &view.grants {
        write!(page, ", {} of `{}`", held.remaining, held.grant.id).unwrap();
    }
    if let Some(order) = &view.open_order {
        write!(page, "; an order over {} is open since {}", order.amount, print(order.ordered_at)).unwrap();
    }
    page.push_str(".\n\n| when | movement | grant | debit | credit |\n|---|---|---|---|---|\n");
    for movement in &view.ledger {
        let mut grants: Vec<_> = movement.entries.iter().map(|entry| &entry.grant).collect();
        grants.sort();
        grants.dedup();
        for grant in grants {
            let side = |is_debit: bool| {
                let entries = movement.entries.iter().filter(|it| it.grant == *grant);
                let told = entries.filter(|it| it.amount.is_sign_positive() == is_debit).map(|it| {
                    let account = it.account.as_str().replace('_', " ");
                    format!("{account} {} {}", group_thousands(it.amount.abs(), 2), it.unit)
                });
                told.collect::<Vec<_>>().join("<br>")
            };
            let what = movement.movement.as_str().replace('_', " ");
            writeln!(page, "| {} | {what} | `{grant}` | {} | {} |", print(movement.at), side(true), side(false))
                .unwrap();
        }
    }
}
