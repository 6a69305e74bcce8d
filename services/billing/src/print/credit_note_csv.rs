//! One row a line of the credit note, for spreadsheets and ledgers.

use super::csv::{rate, sum, text, words};
use ::csv::Writer;
use talea_domain::credit_note::{CreditNote, CreditNoteLine};
use talea_domain::invoice::TaxRow;
use talea_domain::money::Money;

const HEADER: [&str; 18] = [
    "credit_note_id",
    "number",
    "invoice_id",
    "invoice_number",
    "tenant_id",
    "bill_to",
    "issue_date",
    "currency",
    "reason",
    "invoice_line",
    "description",
    "quantity",
    "amount",
    "tax",
    "tax_rates",
    "note_total",
    "note_credit_owed",
    "note_prepaid_returned",
];

/// # Errors
/// Only when memory cannot be written.
pub fn write(note: &CreditNote) -> Result<String, ::csv::Error> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for line in &note.lines {
        writer.write_record(row(note, line))?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn row(note: &CreditNote, line: &CreditNoteLine) -> [String; HEADER.len()] {
    [
        note.id.to_string(),
        note.number.clone(),
        note.invoice.to_string(),
        note.invoice_number.clone(),
        note.tenant.to_string(),
        words(&note.bill_to.name),
        note.issue_date.to_string(),
        note.total.currency.to_string(),
        words(&note.reason),
        line.invoice_line.to_string(),
        words(&line.description),
        text(&line.quantity.map(|quantity| quantity.normalize())),
        line.amount.to_decimal().to_string(),
        sum(shares(note, line).map(|(_, share)| share)),
        words(&shares(note, line).map(|(row, _)| rate(row)).collect::<Vec<_>>().join("; ")),
        note.total.to_decimal().to_string(),
        note.credit_owed.to_decimal().to_string(),
        text(&note.prepaid_returned.map(|returned| returned.to_decimal())),
    ]
}

/// The taxes of a line, each with the line's part.
fn shares<'a>(note: &'a CreditNote, line: &'a CreditNoteLine) -> impl Iterator<Item = (&'a TaxRow, Money)> {
    let of_row = |row: &'a TaxRow| row.lines.iter().map(move |share| (row, share));
    let shares = note.taxes.iter().flat_map(of_row);
    shares.filter(|(_, share)| share.line == line.invoice_line).map(|(row, share)| (row, share.amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../../schemas/golden/journal/credit_note.issued.v1.json");

    #[test]
    fn each_line_is_a_row_that_names_its_invoice() {
        let mut note: CreditNote = serde_json::from_str(GOLDEN).expect("a golden note");
        note.reason = "=cmd".to_owned();
        let text = write(&note).expect("writes");
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<::csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("reads back");
        let cell = |name: &str| &rows[0][HEADER.iter().position(|it| *it == name).expect("a column")];
        assert_eq!(rows.len(), note.lines.len());
        assert_eq!(
            ["number", "invoice_number", "invoice_line", "quantity", "amount", "note_total", "reason"].map(cell),
            ["CN-000001", "INV-000001", "1", "200", "10.00", "11.90", "'=cmd"]
        );
    }
}
