//! What is credited of a line, and its tax.

use super::*;
use crate::invoice::Invoice;
use crate::money::Currency;
use proptest::prelude::*;

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn at() -> DateTime<Utc> {
    "2026-02-10T12:00:00Z".parse().unwrap()
}

/// An issued invoice with lines of these quantities and amounts, and one tax on all of it.
fn invoice(lines: &[(&str, i64)], tax: i64) -> Invoice {
    let text = include_str!("../../../../schemas/golden/journal/invoice.finalized.v1.json");
    let mut invoice: Invoice = serde_json::from_str(text).unwrap();
    let template = invoice.lines[0].clone();
    invoice.lines = (1..)
        .zip(lines)
        .map(|(number, (quantity, amount))| {
            let (quantity, amount) = (decimal(quantity), usd(*amount));
            crate::invoice::InvoiceLine { number, quantity, amount, ..template.clone() }
        })
        .collect();
    invoice.subtotal = usd(lines.iter().map(|line| line.1).sum());
    invoice.tax = usd(tax);
    let row = format!(
        r#"{{"name": "VAT", "rate_percent": "19", "base": {}, "amount": {}}}"#,
        serde_json::to_string(&invoice.subtotal).unwrap(),
        serde_json::to_string(&invoice.tax).unwrap()
    );
    invoice.taxes = if tax == 0 { Vec::new() } else { vec![serde_json::from_str(&row).unwrap()] };
    invoice.total = usd(invoice.subtotal.minor + tax);
    invoice
}

fn line(line: u32, quantity: Option<&str>, amount: Option<&str>) -> CreditLine {
    CreditLine { line, quantity: quantity.map(decimal), amount: amount.map(decimal) }
}

/// Issues note after note; answers each one's subtotal, tax and total, or why there is none.
fn notes(invoice: &Invoice, asked: &[Option<Vec<CreditLine>>]) -> Vec<Result<(i64, i64, i64), CreditNoteError>> {
    let mut before: Vec<CreditNote> = Vec::new();
    asked
        .iter()
        .map(|lines| {
            let note = draft(invoice, &before, lines.as_deref(), "agreed", before.len() as u64 + 1, at())?;
            assert_eq!(note.adds_up(), Ok(true));
            let sums = (note.subtotal.minor, note.tax.minor, note.total.minor);
            before.push(note);
            Ok(sums)
        })
        .collect()
}

#[test]
fn a_full_note_mirrors_the_invoice_to_the_cent() {
    let invoice = invoice(&[("10", 1001), ("1", -100)], 171);
    assert_eq!(notes(&invoice, &[None, None]), [Ok((901, 171, 1072)), Err(CreditNoteError::NothingLeft)]);
}

#[test]
fn a_line_is_credited_by_quantity_and_its_last_part_takes_the_rest() {
    let invoice = invoice(&[("3", 100)], 19);
    let one = || Some(vec![line(1, Some("1"), None)]);
    assert_eq!(notes(&invoice, &[one(), one(), one()]), [Ok((33, 6, 39)), Ok((33, 7, 40)), Ok((34, 6, 40))]);
    let too_many = notes(&invoice, &[one(), Some(vec![line(1, Some("2.5"), None)])]);
    assert!(matches!(&too_many[1], Err(CreditNoteError::ExceedsLine { line: 1, left, .. }) if left == "2"));
}

#[test]
fn a_line_is_credited_by_amount_up_to_what_is_left() {
    let invoice = invoice(&[("1", 1000), ("1", 500)], 0);
    let amount = |text| Some(vec![line(2, None, Some(text))]);
    let found = notes(&invoice, &[amount("3.00"), amount("2.01"), amount("2.00"), Some(vec![line(2, None, None)])]);
    assert_eq!((&found[0], &found[2]), (&Ok((300, 0, 300)), &Ok((200, 0, 200))));
    assert!(matches!(found[1], Err(CreditNoteError::ExceedsLine { line: 2, .. })));
    assert_eq!(found[3], Err(CreditNoteError::NothingLeft));
}

#[test]
fn what_prepaid_credits_paid_is_credited_too() {
    let invoice = Invoice { amount_due: Some(usd(700)), ..invoice(&[("1", 1000)], 0) };
    let amount = |text| Some(vec![line(1, None, Some(text))]);
    let found = notes(&invoice, &[amount("6.00"), amount("4.01"), None]);
    assert_eq!((&found[0], &found[2]), (&Ok((600, 0, 600)), &Ok((400, 0, 400))));
    assert!(matches!(found[1], Err(CreditNoteError::ExceedsLine { line: 1, .. })));
}

#[test]
fn what_cannot_be_credited_is_named_with_the_way_out() {
    let invoice = invoice(&[("1", 1000), ("1", -400)], 0);
    let check = |asked: Vec<CreditLine>, says: &str| {
        let text = notes(&invoice, &[Some(asked)]).remove(0).unwrap_err().to_string();
        assert!(text.contains(says) && text.contains("; "), "{text}");
    };
    check(vec![line(7, None, None)], "no line 7");
    check(vec![line(2, None, None)], "line 2 is a credit itself");
    check(vec![line(1, Some("1"), Some("1"))], "both");
    check(vec![line(1, None, Some("1")), line(1, None, Some("1"))], "named twice");
    check(vec![line(1, Some("0"), None)], "not above zero");
    check(vec![line(1, None, Some("-1"))], "not above zero");
    check(vec![line(1, None, Some("0.001"))], "more decimals than USD");
    check(vec![], "nothing is left");
    // The first line alone is more than the whole invoice.
    check(vec![line(1, None, None)], "more than the invoice's 6.00 USD");
    let draft_of = Invoice { status: crate::invoice::InvoiceStatus::Draft, ..invoice.clone() };
    let refused = draft(&draft_of, &[], None, "agreed", 1, at());
    assert!(matches!(refused, Err(CreditNoteError::NotIssued { .. })));
    assert!(matches!(draft(&invoice, &[], None, " ", 1, at()), Err(CreditNoteError::Field(_))));
}

proptest! {
    /// However it is cut: all notes together are at most the invoice, and the last one makes them exactly it.
    #[test]
    fn all_notes_together_are_the_invoice(
        lines in prop::collection::vec((1..50_i64, 0..10_000_i64), 1..5),
        rate in 0..30_i64,
        parts in prop::collection::vec((1..6_u32, 1..40_i64, any::<bool>()), 0..12),
    ) {
        let texts: Vec<(String, i64)> = lines.iter().map(|(quantity, amount)| (quantity.to_string(), *amount)).collect();
        let lines: Vec<(&str, i64)> = texts.iter().map(|(quantity, amount)| (quantity.as_str(), *amount)).collect();
        let subtotal: i64 = lines.iter().map(|line| line.1).sum();
        let invoice = invoice(&lines, subtotal * rate / 100);
        let mut before: Vec<CreditNote> = Vec::new();
        for (of, size, by_quantity) in parts {
            let size = Decimal::from(size);
            let (quantity, amount) = if by_quantity { (Some(size), None) } else { (None, Some(size)) };
            if let Ok(note) = draft(&invoice, &before, Some(&[CreditLine { line: of, quantity, amount }]), "part", 1, at()) {
                prop_assert_eq!(note.adds_up(), Ok(true));
                prop_assert!(note.taxes.iter().all(|row| row.amount.minor >= 0));
                before.push(note);
            }
        }
        before.extend(draft(&invoice, &before, None, "rest", 1, at()).ok());
        let total: i64 = before.iter().map(|note| note.total.minor).sum();
        prop_assert_eq!(total, invoice.total.minor);
    }
}
