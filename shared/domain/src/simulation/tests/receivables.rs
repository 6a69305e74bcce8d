//! What became of invoices, in words for the page; and what its commands are refused with.

use super::*;
use crate::money::group_thousands;
use serde_json::{Value, json};
use std::fmt::Write;

/// A command about an invoice in words; none for others.
pub fn command(entry: &TimelineEntry) -> Option<String> {
    let as_written = |method: &Option<String>| method.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
    if let Some(it) = &entry.record_payment {
        let method = as_written(&it.method);
        return Some(format!("payment `{}` of {} for {}{method}", it.reference, it.amount, it.invoice));
    }
    if let Some(it) = &entry.settle_from_credit {
        let amount = it.amount.map_or("as far as it goes".to_owned(), |amount| amount.to_string());
        return Some(format!("{} is settled from open credit, {amount}", it.invoice));
    }
    if let Some(it) = &entry.reverse_payment {
        return Some(format!("payment `{}` of {} is reversed: {}", it.reference, it.invoice, it.reason));
    }
    if let Some(it) = &entry.mark_uncollectible {
        return Some(format!("{} is written off: {}", it.invoice, it.reason));
    }
    if let Some(it) = &entry.void_invoice {
        return Some(format!("{} is voided: {}", it.invoice, it.reason));
    }
    let it = entry.issue_credit_note.as_ref()?;
    let lines: Vec<String> = it.lines.iter().flatten().map(credited).collect();
    let what = if lines.is_empty() { "whole".to_owned() } else { lines.join(", ") };
    Some(format!("{} is credited, {what}: {}", it.invoice, it.reason))
}

fn credited(line: &crate::credit_note::CreditLine) -> String {
    let part = match (line.quantity, line.amount) {
        (Some(quantity), _) => format!("quantity {quantity} of "),
        (None, Some(amount)) => format!("{amount} of "),
        (None, None) => "the rest of ".to_owned(),
    };
    format!("{part}line {}", line.line)
}

/// The state of the invoices, their notes, credit and suspensions.
pub fn show(page: &mut String, view: &View) {
    if view.receivables.is_empty() {
        return;
    }
    page.push_str("\n| invoice | state | paid | credited | open | dunning |\n|---|---|---:|---:|---:|---|\n");
    for it in &view.receivables {
        let steps: Vec<String> =
            it.dunning.iter().map(|step| format!("{} after {} days", step.step, step.after_days)).collect();
        let state = it.payment_state.as_str().replace('_', " ");
        let (paid, credited, open) = (it.amount_paid, it.amount_credited, it.amount_open);
        let steps = steps.join(", ");
        writeln!(page, "| {} | {state} | {paid} | {credited} | {open} | {steps} |", it.invoice).unwrap();
    }
    for note in &view.credit_notes {
        let tax = if note.tax.is_zero() { String::new() } else { format!(", with {} tax", note.tax) };
        writeln!(
            page,
            "\n**Credit note {}** of {}: {}{tax}; {} less to pay, {} owed back.",
            note.number, note.invoice_number, note.total, note.reduces_open, note.credit_owed
        )
        .unwrap();
        page.push_str("\n| credited | amount |\n|---|---:|\n");
        for line in &note.lines {
            let quantity = line.quantity.map(|it| format!(", {} of it", group_thousands(it, 0))).unwrap_or_default();
            let (number, what) = (line.invoice_line, &line.description);
            writeln!(page, "| Line {number}{quantity}: {what} | {} |", line.amount).unwrap();
        }
        for row in &note.taxes {
            let included = if row.included { "included: " } else { "" };
            let (name, rate, base) = (&row.name, row.rate_percent, row.base);
            writeln!(page, "| {included}{name} {rate} % on {base} | {} |", row.amount).unwrap();
        }
    }
    for credit in &view.open_credits {
        writeln!(page, "\nOpen credit of {}: {}.", credit.tenant, credit.amount).unwrap();
    }
    for change in &view.tenant_states {
        let what = if change.state.as_str() == "active" { "resumed" } else { "suspended" };
        writeln!(page, "\n{} is {what} at {}.", change.tenant, change.at.format("%Y-%m-%d %H:%M")).unwrap();
    }
}

fn document(commands: &[Value]) -> Value {
    let start = json!({"at": "2026-02-01T00:00:00Z", "subscription": "s", "start": {"tenant": "acme", "plan": "p"}});
    let timeline: Vec<Value> = std::iter::once(start).chain(commands.iter().cloned()).collect();
    json!({
        "currency": "USD", "as_of": "2026-02-20T00:00:00Z", "tenants": [{"id": "acme", "zone": "UTC"}],
        "plans": [{"key": "p", "name": "P", "prices": [
            {"key": "f", "name": "F", "model": {"type": "flat", "amount": {"USD": "10"}, "timing": "in_advance"}}]}],
        "timeline": timeline,
    })
}

fn check(name: &str, command: Value, field: &str, says: &str) {
    let earlier = json!({"at": "2026-02-02T00:00:00Z", "record_payment": {"invoice": "INV-000001", "reference": "a", "amount": "4"}});
    let entry = json!({"at": "2026-02-03T00:00:00Z", name: command});
    let refusal = simulate_text(&document(&[earlier, entry]).to_string()).unwrap_err();
    let error = &refusal.errors[0];
    assert_eq!(error.field, format!("/timeline/2/{name}{field}"), "{error}");
    assert!(error.to_string().contains(says), "{says}: {error}");
}

#[test]
fn a_refused_command_names_its_place_and_the_way_out() {
    let pay =
        |reference: &str, amount: &str| json!({"invoice": "INV-000001", "reference": reference, "amount": amount});
    check(
        "record_payment",
        json!({"invoice": "INV-7", "reference": "b", "amount": "1"}),
        "/invoice",
        "check the number",
    );
    check("record_payment", pay("a", "5"), "", "its own reference");
    check("record_payment", pay("b", "0.001"), "/amount", "more decimals than USD");
    check("record_payment", pay("4242424242424242", "1"), "/reference", "card data is not kept");
    check("settle_from_credit", json!({"invoice": "INV-000001", "reference": "c"}), "", "settle at most that");
    let reversal = json!({"invoice": "INV-000001", "reference": "z", "reason": "chargeback"});
    check("reverse_payment", reversal, "", "check the reference");
    check("void_invoice", json!({"invoice": "INV-000001", "reason": "wrong"}), "", "correct it by a credit note");
    let note = json!({"invoice": "INV-000001", "reason": "wrong", "lines": [{"line": 1, "amount": "10.01"}]});
    check("issue_credit_note", note, "", "10.01 USD of line 1");
}

#[test]
fn what_is_voided_keeps_its_number_and_is_not_asked_for() {
    let void = json!({"at": "2026-02-03T00:00:00Z", "void_invoice": {"invoice": "INV-000001", "reason": "wrong"}});
    let pay = json!({"at": "2026-02-04T00:00:00Z", "record_payment": {"invoice": "INV-000001", "reference": "a", "amount": "10"}});
    let result = simulate_text(&document(std::slice::from_ref(&void)).to_string()).unwrap();
    let receivable = &result.views[0].receivables[0];
    assert_eq!((receivable.payment_state.as_str(), receivable.amount_open.minor), ("voided", 0));
    let refusal = simulate_text(&document(&[void, pay]).to_string()).unwrap_err();
    assert!(refusal.errors[0].reason.contains("is voided"), "{refusal:?}");
}

#[test]
fn looking_twice_changes_nothing() {
    let text = documents().into_iter().find(|(name, _)| name == "705-dunning").unwrap().1;
    let all = simulate_text(&text).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["as_of"] = document["as_of"].as_array().unwrap().last().unwrap().clone();
    let last = simulate_text(&document.to_string()).unwrap();
    assert_eq!(all.views.last(), last.views.last());
}
