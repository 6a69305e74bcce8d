//! A wallet as it stands: a fold of its events. Balances come from the ledger's entries and from nothing else.

use super::{Account, CreditError, Grant, LedgerTransaction, TopUpOrder, Units, Wallet};
use crate::id::GrantId;
use crate::journal::JournalEvent;
use crate::money::{Currency, Money, round_to_minor};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// A grant with what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GrantState {
    #[serde(flatten)]
    pub grant: Grant,
    /// In the wallet's unit; never below zero.
    pub remaining: Units,
    /// The part of the cost that is not used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferred: Option<Money>,
}

/// What was ordered in a month, for the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ordered {
    /// The month's first day in the wallet's zone.
    #[schema(value_type = String, format = Date)]
    pub month: NaiveDate,
    pub amount: Units,
}

/// A wallet with everything that decides about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletState {
    pub wallet: Wallet,
    /// In the order in which they were granted.
    pub grants: Vec<GrantState>,
    /// The number of the last ledger transaction.
    pub transactions: u64,
    /// Waits for a grant that answers it.
    pub open_order: Option<TopUpOrder>,
    pub ordered: Option<Ordered>,
}

/// What an event makes of a wallet. An error means that the event does not follow from the state: nothing is projected.
pub fn evolve(state: Option<WalletState>, event: &JournalEvent) -> Result<Option<WalletState>, CreditError> {
    if let JournalEvent::WalletCreated(wallet) = event {
        return Ok(Some(WalletState::new(wallet.clone())));
    }
    let Some(mut state) = state else { return Ok(None) };
    match event {
        JournalEvent::CreditGranted(granted) => {
            if granted.grant.answers.is_some() {
                state.open_order = None;
            }
            state.add(&granted.grant);
            state.fold(&granted.transaction)?;
        }
        JournalEvent::CreditRolledOver(rolled) => {
            state.add(&rolled.grant);
            state.fold(&rolled.transaction)?;
        }
        JournalEvent::CreditConsumed(consumed) => state.fold(&consumed.transaction)?,
        JournalEvent::CreditExpired(expired) => state.fold(&expired.transaction)?,
        JournalEvent::CreditReturned(returned) => state.fold(&returned.transaction)?,
        JournalEvent::CreditTopUpOrdered(order) => state.order(order)?,
        JournalEvent::TopUpChanged(changed) => state.wallet.auto_top_up = changed.auto_top_up,
        _ => {}
    }
    Ok(Some(state))
}

impl WalletState {
    fn new(wallet: Wallet) -> Self {
        Self { wallet, grants: Vec::new(), transactions: 0, open_order: None, ordered: None }
    }

    pub fn grant(&self, id: &GrantId) -> Option<&GrantState> {
        self.grants.iter().find(|state| state.grant.id == *id)
    }

    /// What can be spent at an instant.
    pub fn balance(&self, at: DateTime<Utc>) -> Units {
        let valid = self.grants.iter().filter(|state| state.grant.is_valid(at));
        let sum: i128 = valid.map(|state| i128::from(state.remaining.millionths())).sum();
        Units::saturating(sum)
    }

    /// Takes a decision that was just made.
    pub(super) fn take(&mut self, event: JournalEvent, events: &mut Vec<JournalEvent>) -> Result<(), CreditError> {
        if let Some(state) = evolve(Some(self.clone()), &event)? {
            *self = state;
        }
        events.push(event);
        Ok(())
    }

    fn add(&mut self, grant: &Grant) {
        let deferred = grant.cost.map(|cost| Money::zero(cost.currency));
        self.grants.push(GrantState { grant: grant.clone(), remaining: Units::ZERO, deferred });
    }

    /// The next transaction of the ledger, checked and added to the balances.
    fn fold(&mut self, transaction: &LedgerTransaction) -> Result<(), CreditError> {
        transaction.verify()?;
        self.transactions = transaction.number;
        for entry in &transaction.entries {
            let overflow = || CreditError::Overflow { wallet: self.wallet.id.clone() };
            let overdrawn = || CreditError::Overdrawn { grant: entry.grant.clone() };
            let Some(state) = self.grants.iter_mut().find(|state| state.grant.id == entry.grant) else {
                return Err(overdrawn());
            };
            match entry.account {
                Account::Wallet => {
                    let moved = Units::from_decimal(entry.amount).ok_or_else(overflow)?;
                    state.remaining = state.remaining.checked_sub(moved).ok_or_else(overflow)?;
                }
                Account::DeferredRevenue => {
                    let currency = Currency::parse(&entry.unit)?;
                    let moved = round_to_minor(entry.amount, currency).map_err(|_| overflow())?;
                    let before = state.deferred.unwrap_or(Money::zero(currency));
                    state.deferred = Some(before.checked_sub(Money::new(moved, currency))?);
                }
                _ => {}
            }
            if state.remaining < Units::ZERO || state.deferred.is_some_and(|deferred| deferred.minor < 0) {
                return Err(overdrawn());
            }
        }
        Ok(())
    }

    fn order(&mut self, order: &TopUpOrder) -> Result<(), CreditError> {
        let before = self.ordered.filter(|ordered| ordered.month == order.month).map(|ordered| ordered.amount);
        let amount = before.unwrap_or_default().checked_add(order.amount);
        let amount = amount.ok_or_else(|| CreditError::Overflow { wallet: self.wallet.id.clone() })?;
        self.ordered = Some(Ordered { month: order.month, amount });
        self.open_order = Some(order.clone());
        Ok(())
    }
}
