//! What is asked of a wallet, and what it leads to. Pure: ids and time are arguments.

use super::ledger::Entries;
use super::{
    Account, CreditError, CreditGranted, Grant, GrantKind, LedgerTransaction, Movement, Rollover, Units, Wallet,
    WalletState,
};
use crate::error::FieldError;
use crate::id::{GrantId, TopUpOrderId};
use crate::journal::JournalEvent;
use crate::money::Money;
use chrono::{DateTime, Utc};

/// The most grants of one wallet: all of them are read when it pays.
const MAX_GRANTS: usize = 1000;

/// A grant as it is asked for.
#[derive(Debug, Clone)]
pub struct NewGrant {
    pub id: GrantId,
    pub amount: Units,
    pub kind: GrantKind,
    /// What was paid; for a wallet in money its amount, when absent.
    pub cost: Option<Money>,
    pub priority: u16,
    /// May lie in the past or in the future.
    pub effective_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub rollover: Option<Rollover>,
    pub answers: Option<TopUpOrderId>,
}

/// Creates a wallet.
pub fn create(existing: Option<&WalletState>, wallet: Wallet) -> Result<JournalEvent, CreditError> {
    if existing.is_some() {
        return Err(CreditError::WalletExists { wallet: wallet.id });
    }
    wallet.check()?;
    Ok(JournalEvent::WalletCreated(wallet))
}

/// Puts credits into a wallet, sold or given.
pub fn grant(state: &WalletState, asked: NewGrant, at: DateTime<Utc>) -> Result<JournalEvent, CreditError> {
    check(state, &asked, at)?;
    let wallet = &state.wallet;
    let cost = cost(state, &asked)?;
    let mut entries = Entries::default();
    let unit = wallet.unit.name();
    entries.move_between(Account::Issued, Account::Wallet, &asked.id, &unit, asked.amount.to_decimal());
    if let Some(cost) = cost {
        let (paid, currency) = (cost.to_decimal(), cost.currency.to_string());
        entries.move_between(Account::Receivable, Account::DeferredRevenue, &asked.id, &currency, paid);
    }
    let transaction = state.transaction(Movement::Granted, at, None, entries)?;
    let grant = Grant {
        id: asked.id,
        wallet: wallet.id.clone(),
        amount: asked.amount,
        kind: asked.kind,
        cost,
        priority: asked.priority,
        effective_at: asked.effective_at,
        expires_at: asked.expires_at,
        rollover: asked.rollover,
        answers: asked.answers,
        rolled_over_from: None,
        granted_at: at,
    };
    Ok(JournalEvent::CreditGranted(CreditGranted { grant, transaction }))
}

fn check(state: &WalletState, asked: &NewGrant, at: DateTime<Utc>) -> Result<(), CreditError> {
    if state.grant(&asked.id).is_some() {
        return Err(CreditError::GrantExists { grant: asked.id.clone() });
    }
    let fault = |field: &str, reason: &str, way_out: &str| Err(FieldError::new(field, reason, way_out).into());
    if state.grants.len() >= MAX_GRANTS {
        return fault("", "is one grant too many of this wallet", "create another wallet");
    }
    if !asked.amount.is_positive() {
        return fault("/amount", "is not above zero", "grant more than nothing");
    }
    state.wallet.unit.check_amount("/amount", asked.amount)?;
    if asked.expires_at.is_some_and(|expiry| expiry <= asked.effective_at.max(at)) {
        return fault("/expires_at", "is past, or not after effective_at", "let it expire later, or never");
    }
    check_rollover(state, asked)?;
    match (&asked.answers, &state.open_order) {
        (Some(order), open) if open.as_ref().is_none_or(|open| open.id != *order) => {
            Err(CreditError::NoSuchOrder { wallet: state.wallet.id.clone(), order: order.clone() })
        }
        _ => Ok(()),
    }
}

fn check_rollover(state: &WalletState, asked: &NewGrant) -> Result<(), CreditError> {
    let Some(rollover) = asked.rollover else { return Ok(()) };
    let fault = |field: &str, reason: &str, way_out: &str| Err(FieldError::new(field, reason, way_out).into());
    let Some(expiry) = asked.expires_at else {
        return fault("/rollover", "of what never expires", "write expires_at, or leave it out");
    };
    if rollover.until.is_some_and(|until| until <= expiry) {
        return fault("/rollover/until", "is not after expires_at", "let the new grant last longer than this one");
    }
    match rollover.cap {
        Some(cap) if !cap.is_positive() => {
            fault("/rollover/cap", "is not above zero", "leave rollover out for nothing")
        }
        Some(cap) => state.wallet.unit.check_amount("/rollover/cap", cap),
        None => Ok(()),
    }
}

fn cost(state: &WalletState, asked: &NewGrant) -> Result<Option<Money>, CreditError> {
    let fault = |reason: &str, way_out: &str| Err(FieldError::new("/cost", reason, way_out).into());
    let own = state.wallet.unit.currency();
    match (asked.kind, asked.cost) {
        (GrantKind::Promotional, None) => Ok(None),
        (GrantKind::Promotional, Some(_)) => {
            fault("stands beside a promotional grant", "leave it out, or grant as paid")
        }
        (GrantKind::Paid, Some(cost)) if cost.minor < 0 => fault("is below zero", "write what was paid"),
        (GrantKind::Paid, Some(cost)) if own.is_some_and(|own| own != cost.currency) => {
            fault("is not in the wallet's currency", "write what was paid in the currency of the wallet")
        }
        (GrantKind::Paid, Some(cost)) => Ok(Some(cost)),
        (GrantKind::Paid, None) => match own.and_then(|own| state.wallet.unit.worth(asked.amount, own)) {
            Some(face) => Ok(Some(face)),
            None => fault("is missing", "write what was paid for the whole grant"),
        },
    }
}

impl WalletState {
    /// The wallet's next transaction, which balances.
    pub(super) fn transaction(
        &self,
        movement: Movement,
        at: DateTime<Utc>,
        invoice: Option<crate::id::InvoiceId>,
        entries: Entries,
    ) -> Result<LedgerTransaction, CreditError> {
        let transaction = LedgerTransaction {
            wallet: self.wallet.id.clone(),
            number: self.transactions + 1,
            movement,
            at,
            invoice,
            entries: entries.into_vec(),
        };
        transaction.verify()?;
        Ok(transaction)
    }
}
