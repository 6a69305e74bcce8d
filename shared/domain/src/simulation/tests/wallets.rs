//! Wallets: in words, for the page of worked examples; what must hold of any; what is refused.

use super::*;
use crate::credit::{Account, GrantKind, Movement, Units};
use crate::invoice::Invoice;
use crate::money::group_thousands;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The ledger balances, balances are its folds, and what invoices were paid is what the wallets lost.
pub fn check(view: &View) {
    let mut spent: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for invoice in &view.invoices {
        for row in &invoice.credits {
            *spent.entry((row.wallet.as_str(), row.grant.as_str())).or_default() += row.amount.minor;
        }
    }
    for wallet in &view.wallets {
        let mut last = 0;
        for movement in &wallet.ledger {
            movement.verify().unwrap();
            assert_eq!(movement.number, last + 1, "a movement of {} is missing", wallet.wallet.id);
            assert!(movement.at <= view.as_of);
            last = movement.number;
        }
        for held in &wallet.grants {
            let booked = |account, movement: Option<Movement>| -> Decimal {
                let of_kind = wallet.ledger.iter().filter(|it| movement.is_none_or(|movement| it.movement == movement));
                let entries = of_kind.flat_map(|it| &it.entries);
                entries.filter(|it| it.grant == held.grant.id && it.account == account).map(|it| it.amount).sum()
            };
            assert!(held.remaining >= Units::ZERO);
            assert_eq!(held.remaining.to_decimal(), -booked(Account::Wallet, None));
            assert_eq!(
                held.deferred.map_or(Decimal::ZERO, |it| it.to_decimal()),
                -booked(Account::DeferredRevenue, None)
            );
            let paid = spent.remove(&(wallet.wallet.id.as_str(), held.grant.id.as_str())).unwrap_or_default();
            assert_eq!(
                Decimal::new(paid, 2),
                -booked(Account::Receivable, Some(Movement::Consumed)),
                "{}",
                held.grant.id
            );
        }
    }
    assert!(spent.is_empty(), "paid by nobody: {spent:?}");
}

#[test]
fn a_wrong_wallet_or_grant_names_its_place() {
    let document = |wallets: Value, command: Value| {
        json!({"currency": "USD", "as_of": "2024-03-15T00:00:00Z", "plans": [], "tenants": [{"id": "acme", "zone": "UTC"}],
            "wallets": wallets, "timeline": [command]})
    };
    let check = |wallets: Value, command: Value, field: &str| {
        let refusal = simulate_text(&document(wallets, command).to_string()).unwrap_err();
        assert_eq!(refusal.errors[0].field, field, "{refusal:?}");
    };
    let sold = json!({"at": "2024-01-01T00:00:00Z", "grant_credit": {"wallet": "w", "amount": "1"}});
    let wallet = json!({"id": "w", "tenant": "acme"});
    assert!(simulate_text(&document(json!([wallet]), sold.clone()).to_string()).is_ok());
    check(json!([]), sold.clone(), "/timeline/0/grant_credit/wallet");
    check(json!([wallet, wallet]), sold.clone(), "/wallets/1/id");
    check(json!([{"id": "w", "tenant": "globex"}]), sold.clone(), "/wallets/0/tenant");
    check(json!([{"id": "w", "tenant": "acme", "name": ""}]), sold.clone(), "/wallets/0/name");
    let mut changed = sold.clone();
    changed["grant_credit"]["amount"] = json!("0.001");
    check(json!([wallet]), changed.clone(), "/timeline/0/grant_credit/amount");
    changed["grant_credit"]["amount"] = json!(5);
    check(json!([wallet]), changed, "/timeline/0/grant_credit/amount");
    let answer = json!({"at": "2024-01-01T00:00:00Z", "top_up": {"wallet": "w"}});
    check(json!([wallet]), answer, "/timeline/0/top_up");
}

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
