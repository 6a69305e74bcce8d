//! One row a line of the invoice, for spreadsheets and ledgers.

use ::csv::Writer;
use chrono::{DateTime, SecondsFormat, Utc};
use talea_domain::invoice::{Invoice, InvoiceLine, TaxRow};
use talea_domain::money::{Money, MoneyError};

const HEADER: [&str; 31] = [
    "invoice_id",
    "number",
    "status",
    "tenant_id",
    "subscription_id",
    "bill_to",
    "issue_date",
    "due_date",
    "period_start",
    "period_end",
    "currency",
    "line",
    "kind",
    "price_key",
    "description",
    "line_start",
    "line_end",
    "quantity",
    "amount",
    "already_billed",
    "plan",
    "plan_version",
    "meter",
    "meter_version",
    "measured_quantity",
    "event_count",
    "digest",
    "discount",
    "net",
    "tax",
    "tax_rates",
];

/// # Errors
/// Only when memory cannot be written.
pub fn write(invoice: &Invoice) -> Result<String, ::csv::Error> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for line in &invoice.lines {
        writer.write_record(row(invoice, line))?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn row(invoice: &Invoice, line: &InvoiceLine) -> [String; HEADER.len()] {
    let lineage = &line.lineage;
    [
        invoice.id.to_string(),
        invoice.number.clone().unwrap_or_default(),
        invoice.status.as_str().to_owned(),
        invoice.tenant.to_string(),
        text(&invoice.subscription),
        words(&invoice.bill_to.name),
        text(&invoice.issue_date),
        text(&invoice.due_date),
        instant(invoice.period.start),
        instant(invoice.period.end),
        invoice.currency.to_string(),
        line.number.to_string(),
        line.kind.as_str().to_owned(),
        line.price_key.to_string(),
        words(&line.description),
        instant(line.period.start),
        instant(line.period.end),
        line.quantity.normalize().to_string(),
        line.amount.to_decimal().to_string(),
        text(&line.already_billed.map(|money| money.to_decimal())),
        text(&lineage.plan),
        text(&lineage.plan_version),
        text(&lineage.meter),
        text(&lineage.meter_version),
        text(&lineage.measured_quantity.map(|quantity| quantity.normalize())),
        text(&lineage.event_count),
        lineage.digest.clone().unwrap_or_default(),
        sum(line.discounts.iter().map(|discount| discount.amount)),
        line.net().map_or_else(|_| String::new(), |net| net.to_decimal().to_string()),
        sum(shares(invoice, line).map(|(_, share)| share)),
        words(&shares(invoice, line).map(|(row, _)| rate(row)).collect::<Vec<_>>().join("; ")),
    ]
}

/// The taxes of a line, each with the line's part.
fn shares<'a>(invoice: &'a Invoice, line: &'a InvoiceLine) -> impl Iterator<Item = (&'a TaxRow, Money)> {
    let of_row = |row: &'a TaxRow| row.lines.iter().map(move |share| (row, share));
    let shares = invoice.taxes.iter().flat_map(of_row);
    shares.filter(|(_, share)| share.line == line.number).map(|(row, share)| (row, share.amount))
}

pub(super) fn rate(row: &TaxRow) -> String {
    format!("{} {} %", row.name, row.rate_percent.normalize())
}

/// Empty where there is nothing to add. What was issued adds up, so that the sum exists.
pub(super) fn sum(amounts: impl Iterator<Item = Money>) -> String {
    let sum = amounts.map(Ok).reduce(|sum: Result<Money, MoneyError>, amount| sum?.checked_add(amount?));
    sum.and_then(Result::ok).map(|sum| sum.to_decimal().to_string()).unwrap_or_default()
}

pub(super) fn text<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map(T::to_string).unwrap_or_default()
}

fn instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Words that people chose. A spreadsheet takes a cell that begins like a formula for one (OWASP, CSV injection), so that it
/// gets an apostrophe in front.
pub(crate) fn words(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAXED: &str = include_str!("../../../../schemas/golden/invoice/taxed.v1.json");
    const GOLDEN: &str = include_str!("../../../../schemas/golden/invoice/finalized.v1.json");

    #[test]
    fn each_line_is_a_row_and_the_amounts_are_numbers() {
        let mut invoice: Invoice = serde_json::from_str(GOLDEN).expect("a golden invoice");
        invoice.bill_to.name = "=cmd, \"x\"".to_owned();
        let text = write(&invoice).expect("writes");
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<::csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("reads back");
        let column = |name: &str| HEADER.iter().position(|it| *it == name).expect("a column");
        assert_eq!(rows.len(), invoice.lines.len());
        assert_eq!(&rows[0][column("bill_to")], "'=cmd, \"x\"");
        let amounts: Vec<&str> = rows.iter().map(|row| &row[column("amount")]).collect();
        assert_eq!(amounts, ["0.00", "6.13", "-18.97", "-0.50"]);
        assert_eq!(&rows[3][column("quantity")], "-500");
        assert_eq!(&rows[3][column("already_billed")], "2.50");
        assert_eq!(&rows[0][column("number")], "INV-2023-000007");
        assert_eq!((&rows[0][column("discount")], &rows[0][column("tax")]), ("", ""));
    }

    #[test]
    fn a_line_tells_its_part_of_discounts_and_taxes() {
        let invoice: Invoice = serde_json::from_str(TAXED).expect("a golden invoice");
        let text = write(&invoice).expect("writes");
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let row = reader.records().next().expect("a row").expect("reads back");
        let cell = |name: &str| &row[HEADER.iter().position(|it| *it == name).expect("a column")];
        assert_eq!(
            ["amount", "discount", "net", "tax", "tax_rates"].map(cell),
            ["-25.29", "-5.06", "-20.23", "-3.85", "VAT 19 %"]
        );
    }
}
