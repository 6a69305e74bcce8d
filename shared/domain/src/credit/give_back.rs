//! What a voided or credited invoice had taken goes back where it came from: to the same grants, on the same terms. A grant
//! that has expired meanwhile takes it too, and loses it when it is next looked at, as if it had never been spent.

use super::ledger::Entries;
use super::pay::release;
use super::{Account, CreditError, CreditReturned, LedgerTransaction, Movement, Units, WalletState};
use crate::id::{GrantId, InvoiceId};
use crate::invoice::Invoice;
use crate::journal::JournalEvent;
use crate::money::{Currency, Money, round_to_minor};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// Gives back what `invoice` took from this wallet: all of it, or at most `amount`, from the grant that was spent last to the
/// one that was spent first. `movements` are the wallet's transactions about the invoice; what was given back before is not
/// given back again.
pub fn give_back(
    state: &mut WalletState,
    invoice: &InvoiceId,
    movements: &[LedgerTransaction],
    amount: Option<Money>,
    at: DateTime<Utc>,
) -> Result<Vec<JournalEvent>, CreditError> {
    let mut entries = Entries::default();
    let mut returned: Option<Money> = None;
    for spent in spent(state, invoice, movements)?.iter().rev() {
        let before = returned.unwrap_or(Money::zero(spent.paid.currency));
        let left = amount.map_or(Ok(spent.paid), |amount| amount.checked_sub(before))?;
        let part = spent.part(left.minor.min(spent.paid.minor));
        if part.paid.minor > 0 {
            part.write_back(&mut entries, &state.wallet.unit.name())?;
            returned = Some(before.checked_add(part.paid)?);
        }
    }
    let Some(returned) = returned else { return Ok(Vec::new()) };
    let transaction = state.transaction(Movement::Returned, at, Some(invoice.clone()), entries)?;
    let event = JournalEvent::CreditReturned(CreditReturned {
        wallet_id: state.wallet.id.clone(),
        invoice_id: invoice.clone(),
        returned,
        transaction,
    });
    let mut events = Vec::new();
    state.take(event, &mut events)?;
    Ok(events)
}

/// Gives `amount` of what an invoice took back to its wallets, the one that paid last first. `movements` are all transactions about
/// the invoice. Less than all of it is a fault: what was paid is known.
pub fn give_back_all(
    wallets: &mut [WalletState],
    invoice: &Invoice,
    movements: &[LedgerTransaction],
    amount: Money,
    at: DateTime<Utc>,
) -> Result<Vec<JournalEvent>, CreditError> {
    let (mut events, mut left, mut asked) = (Vec::new(), amount, BTreeSet::new());
    for credit in invoice.credits.iter().rev() {
        let wallet = wallets.iter_mut().find(|state| state.wallet.id == credit.wallet);
        let Some(wallet) = wallet.filter(|_| left.minor > 0 && asked.insert(&credit.wallet)) else { continue };
        for event in give_back(wallet, &invoice.id, movements, Some(left), at)? {
            if let JournalEvent::CreditReturned(it) = &event {
                left = left.checked_sub(it.returned)?;
            }
            events.push(event);
        }
    }
    if left.is_zero() { Ok(events) } else { Err(CreditError::NotTaken { invoice: invoice.id.clone(), amount }) }
}

/// What an invoice has taken from a grant and not given back.
struct Spent {
    grant: GrantId,
    units: Units,
    cost: Option<Money>,
    paid: Money,
}

/// In the order in which the grants were spent.
fn spent(state: &WalletState, invoice: &InvoiceId, movements: &[LedgerTransaction]) -> Result<Vec<Spent>, CreditError> {
    let overflow = || CreditError::Overflow { wallet: state.wallet.id.clone() };
    let mut all: Vec<Spent> = Vec::new();
    let about = movements.iter().filter(|it| it.wallet == state.wallet.id && it.invoice.as_ref() == Some(invoice));
    for entry in about.flat_map(|movement| &movement.entries) {
        let money = || -> Result<Money, CreditError> {
            let currency = Currency::parse(&entry.unit)?;
            Ok(Money::new(round_to_minor(entry.amount, currency).map_err(|_| overflow())?, currency))
        };
        let place = all.iter().position(|spent| spent.grant == entry.grant);
        match (entry.account, place) {
            // Of each grant this entry comes first, whatever the invoice's currency is.
            (Account::Wallet, None) => {
                let units = Units::from_decimal(entry.amount).ok_or_else(overflow)?;
                all.push(Spent {
                    grant: entry.grant.clone(),
                    units,
                    cost: None,
                    paid: Money::zero(currency_of(movements)?),
                });
            }
            (Account::Wallet, Some(place)) => {
                let units = Units::from_decimal(entry.amount).and_then(|units| all[place].units.checked_add(units));
                all[place].units = units.ok_or_else(overflow)?;
            }
            (Account::DeferredRevenue, Some(place)) => {
                let cost = money()?;
                all[place].cost = Some(all[place].cost.map_or(Ok(cost), |before| before.checked_add(cost))?);
            }
            (Account::Receivable, Some(place)) => all[place].paid = all[place].paid.checked_sub(money()?)?,
            _ => {}
        }
    }
    Ok(all)
}

fn currency_of(movements: &[LedgerTransaction]) -> Result<Currency, CreditError> {
    let entries = movements.iter().flat_map(|movement| &movement.entries);
    let receivable = entries.into_iter().find(|entry| entry.account == Account::Receivable);
    Ok(Currency::parse(receivable.map_or("", |entry| entry.unit.as_str()))?)
}

impl Spent {
    /// As much of it as paid `minor`: units and cost cut in proportion, all of both with the whole.
    fn part(&self, minor: i64) -> Self {
        let (part, whole) = (i128::from(minor.max(0)), i128::from(self.paid.minor));
        let of = |amount: i64| {
            let share = if whole == 0 { 0 } else { i128::from(amount) * part / whole };
            i64::try_from(share).unwrap_or(amount)
        };
        Self {
            grant: self.grant.clone(),
            units: Units::from_millionths(of(self.units.millionths())).unwrap_or(self.units),
            cost: self.cost.map(|cost| Money::new(of(cost.minor), cost.currency)),
            paid: Money::new(minor.max(0), self.paid.currency),
        }
    }

    fn write_back(&self, entries: &mut Entries, unit: &str) -> Result<(), CreditError> {
        entries.move_between(Account::Issued, Account::Wallet, &self.grant, unit, self.units.to_decimal());
        let cost = self.cost.map(Money::checked_neg).transpose()?;
        release(entries, &self.grant, cost, self.paid.checked_neg()?)
    }
}
