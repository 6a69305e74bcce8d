//! One printable page: self-contained, without scripts, everything escaped by the template.

use askama::Template;
use chrono::{DateTime, Utc};
use talea_domain::credit::CreditApplied;
use talea_domain::invoice::{DiscountRow, Invoice, InvoiceLine, InvoiceStatus, TaxRow};
use talea_domain::money::{Money, MoneyError, format_amount, group_thousands};
use talea_domain::party::Party;
use talea_domain::period::{Period, TimeZone};

#[derive(Template)]
#[template(path = "invoice.html")]
struct Page<'a> {
    invoice: &'a Invoice,
    title: String,
    is_draft: bool,
    issuer: &'a Party,
    bill_to: &'a Party,
    period: String,
    subtotal: String,
    /// Description, amount with its sign, and how it came about.
    discounts: Vec<(&'a str, String, &'a [String])>,
    taxes: Vec<(String, String)>,
    total: String,
    /// What prepaid credits pay, and what is left.
    credits: Vec<(String, String)>,
    due: Option<String>,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    line: &'a InvoiceLine,
    quantity: String,
    amount: String,
    origin: String,
    evidence: Option<Evidence>,
}

/// What stands behind a line about usage.
struct Evidence {
    window: String,
    events: String,
    digest: String,
    cut: String,
}

/// # Errors
/// Only when memory cannot be written.
pub fn page<'a>(invoice: &'a Invoice) -> Result<String, askama::Error> {
    let is_draft = invoice.status == InvoiceStatus::Draft;
    let tax = |row: &TaxRow| (tax_of(row), money(row.amount));
    let discount = |row: &'a DiscountRow| {
        Ok((row.description.as_str(), money(row.amount.checked_neg()?), row.explanation.as_slice()))
    };
    let taxes = if invoice.taxes.is_empty() {
        vec![("Tax".to_owned(), money(invoice.tax))]
    } else {
        invoice.taxes.iter().map(tax).collect()
    };
    let page = Page {
        title: invoice.number.clone().unwrap_or_else(|| "Draft".to_owned()),
        is_draft,
        issuer: &invoice.issuer,
        bill_to: &invoice.bill_to,
        period: days(invoice.period, invoice.zone),
        subtotal: money(invoice.subtotal),
        discounts: invoice
            .discounts
            .iter()
            .map(discount)
            .collect::<Result<_, MoneyError>>()
            .map_err(askama::Error::custom)?,
        taxes,
        total: money(invoice.total),
        credits: invoice.credits.iter().map(credit).collect(),
        due: invoice.amount_due.map(money),
        lines: invoice.lines.iter().map(|line| shown(line, invoice.zone)).collect(),
        invoice,
    };
    page.render()
}

/// `VAT 19 % (DE, books), included, on 34.40 EUR`.
pub(super) fn tax_of(row: &TaxRow) -> String {
    let place = row.jurisdiction.as_ref().map(ToString::to_string);
    let parts: Vec<String> = place.into_iter().chain(row.category.as_ref().map(ToString::to_string)).collect();
    let where_and_what = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let included = if row.included { ", included" } else { "" };
    format!("{} {} %{where_and_what}{included}, on {}", row.name, row.rate_percent.normalize(), money(row.base))
}

/// With the units that were taken, where the wallet is not in money.
fn credit(credit: &CreditApplied) -> (String, String) {
    let units = credit.units.zip(credit.unit.as_ref());
    let units = units.map(|(units, unit)| format!(", {} {unit}", group_thousands(units.to_decimal(), 0)));
    let paid = format!("-{}", money(credit.amount));
    (format!("{}{}", credit.description, units.unwrap_or_default()), paid)
}

fn shown(line: &InvoiceLine, zone: TimeZone) -> Line<'_> {
    let lineage = &line.lineage;
    let meter = lineage.meter.as_ref().map(|meter| {
        let version = lineage.meter_version.map(|version| format!(" v{version}")).unwrap_or_default();
        format!(" \u{b7} meter {meter}{version}")
    });
    let plan = lineage.plan.as_ref().zip(lineage.plan_version);
    let plan = plan.map(|(plan, version)| format!(" \u{b7} plan {plan} v{version}"));
    let evidence = lineage.digest.as_ref().map(|digest| Evidence {
        window: format!("{} to {}", instant(lineage.window.start, zone), instant(lineage.window.end, zone)),
        events: lineage.event_count.map(|count| group_thousands(count.into(), 0)).unwrap_or_default(),
        digest: digest.clone(),
        cut: lineage.cut.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    });
    Line {
        line,
        quantity: group_thousands(line.quantity, 0),
        amount: money(line.amount),
        origin: format!(
            "{}{} \u{b7} price {}{}",
            line.kind.as_str().replace('_', " "),
            plan.unwrap_or_default(),
            lineage.price_key,
            meter.unwrap_or_default()
        ),
        evidence,
    }
}

pub(super) fn money(money: Money) -> String {
    format_amount(money.to_decimal(), money.currency)
}

/// First and last day, as the customer counts them.
fn days(period: Period, zone: TimeZone) -> String {
    let last = period.start.max(period.end - chrono::Duration::nanoseconds(1));
    let day = |instant: DateTime<Utc>| instant.with_timezone(&zone).format("%-d %B %Y").to_string();
    format!("{} to {}", day(period.start), day(last))
}

fn instant(instant: DateTime<Utc>, zone: TimeZone) -> String {
    instant.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAXED: &str = include_str!("../../../../schemas/golden/invoice/taxed.v1.json");
    const GOLDEN: &str = include_str!("../../../../schemas/golden/invoice/finalized.v1.json");

    #[test]
    fn the_page_shows_every_line_and_escapes_everything() {
        let mut invoice: Invoice = serde_json::from_str(GOLDEN).expect("a golden invoice");
        invoice.bill_to.name = "<script>alert(1)</script>".to_owned();
        let html = page(&invoice).expect("renders");
        for text in ["INV-2023-000007", "-13.34 USD", "Late usage: API calls", "10,000 included", "0123456789abcdef"] {
            assert!(html.contains(text), "{text}");
        }
        assert!(!html.contains("<script"), "what people wrote is text");
        for fetched in ["http://", "https://", "src=", "url(", "@import"] {
            assert!(!html.contains(fetched), "the page fetches nothing: {fetched}");
        }
        assert!(!html.contains("Draft"));
    }

    #[test]
    fn discounts_taxes_and_what_the_law_asks_for_are_printed() {
        let mut invoice: Invoice = serde_json::from_str(TAXED).expect("a golden invoice");
        invoice.notes = vec!["Reverse charge".to_owned()];
        let html = page(&invoice).expect("renders");
        for text in
            ["Fifth: 20 % off", "5.06 EUR", "VAT 19 % (DE), on -20.23 EUR", "-3.85 EUR", "-24.08 EUR", "Reverse charge"]
        {
            assert!(html.contains(text), "{text}");
        }
    }

    #[test]
    fn a_draft_says_so() {
        let mut invoice: Invoice = serde_json::from_str(GOLDEN).expect("a golden invoice");
        (invoice.status, invoice.number) = (InvoiceStatus::Draft, None);
        assert!(page(&invoice).expect("renders").contains("Draft"));
    }
}
