//! What was forgiven: the lines of an invoice that was voided without a re-issue. Their amount is off what the price owes for
//! the period, for good; only what is owed beyond it is asked for. Nothing below zero is owed for it, so that nobody is
//! credited for what was never asked.

use super::BilledLine;
use super::line_tax::LineTax;
use crate::discount::LineDiscount;
use crate::money::{Money, MoneyError, proportion};

/// What earlier lines charged for something, and what of it was forgiven.
pub(super) struct Charged {
    /// By documents that stand.
    pub asked: Money,
    /// By voided ones, as far as it counts.
    pub forgiven: Money,
    /// What coupons took off all of that.
    pub discounts: Vec<LineDiscount>,
    /// What of it was taxed.
    pub taxes: Vec<LineTax>,
}

impl Charged {
    /// Of lines about something that owes `owed` now.
    pub fn of(lines: &[&BilledLine], owed: Money) -> Result<Self, MoneyError> {
        let sum = |is_forgiven: bool| {
            let lines = lines.iter().filter(|line| line.is_forgiven == is_forgiven);
            Money::sum(owed.currency, lines.map(|line| line.amount))
        };
        let all = sum(true)?;
        let forgiven = Money::new(all.minor.min(owed.minor.max(0)), owed.currency);
        let counted = |line: &BilledLine, amount: Money| match line.is_forgiven && all != forgiven {
            true => proportion(amount, forgiven.minor.into(), all.minor.into()),
            false => Ok(amount),
        };
        let (mut discounts, mut taxes) = (Vec::new(), Vec::new());
        for line in lines {
            for discount in &line.discounts {
                discounts.push(LineDiscount { amount: counted(line, discount.amount)?, ..discount.clone() });
            }
            for tax in &line.taxes {
                taxes.push(LineTax { amount: counted(line, tax.amount)?, ..tax.clone() });
            }
        }
        Ok(Self { asked: sum(false)?, forgiven, discounts, taxes })
    }

    /// What counts as billed.
    pub fn total(&self) -> Result<Money, MoneyError> {
        self.asked.checked_add(self.forgiven)
    }
}

/// What of it was forgiven, as a sentence; none where nothing was.
pub(super) fn sentence(forgiven: Money) -> Option<String> {
    let amount = crate::money::format_amount(forgiven.to_decimal(), forgiven.currency);
    (!forgiven.is_zero()).then(|| format!("{amount} of what was billed so far is forgiven with a voided invoice"))
}
