//! Paying an invoice with credits: the last step of its making. A draft is paid on copies of the wallets, which shows what
//! would be applied; what is issued takes it for good.

use super::ledger::Entries;
use super::{Account, CreditConsumed, CreditError, GrantState, Movement, Units, WalletState, order};
use crate::id::{GrantId, PriceKey, WalletId};
use crate::invoice::{Invoice, InvoiceLine};
use crate::journal::JournalEvent;
use crate::money::{Money, allocate};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one grant pays of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditApplied {
    pub wallet: WalletId,
    pub grant: GrantId,
    /// The wallet's name, as it is printed.
    pub description: String,
    /// What is paid; above zero.
    pub amount: Money,
    /// What is taken for it, in the wallet's unit; absent where that is money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Pays `invoice` as far as the wallets of its tenant can, and answers the decisions that follow, of which each belongs to
/// the stream of its wallet. Fills `credits` and `amount_due` anew; where nothing pays, both are absent.
///
/// An invoice of zero or less takes nothing. A wallet for some prices pays at most their share of the total.
pub fn pay(
    invoice: &mut Invoice,
    wallets: &mut [WalletState],
    at: DateTime<Utc>,
) -> Result<Vec<JournalEvent>, CreditError> {
    invoice.credits = Vec::new();
    invoice.amount_due = None;
    let taken = plan(invoice, wallets, at)?;
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let mut events = Vec::new();
    for (place, state) in wallets.iter_mut().enumerate() {
        let of_it: Vec<&Taken> = taken.iter().filter(|taken| taken.wallet == place).collect();
        if of_it.is_empty() {
            continue;
        }
        let consumed = consume(invoice, state, &of_it, at)?;
        state.take(consumed, &mut events)?;
        state.order_if_low(at, &mut events)?;
    }
    invoice.credits = taken.iter().map(|taken| taken.row(&wallets[taken.wallet])).collect();
    let paid = Money::sum(invoice.currency, invoice.credits.iter().map(|row| row.amount))?;
    invoice.amount_due = Some(invoice.total.checked_sub(paid)?);
    Ok(events)
}

/// What is taken from one grant.
struct Taken {
    /// Places in the wallets given, and in the wallet's grants.
    wallet: usize,
    grant: usize,
    amount: Money,
    units: Units,
}

impl Taken {
    fn row(&self, state: &WalletState) -> CreditApplied {
        let wallet = &state.wallet;
        let is_custom = wallet.unit.currency().is_none();
        CreditApplied {
            wallet: wallet.id.clone(),
            grant: state.grants[self.grant].grant.id.clone(),
            description: wallet.name.clone(),
            amount: self.amount,
            units: is_custom.then_some(self.units),
            unit: is_custom.then(|| wallet.unit.name()),
        }
    }
}

/// Which grants pay how much, in the order in which they are spent.
fn plan(invoice: &Invoice, wallets: &[WalletState], at: DateTime<Utc>) -> Result<Vec<Taken>, CreditError> {
    if invoice.total.minor <= 0 {
        return Ok(Vec::new());
    }
    let mut grants = payers(invoice, wallets, at);
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    grants.sort_by(|a, b| {
        order::key(a.wallet(wallets), a.grant(wallets)).cmp(&order::key(b.wallet(wallets), b.grant(wallets)))
    });
    let mut open = open_parts(invoice, wallets, &grants);
    let mut taken = Vec::new();
    for payer in grants {
        let (wallet, state) = (payer.wallet(wallets), payer.state(wallets));
        let worth = wallet.unit.worth(state.remaining, invoice.currency).map_or(0, |worth| worth.minor);
        open.iter_mut().filter(|part| wallet.pays_for(&part.price)).for_each(|part| part.leave(worth));
        let amount = Money::new(settle(&mut open, wallet, worth), invoice.currency);
        if amount.minor <= 0 {
            continue;
        }
        let units = wallet.unit.units_for(amount).filter(|units| *units <= state.remaining);
        let units = units.ok_or_else(|| CreditError::Overflow { wallet: wallet.id.clone() })?;
        taken.push(Taken { wallet: payer.wallet, grant: payer.grant, amount, units });
    }
    Ok(taken)
}

/// What a price's part of the total still waits for, in minor units, and what those who have not paid yet could pay of it.
struct OpenPart {
    price: PriceKey,
    open: i64,
    payers: usize,
    payable: i128,
}

impl OpenPart {
    /// One of its payers is not among the later ones any more.
    fn leave(&mut self, worth: i64) {
        self.payers -= 1;
        self.payable -= i128::from(worth);
    }

    /// What none of the later ones can pay.
    fn beyond(&self) -> i64 {
        i64::try_from(i128::from(self.open) - self.payable).unwrap_or(0).max(0)
    }
}

fn open_parts(invoice: &Invoice, wallets: &[WalletState], grants: &[Payer]) -> Vec<OpenPart> {
    let part = |(price, open): (PriceKey, i64)| {
        let payers = grants.iter().filter(|payer| payer.wallet(wallets).pays_for(&price));
        let worths = payers.map(|payer| {
            let worth = payer.wallet(wallets).unit.worth(payer.state(wallets).remaining, invoice.currency);
            i128::from(worth.map_or(0, |worth| worth.minor))
        });
        let (payers, payable) = worths.fold((0, 0), |(payers, payable), worth| (payers + 1, payable + worth));
        OpenPart { price, open, payers, payable }
    };
    shares(invoice).into_iter().map(part).collect()
}

/// Pays up to `worth` of the parts that a wallet may pay, and answers how much. What no later payer can pay comes first, then
/// what fewest of them can, so that a wallet for all prices leaves to one for some what only that can pay.
fn settle(open: &mut [OpenPart], wallet: &super::Wallet, worth: i64) -> i64 {
    let mut parts: Vec<&mut OpenPart> =
        open.iter_mut().filter(|part| part.open > 0 && wallet.pays_for(&part.price)).collect();
    parts.sort_by_key(|part| part.payers);
    let mut rest = worth;
    for only_beyond in [true, false] {
        for part in &mut parts {
            let most = if only_beyond { part.beyond() } else { part.open };
            let paid = most.min(rest);
            part.open -= paid;
            rest -= paid;
        }
    }
    worth - rest
}

/// A grant that may pay, by its places.
#[derive(Clone, Copy)]
struct Payer {
    wallet: usize,
    grant: usize,
}

impl Payer {
    fn wallet(self, wallets: &[WalletState]) -> &super::Wallet {
        &wallets[self.wallet].wallet
    }

    fn state(self, wallets: &[WalletState]) -> &GrantState {
        &wallets[self.wallet].grants[self.grant]
    }

    fn grant(self, wallets: &[WalletState]) -> &super::Grant {
        &self.state(wallets).grant
    }
}

fn payers(invoice: &Invoice, wallets: &[WalletState], at: DateTime<Utc>) -> Vec<Payer> {
    let of_tenant = wallets
        .iter()
        .enumerate()
        .filter(|(_, state)| state.wallet.tenant == invoice.tenant && state.wallet.unit.pays(invoice.currency));
    let grants = of_tenant.flat_map(|(wallet, state)| {
        let valid = state
            .grants
            .iter()
            .enumerate()
            .filter(|(_, state)| state.remaining.is_positive() && state.grant.pays_between(invoice.billed_at, at));
        valid.map(move |(grant, _)| Payer { wallet, grant })
    });
    grants.collect()
}

/// Each price's part of the total: by what its lines sum to, with their discounts and taxes. A price whose lines sum to a
/// credit has none, its credit lowers the parts of the others.
fn shares(invoice: &Invoice) -> Vec<(PriceKey, i64)> {
    let mut sums: BTreeMap<&PriceKey, i64> = BTreeMap::new();
    for line in &invoice.lines {
        let sum = sums.entry(&line.price_key).or_default();
        *sum = sum.saturating_add(total_of(invoice, line));
    }
    let weights: Vec<i64> = sums.values().copied().collect();
    let parts = allocate(invoice.total, &weights);
    sums.into_keys().cloned().zip(parts.into_iter().map(|part| part.minor)).collect()
}

/// What a line adds to the total, in minor units: less its discounts, with its share of the taxes that stand on top.
fn total_of(invoice: &Invoice, line: &InvoiceLine) -> i64 {
    let on_top = invoice.taxes.iter().filter(|row| !row.included).flat_map(|row| &row.lines);
    let taxes = on_top.filter(|share| share.line == line.number).map(|share| share.amount.minor);
    let discounts = line.discounts.iter().map(|discount| discount.amount.minor);
    let net = discounts.fold(line.amount.minor, i64::saturating_sub);
    taxes.fold(net, i64::saturating_add)
}

/// The movement of one wallet.
fn consume(
    invoice: &Invoice,
    state: &WalletState,
    taken: &[&Taken],
    at: DateTime<Utc>,
) -> Result<JournalEvent, CreditError> {
    let mut entries = Entries::default();
    for part in taken {
        let grant = &state.grants[part.grant];
        let (id, unit) = (&grant.grant.id, state.wallet.unit.name());
        entries.move_between(Account::Wallet, Account::Issued, id, &unit, part.units.to_decimal());
        let cost = grant.cost_of(part.units);
        release(&mut entries, id, cost, part.amount)?;
    }
    let paid = Money::sum(invoice.currency, taken.iter().map(|part| part.amount))?;
    let transaction = state.transaction(Movement::Consumed, at, Some(invoice.id.clone()), entries)?;
    Ok(JournalEvent::CreditConsumed(CreditConsumed {
        wallet_id: state.wallet.id.clone(),
        invoice_id: invoice.id.clone(),
        paid,
        transaction,
    }))
}

/// The money side: the cost of what is used leaves the deferred revenue and pays the receivable. What was paid beyond the
/// cost was promotional. Where the cost is in another currency, both meet in `conversion`.
pub(super) fn release(
    entries: &mut Entries,
    grant: &GrantId,
    cost: Option<Money>,
    paid: Money,
) -> Result<(), CreditError> {
    let unit = paid.currency.to_string();
    match cost {
        Some(cost) if cost.currency != paid.currency => {
            let other = cost.currency.to_string();
            entries.move_between(Account::DeferredRevenue, Account::Conversion, grant, &other, cost.to_decimal());
            entries.move_between(Account::Conversion, Account::Receivable, grant, &unit, paid.to_decimal());
        }
        cost => {
            let cost = cost.unwrap_or(Money::zero(paid.currency));
            entries.add(Account::DeferredRevenue, grant, &unit, cost.to_decimal());
            entries.add(Account::Promotional, grant, &unit, paid.checked_sub(cost)?.to_decimal());
            entries.add(Account::Receivable, grant, &unit, paid.checked_neg()?.to_decimal());
        }
    }
    Ok(())
}

impl GrantState {
    /// The part of the cost that belongs to some of what remains: by proportion, rounded once; all of it with the last unit.
    pub(super) fn cost_of(&self, units: Units) -> Option<Money> {
        let deferred = self.deferred?;
        let (part, whole) = (i128::from(units.millionths()), i128::from(self.remaining.millionths()));
        if whole <= 0 || part >= whole {
            return Some(deferred);
        }
        let product = i128::from(deferred.minor) * part;
        let rounded = product / whole + i128::from(product % whole >= whole - product % whole);
        // At most the whole, which has 64 bits.
        Some(Money::new(i64::try_from(rounded).unwrap_or(deferred.minor), deferred.currency))
    }
}
