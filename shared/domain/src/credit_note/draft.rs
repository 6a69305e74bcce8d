//! From an invoice and the notes that it has to the next note. Pure: what is left of each line is computed anew.

use super::{CreditLine, CreditNote, CreditNoteLine, SERIES, credit_note_id};
use crate::error::FieldError;
use crate::id::InvoiceId;
use crate::invoice::{Invoice, InvoiceLine, InvoiceStatus, LineShare, TaxRow, check_text, format_number};
use crate::money::{AmountOverflow, Currency, Money, MoneyError, allocate, round_to_minor};
use crate::period::{PeriodError, zone::day_of};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Why there is no such note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreditNoteError {
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Period(#[from] PeriodError),
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("invoice {invoice} is a draft; change what it bills instead of crediting it")]
    NotIssued { invoice: InvoiceId },
    #[error("line {line} is named twice or with both a quantity and an amount; name each line once, with one of them")]
    Ambiguous { line: u32 },
    #[error("the invoice has no line {line}; read its lines again")]
    NoLine { line: u32 },
    #[error("line {line} is a credit itself; credit the whole invoice, or the line that it belongs to")]
    NegativeLine { line: u32 },
    #[error("the quantity or amount of line {line} is not above zero; send what is credited as a positive number")]
    NotPositive { line: u32 },
    #[error("the amount of line {line} has more decimals than {currency}; send whole minor units")]
    TooFine { line: u32, currency: Currency },
    #[error("{asked} of line {line} are more than the {left} that are left of it; credit at most that")]
    ExceedsLine { line: u32, asked: String, left: String },
    #[error("together with earlier notes this credits more than the invoice's {total}; credit at most the rest")]
    ExceedsInvoice { total: Money },
    #[error("nothing is left to credit; look at the invoice's credit notes")]
    NothingLeft,
}

impl From<AmountOverflow> for CreditNoteError {
    fn from(error: AmountOverflow) -> Self {
        Self::Money(error.into())
    }
}

/// The next note of an invoice: of these lines, or of everything that is left. `before` are the notes that it has, in their
/// order; `number` counts in the series of notes. What the note does to the invoice's open amount is said by
/// [`crate::invoice::InvoiceState::decide`].
pub fn draft(
    invoice: &Invoice,
    before: &[CreditNote],
    lines: Option<&[CreditLine]>,
    reason: &str,
    number: u64,
    at: DateTime<Utc>,
) -> Result<CreditNote, CreditNoteError> {
    let Some(invoice_number) = invoice.number.clone().filter(|_| invoice.status == InvoiceStatus::Finalized) else {
        return Err(CreditNoteError::NotIssued { invoice: invoice.id.clone() });
    };
    check_text("/reason", reason)?;
    let left = Left::of(invoice, before)?;
    let lines = match lines {
        None => left.everything()?,
        Some(asked) => left.some(asked)?,
    };
    let currency = invoice.currency;
    let subtotal = Money::sum(currency, lines.iter().map(|line| line.amount))?;
    let taxes = taxes(invoice, before, &lines)?;
    let tax = Money::sum(currency, taxes.iter().map(|row| row.amount))?;
    let total = subtotal.checked_add(added_tax(&taxes, currency)?)?;
    let credited = Money::sum(currency, before.iter().map(|note| note.total))?;
    if total.minor <= 0 {
        return Err(CreditNoteError::NothingLeft);
    }
    if credited.checked_add(total)?.minor > invoice.total.minor {
        return Err(CreditNoteError::ExceedsInvoice { total: invoice.total });
    }
    Ok(CreditNote {
        id: credit_note_id(&invoice.id, before.len() + 1),
        tenant: invoice.tenant.clone(),
        number: format_number(SERIES, None, number),
        invoice: invoice.id.clone(),
        invoice_number,
        subscription: invoice.subscription.clone(),
        zone: invoice.zone,
        issuer: invoice.issuer.clone(),
        bill_to: invoice.bill_to.clone(),
        issue_date: day_of(at, invoice.zone)?,
        reason: reason.to_owned(),
        lines,
        subtotal,
        taxes,
        tax,
        total,
        reduces_open: Money::zero(currency),
        credit_owed: total,
        prepaid_returned: None,
        issued_at: at,
    })
}

/// The tax that is charged on top of the lines, which do not include it.
pub(super) fn added_tax(rows: &[TaxRow], currency: Currency) -> Result<Money, MoneyError> {
    Money::sum(currency, rows.iter().filter(|row| !row.included).map(|row| row.amount))
}

/// What is left of each line.
struct Left<'a> {
    lines: BTreeMap<u32, LineLeft<'a>>,
}

struct LineLeft<'a> {
    line: &'a InvoiceLine,
    net: Money,
    amount: Money,
    quantity: Decimal,
}

impl<'a> Left<'a> {
    fn of(invoice: &'a Invoice, before: &[CreditNote]) -> Result<Self, CreditNoteError> {
        let mut lines = BTreeMap::new();
        for line in &invoice.lines {
            let net = line.net()?;
            lines.insert(line.number, LineLeft { line, net, amount: net, quantity: line.quantity });
        }
        for credited in before.iter().flat_map(|note| &note.lines) {
            let line = credited.invoice_line;
            let left = lines.get_mut(&line).ok_or(CreditNoteError::NoLine { line })?;
            left.amount = left.amount.checked_sub(credited.amount)?;
            left.quantity = left.quantity.saturating_sub(credited.quantity.unwrap_or_default());
        }
        Ok(Self { lines })
    }

    fn everything(&self) -> Result<Vec<CreditNoteLine>, CreditNoteError> {
        let left = self.lines.values().filter(|left| !left.amount.is_zero());
        let lines: Vec<CreditNoteLine> = left.map(LineLeft::rest).collect();
        if lines.is_empty() { Err(CreditNoteError::NothingLeft) } else { Ok(lines) }
    }

    fn some(&self, asked: &[CreditLine]) -> Result<Vec<CreditNoteLine>, CreditNoteError> {
        let mut lines: BTreeMap<u32, CreditNoteLine> = BTreeMap::new();
        for asked in asked {
            let line = asked.line;
            let left = self.lines.get(&line).ok_or(CreditNoteError::NoLine { line })?;
            if lines.insert(line, left.part(asked)?).is_some() {
                return Err(CreditNoteError::Ambiguous { line });
            }
        }
        if lines.is_empty() { Err(CreditNoteError::NothingLeft) } else { Ok(lines.into_values().collect()) }
    }
}

impl LineLeft<'_> {
    fn rest(&self) -> CreditNoteLine {
        let quantity = (!self.quantity.is_zero()).then_some(self.quantity);
        self.credited(quantity, self.amount)
    }

    fn part(&self, asked: &CreditLine) -> Result<CreditNoteLine, CreditNoteError> {
        let line = asked.line;
        if self.net.minor < 0 {
            return Err(CreditNoteError::NegativeLine { line });
        }
        if self.amount.is_zero() {
            return Err(CreditNoteError::NothingLeft);
        }
        match (asked.quantity, asked.amount) {
            (None, None) => Ok(self.rest()),
            (Some(_), Some(_)) => Err(CreditNoteError::Ambiguous { line }),
            (Some(quantity), None) => self.of_quantity(line, quantity),
            (None, Some(amount)) => self.of_amount(line, amount),
        }
    }

    /// The line's amount in proportion to its quantity, rounded once; the last of the quantity takes all that is left.
    fn of_quantity(&self, line: u32, quantity: Decimal) -> Result<CreditNoteLine, CreditNoteError> {
        if quantity <= Decimal::ZERO {
            return Err(CreditNoteError::NotPositive { line });
        }
        if quantity > self.quantity {
            let (asked, left) = (quantity.to_string(), self.quantity.normalize().to_string());
            return Err(CreditNoteError::ExceedsLine { line, asked, left });
        }
        if quantity == self.quantity {
            return Ok(self.credited(Some(quantity), self.amount));
        }
        let overflow = AmountOverflow { currency: self.net.currency };
        let share = self.net.to_decimal().checked_mul(quantity).and_then(|it| it.checked_div(self.line.quantity));
        let minor = round_to_minor(share.ok_or(overflow)?, self.net.currency)?.min(self.amount.minor);
        Ok(self.credited(Some(quantity), Money::new(minor, self.net.currency)))
    }

    fn of_amount(&self, line: u32, amount: Decimal) -> Result<CreditNoteLine, CreditNoteError> {
        let currency = self.net.currency;
        let money = Money::rounded(amount, currency)?;
        if money.to_decimal() != amount {
            return Err(CreditNoteError::TooFine { line, currency });
        }
        if money.minor <= 0 {
            return Err(CreditNoteError::NotPositive { line });
        }
        if money.minor > self.amount.minor {
            let (asked, left) = (money.to_string(), self.amount.to_string());
            return Err(CreditNoteError::ExceedsLine { line, asked, left });
        }
        Ok(self.credited(None, money))
    }

    fn credited(&self, quantity: Option<Decimal>, amount: Money) -> CreditNoteLine {
        CreditNoteLine { invoice_line: self.line.number, description: self.line.description.clone(), quantity, amount }
    }
}

/// The tax of what is credited, row by row and in it line by line: what the invoice's tax on everything credited so far of
/// the line is, less what earlier notes gave back of it. All notes together therefore give back exactly the invoice's tax.
fn taxes(invoice: &Invoice, before: &[CreditNote], lines: &[CreditNoteLine]) -> Result<Vec<TaxRow>, CreditNoteError> {
    let mut rows = Vec::with_capacity(invoice.taxes.len());
    for row in &invoice.taxes {
        let shares = shares_of(invoice, row)?;
        let mut credited = Vec::new();
        for line in lines {
            if let Some(share) = shares.iter().find(|share| share.line == line.invoice_line) {
                let amount = tax_of_line(invoice, before, row, share, line)?;
                credited.push(LineShare { line: share.line, amount });
            }
        }
        let amount = Money::sum(invoice.currency, credited.iter().map(|share| share.amount))?;
        rows.push(TaxRow { amount, lines: credited, ..row.clone() });
    }
    let bases: Vec<Money> = rows.iter().map(|row| base_of(row, &rows, lines)).collect::<Result<_, _>>()?;
    let rows = rows.into_iter().zip(bases).map(|(row, base)| TaxRow { base, ..row });
    Ok(rows.filter(|row| !row.base.is_zero() || !row.amount.is_zero()).collect())
}

/// How a row's tax falls to the invoice's lines. A row without tax is about the lines that no other row taxes; one that does
/// not say is about all of them.
fn shares_of(invoice: &Invoice, row: &TaxRow) -> Result<Vec<LineShare>, CreditNoteError> {
    if !row.lines.is_empty() {
        return Ok(row.lines.clone());
    }
    let is_taxed = |line: u32| invoice.taxes.iter().any(|row| row.lines.iter().any(|share| share.line == line));
    let numbers: Vec<u32> = invoice.lines.iter().map(|line| line.number).filter(|line| !is_taxed(*line)).collect();
    let about = invoice.lines.iter().filter(|line| numbers.contains(&line.number));
    let nets: Vec<i64> = about.map(|line| line.net().map(|net| net.minor)).collect::<Result<_, _>>()?;
    let parts = allocate(row.amount, &nets);
    Ok(numbers.into_iter().zip(parts).map(|(line, amount)| LineShare { line, amount }).collect())
}

fn tax_of_line(
    invoice: &Invoice,
    before: &[CreditNote],
    row: &TaxRow,
    share: &LineShare,
    line: &CreditNoteLine,
) -> Result<Money, CreditNoteError> {
    let currency = invoice.currency;
    let earlier = before.iter().flat_map(|note| &note.lines).filter(|it| it.invoice_line == share.line);
    let credited = Money::sum(currency, earlier.map(|it| it.amount))?.checked_add(line.amount)?;
    let given = before.iter().flat_map(|note| &note.taxes).filter(|it| is_same_tax(it, row)).flat_map(|it| &it.lines);
    let given = given.filter(|it| it.line == share.line).map(|it| it.amount);
    let net = invoice.lines.iter().find(|it| it.number == share.line).map(InvoiceLine::net).transpose()?;
    let rest = net.unwrap_or(credited).checked_sub(credited)?;
    let due = if rest.is_zero() { share.amount } else { allocate(share.amount, &[credited.minor, rest.minor])[0] };
    Ok(due.checked_sub(Money::sum(currency, given)?)?)
}

fn is_same_tax(one: &TaxRow, other: &TaxRow) -> bool {
    let kind = |row: &TaxRow| {
        (
            row.name.clone(),
            row.rate_percent,
            row.jurisdiction.clone(),
            row.category.clone(),
            row.included,
            row.untaxed.clone(),
        )
    };
    kind(one) == kind(other)
}

/// What of the credited lines a row is about, without the tax that they include.
fn base_of(row: &TaxRow, rows: &[TaxRow], lines: &[CreditNoteLine]) -> Result<Money, MoneyError> {
    let currency = row.amount.currency;
    let is_about = |line: u32| row.lines.iter().any(|share| share.line == line);
    let nets = lines.iter().filter(|line| is_about(line.invoice_line)).map(|line| line.amount);
    let included = rows.iter().filter(|other| row.included && other.included).flat_map(|other| &other.lines);
    let held = included.filter(|share| is_about(share.line)).map(|share| share.amount);
    Money::sum(currency, nets)?.checked_sub(Money::sum(currency, held)?)
}
