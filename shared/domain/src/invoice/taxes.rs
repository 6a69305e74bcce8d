//! Step 4 of an invoice: the taxes on what is left after discounts.
//!
//! Charges of one rate are added up before the rate is applied, and the tax is rounded once for all of them, half away from
//! zero. Each line's part of the tax is kept with the row. A correction goes by it: see [`super::line_tax`].

use super::line_tax::{change, net_before};
use super::{InvoiceError, InvoiceLine, LineShare, LineTax};
use crate::id::TaxCategory;
use crate::money::{Currency, Money, MoneyError, allocate, proportion};
use crate::party::Party;
use crate::period::{PeriodError, TimeZone, zone::day_of};
use crate::tax::{
    Jurisdiction, TaxAnswer, TaxProfile, TaxRate, TaxSettings, TaxTerms, Treatment, UntaxedReason, treatment,
};
use chrono::{Duration, NaiveDate};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One rate of tax over the lines it applies to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxRow {
    pub name: String,
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String, example = "19")]
    pub rate_percent: Decimal,
    /// What is taxed, without the tax.
    pub base: Money,
    pub amount: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Jurisdiction>,
    /// The products that the rate is for; absent for the usual rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<TaxCategory>,
    /// Whether the lines hold the tax already, so that the total is not raised by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub included: bool,
    /// Why there is no tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untaxed: Option<UntaxedReason>,
    /// How the tax falls to the lines: they sum to the amount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineShare>,
}

/// The taxes of an invoice, and the sentences that the law asks for.
#[derive(Default)]
pub(super) struct Taxed {
    pub rows: Vec<TaxRow>,
    pub notes: Vec<String>,
}

/// The tax point of a line: the last day of its period, as the customer counts days.
pub fn tax_day(line: &InvoiceLine, zone: TimeZone) -> Result<NaiveDate, PeriodError> {
    day_of(line.period.start.max(line.period.end - Duration::nanoseconds(1)), zone)
}

/// Taxes lines that are discounted already.
pub(super) fn tax(
    terms: TaxTerms<'_>,
    bill_to: &Party,
    currency: Currency,
    zone: TimeZone,
    lines: &[InvoiceLine],
) -> Result<Taxed, InvoiceError> {
    let nets = lines.iter().map(|line| Ok(LineShare { line: line.number, amount: line.net()? }));
    let nets: Vec<LineShare> = nets.collect::<Result<_, MoneyError>>()?;
    match terms {
        TaxTerms::None => Ok(Taxed::default()),
        TaxTerms::Answered(answer) => answered(answer, currency, &nets),
        TaxTerms::Rates { settings, profiles: [] } => {
            let printed: Vec<TaxProfile> = TaxProfile::of_party(bill_to).into_iter().collect();
            by_rates(settings, &printed, false, currency, zone, lines, &nets)
        }
        TaxTerms::Rates { settings, profiles } => {
            by_rates(settings, profiles, bill_to.tax_id.is_some(), currency, zone, lines, &nets)
        }
    }
}

fn by_rates(
    settings: &TaxSettings,
    profiles: &[TaxProfile],
    has_tax_id: bool,
    currency: Currency,
    zone: TimeZone,
    lines: &[InvoiceLine],
    nets: &[LineShare],
) -> Result<Taxed, InvoiceError> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (line, net) in lines.iter().zip(nets).filter(|(_, net)| !net.amount.is_zero()) {
        let before = net_before(line)?;
        let kinds = match before {
            Some(_) => Kind::as_before(&line.already_taxed),
            None => {
                let (category, day) = (line.tax_category.as_ref(), tax_day(line, zone)?);
                Kind::of(treatment(settings, profiles, has_tax_id, category, day)?)
            }
        };
        for kind in kinds {
            let index = groups.iter().position(|group| group.kind == kind).unwrap_or(groups.len());
            if index == groups.len() {
                groups.push(Group { kind, charges: Vec::new(), corrections: Vec::new() });
            }
            match before {
                Some(before) => groups[index].corrections.push((*net, before, line)),
                None => groups[index].charges.push(*net),
            }
        }
    }
    let mut taxed = Taxed::default();
    for group in &groups {
        taxed.rows.push(group.row(currency)?);
        let note = match &group.kind {
            Kind::Untaxed(_, UntaxedReason::ReverseCharge) => settings.reverse_charge_note().to_owned(),
            Kind::Untaxed(_, UntaxedReason::Exempt { by }) => format!("Exempt from tax: {by}"),
            _ => continue,
        };
        if !taxed.notes.contains(&note) {
            taxed.notes.push(note);
        }
    }
    Ok(taxed)
}

/// What the lines of a row have in common.
#[derive(Clone, PartialEq, Eq)]
enum Kind<'a> {
    /// One tax; of a tax that prices hold already, with all of those, because they share what they are taken from.
    Taxed {
        rate: Rate<'a>,
        included: Vec<Rate<'a>>,
    },
    Untaxed(Option<Jurisdiction>, UntaxedReason),
}

/// A rate without its days.
#[derive(Clone, PartialEq, Eq)]
struct Rate<'a> {
    name: &'a str,
    percent: Decimal,
    jurisdiction: Option<&'a Jurisdiction>,
    category: Option<&'a TaxCategory>,
}

impl<'a> Kind<'a> {
    fn of(treatment: Treatment<'a>) -> Vec<Self> {
        let rates = match treatment {
            Treatment::Untaxed { place, reason } => return vec![Self::Untaxed(Some(place), reason)],
            Treatment::Taxed(rates) => rates,
        };
        let rate = |rate: &&'a TaxRate| Rate {
            name: &rate.name,
            percent: rate.rate_percent.normalize(),
            jurisdiction: Some(&rate.jurisdiction),
            category: rate.category.as_ref(),
        };
        Self::taxed(rates.iter().map(|it| (rate(it), it.included)).collect())
    }

    /// As the earlier lines were taxed; none where no taxes were configured then.
    fn as_before(taxes: &'a [LineTax]) -> Vec<Self> {
        let untaxed =
            taxes.iter().filter_map(|tax| Some(Self::Untaxed(tax.jurisdiction.clone(), tax.untaxed.clone()?)));
        let rate = |tax: &'a LineTax| Rate {
            name: &tax.name,
            percent: tax.rate_percent.normalize(),
            jurisdiction: tax.jurisdiction.as_ref(),
            category: tax.category.as_ref(),
        };
        let taxed = taxes.iter().filter(|tax| tax.untaxed.is_none()).map(|tax| (rate(tax), tax.included));
        untaxed.chain(Self::taxed(taxed.collect())).collect()
    }

    fn taxed(rates: Vec<(Rate<'a>, bool)>) -> Vec<Self> {
        let all: Vec<Rate<'a>> = rates.iter().filter(|(_, included)| *included).map(|(rate, _)| rate.clone()).collect();
        let kind = |(rate, included): (Rate<'a>, bool)| Self::Taxed {
            rate,
            included: if included { all.clone() } else { Vec::new() },
        };
        rates.into_iter().map(kind).collect()
    }
}

impl Rate<'_> {
    fn is_of(&self, tax: &LineTax) -> bool {
        tax.untaxed.is_none()
            && (self.name, self.percent) == (&tax.name, tax.rate_percent.normalize())
            && self.jurisdiction == tax.jurisdiction.as_ref()
            && self.category == tax.category.as_ref()
    }
}

struct Group<'a> {
    kind: Kind<'a>,
    /// What is taxed for the first time.
    charges: Vec<LineShare>,
    /// What was taxed before: what changes now, what it was before, and its line.
    corrections: Vec<(LineShare, Money, &'a InvoiceLine)>,
}

impl Group<'_> {
    fn row(&self, currency: Currency) -> Result<TaxRow, MoneyError> {
        let nets = || self.charges.iter().chain(self.corrections.iter().map(|(share, ..)| share));
        let whole = Money::sum(currency, nets().map(|share| share.amount))?;
        let (rate, included) = match &self.kind {
            Kind::Untaxed(place, reason) => {
                let untaxed = |share: &LineShare| LineShare { amount: Money::zero(currency), ..*share };
                return Ok(TaxRow {
                    name: name_of(reason).to_owned(),
                    rate_percent: Decimal::ZERO,
                    base: whole,
                    amount: Money::zero(currency),
                    jurisdiction: place.clone(),
                    category: None,
                    included: false,
                    untaxed: Some(reason.clone()),
                    lines: in_order(nets().map(untaxed).collect()),
                });
            }
            Kind::Taxed { rate, included } => (rate, included),
        };
        let all: Decimal = included.iter().map(|rate| rate.percent).sum();
        let divisor = Decimal::ONE_HUNDRED + all;
        let taxes = included.iter().map(|rate| Ok(self.tax(rate, divisor, currency)?.0));
        let held = Money::sum(currency, taxes.collect::<Result<Vec<_>, MoneyError>>()?)?;
        let (amount, lines) = self.tax(rate, divisor, currency)?;
        Ok(TaxRow {
            name: rate.name.to_owned(),
            rate_percent: rate.percent,
            base: whole.checked_sub(held)?,
            amount,
            jurisdiction: rate.jurisdiction.cloned(),
            category: rate.category.cloned(),
            included: !included.is_empty(),
            untaxed: None,
            lines: in_order(lines),
        })
    }

    /// What a rate asks of the lines, and how that falls to them: charges are taxed together, each correction goes by its line.
    fn tax(
        &self,
        rate: &Rate<'_>,
        divisor: Decimal,
        currency: Currency,
    ) -> Result<(Money, Vec<LineShare>), MoneyError> {
        let of = |net: Money| proportion(net, rate.percent, divisor).map_err(MoneyError::from);
        let charged = of(Money::sum(currency, self.charges.iter().map(|share| share.amount))?)?;
        let mut lines = split(charged, &self.charges, of)?;
        for (share, before, line) in &self.corrections {
            let so_far = line.already_taxed.iter().filter(|tax| rate.is_of(tax)).map(|tax| tax.amount);
            let so_far = Money::sum(currency, so_far)?;
            let amount = change(so_far, *before, before.checked_add(share.amount)?, of)?;
            lines.push(LineShare { line: share.line, amount });
        }
        Ok((Money::sum(currency, lines.iter().map(|share| share.amount))?, lines))
    }
}

fn in_order(mut shares: Vec<LineShare>) -> Vec<LineShare> {
    shares.sort_by_key(|share| share.line);
    shares
}

fn name_of(reason: &UntaxedReason) -> &'static str {
    match reason {
        UntaxedReason::ReverseCharge => "Reverse charge",
        UntaxedReason::Exempt { .. } => "Exempt",
        UntaxedReason::OutsideScope => "Not taxable",
    }
}

/// Splits a tax over lines, charges and credits each among themselves, so that no charge bears the tax of a credit. Of the two
/// the larger is taxed by itself and the other takes the rest, so that the mirror image of the lines has the mirror image of
/// the parts.
fn split(
    amount: Money,
    lines: &[LineShare],
    of: impl Fn(Money) -> Result<Money, MoneyError>,
) -> Result<Vec<LineShare>, MoneyError> {
    let currency = amount.currency;
    let sum = |sign: i64| {
        let amounts = lines.iter().map(|share| share.amount).filter(|part| part.minor.signum() == sign);
        Money::sum(currency, amounts)
    };
    let (charged, credited) = (sum(1)?, sum(-1)?);
    let on_charges = match charged.checked_add(credited)?.minor >= 0 {
        true if credited.is_zero() => amount,
        true => of(charged)?,
        false if charged.is_zero() => Money::zero(currency),
        false => amount.checked_sub(of(credited)?)?,
    };
    let weights = |sign: i64| lines.iter().map(|share| share.amount.minor.saturating_mul(sign).max(0)).collect();
    let (positive, negative): (Vec<i64>, Vec<i64>) = (weights(1), weights(-1));
    let parts = allocate(on_charges, &positive).into_iter();
    let parts = parts.zip(allocate(amount.checked_sub(on_charges)?, &negative));
    let share = |(line, (charge, credit)): (&LineShare, (Money, Money))| {
        Ok(LineShare { line: line.line, amount: charge.checked_add(credit)? })
    };
    lines.iter().zip(parts).map(share).collect()
}

/// What an engine outside says, with the lines' parts where it left them out.
fn answered(answer: &TaxAnswer, currency: Currency, nets: &[LineShare]) -> Result<Taxed, InvoiceError> {
    let mut rows = answer.rows.clone();
    for row in &mut rows {
        if row.amount.currency != currency || row.base.currency != currency {
            return Err(MoneyError::CurrencyMismatch { left: currency, right: row.amount.currency }.into());
        }
        if row.lines.is_empty() && !row.amount.is_zero() {
            let whole = Money::sum(currency, nets.iter().map(|share| share.amount))?;
            let by_base = |part: Money| match whole.is_zero() {
                true => Ok(row.amount),
                false => Ok(proportion(row.amount, part.minor.into(), whole.minor.into())?),
            };
            row.lines = split(row.amount, nets, by_base)?;
        }
    }
    Ok(Taxed { rows, notes: answer.notes.clone() })
}
