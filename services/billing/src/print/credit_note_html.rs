//! A credit note as one printable page, in the style of the invoice.

use super::html::{money, tax_of};
use askama::Template;
use talea_domain::credit_note::{CreditNote, CreditNoteLine};
use talea_domain::money::{Money, group_thousands};

#[derive(Template)]
#[template(path = "credit_note.html")]
struct Page<'a> {
    note: &'a CreditNote,
    lines: Vec<(&'a CreditNoteLine, String, String)>,
    subtotal: String,
    taxes: Vec<(String, String)>,
    total: String,
    /// What becomes of the total.
    effects: Vec<(&'static str, String)>,
}

/// # Errors
/// Only when memory cannot be written.
pub fn page(note: &CreditNote) -> Result<String, askama::Error> {
    let quantity = |line: &CreditNoteLine| line.quantity.map(|it| group_thousands(it, 0)).unwrap_or_default();
    let effects = [("Lowers what the invoice leaves open", note.reduces_open), ("Your credit", note.credit_owed)];
    let page = Page {
        lines: note.lines.iter().map(|line| (line, quantity(line), money(line.amount))).collect(),
        subtotal: money(note.subtotal),
        taxes: note.taxes.iter().map(|row| (tax_of(row), money(row.amount))).collect(),
        total: money(note.total),
        effects: effects.into_iter().filter(|(_, part)| !is_zero(*part)).map(|(name, it)| (name, money(it))).collect(),
        note,
    };
    page.render()
}

fn is_zero(money: Money) -> bool {
    money.to_decimal().is_zero()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../../schemas/golden/journal/credit_note.issued.v1.json");

    #[test]
    fn the_page_names_its_invoice_and_escapes_everything() {
        let mut note: CreditNote = serde_json::from_str(GOLDEN).expect("a golden note");
        note.reason = "<script>alert(1)</script>".to_owned();
        let html = page(&note).expect("renders");
        for text in ["CN-000001", "Invoice INV-000001", "VAT 19 %", "1.90 EUR", "11.90 EUR", "6.90 EUR", "5.00 EUR"] {
            assert!(html.contains(text), "{text}");
        }
        assert!(!html.contains("<script"), "what people wrote is text");
        for fetched in ["http://", "https://", "src=", "url(", "@import"] {
            assert!(!html.contains(fetched), "the page fetches nothing: {fetched}");
        }
    }
}
