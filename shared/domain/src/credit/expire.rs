//! The end of a grant: what is left rolls over up to its cap, the rest is breakage where it was paid for.

use super::ledger::Entries;
use super::{Account, CreditError, CreditExpired, CreditRolledOver, Grant, GrantState, Movement, Units, WalletState};
use crate::id::{GrantId, derive_bits, prefixed};
use crate::journal::JournalEvent;
use crate::money::Money;
use chrono::{DateTime, Utc};

/// Ends the grant if it has expired at `at` and something is left; answers the decisions that follow. Done again, it does
/// nothing. The caller waits until everything that is billed up to the expiry is issued, because the grant pays that too.
pub fn expire(state: &mut WalletState, grant: &GrantId, at: DateTime<Utc>) -> Result<Vec<JournalEvent>, CreditError> {
    let mut events = Vec::new();
    if let Some(expired) = state.grant(grant).filter(|it| it.is_over(at))
        && let Some(rolled) = roll_over(state, expired, at)?
    {
        state.take(rolled, &mut events)?;
    }
    if let Some(expired) = state.grant(grant).filter(|it| it.is_over(at)) {
        let lost = lose(state, expired, at)?;
        state.take(lost, &mut events)?;
    }
    if !events.is_empty() {
        state.order_if_low(at, &mut events)?;
    }
    Ok(events)
}

impl GrantState {
    pub fn is_over(&self, at: DateTime<Utc>) -> bool {
        self.remaining.is_positive() && self.grant.expires_at.is_some_and(|expiry| expiry <= at)
    }
}

/// None when nothing rolls over. What an invoice gave back after the expiry does not: it has had its chance.
fn roll_over(
    state: &WalletState,
    expired: &GrantState,
    at: DateTime<Utc>,
) -> Result<Option<JournalEvent>, CreditError> {
    let old = &expired.grant;
    let Some((rollover, expiry)) = old.rollover.zip(old.expires_at) else { return Ok(None) };
    let bits = derive_bits("rollover", &[old.wallet.as_str(), old.id.as_str()]);
    let id = GrantId::parse(&prefixed("grn", bits)).expect("a prefix and 26 letters and digits are a key");
    // A bill run that was away for so long that the rest would expire at once rolls nothing over.
    if state.grant(&id).is_some() || rollover.until.is_some_and(|until| until <= at) {
        return Ok(None);
    }
    let amount = rollover.cap.map_or(expired.remaining, |cap| cap.min(expired.remaining));
    let cost = expired.cost_of(amount);
    let mut entries = Entries::default();
    let unit = state.wallet.unit.name();
    move_grant(&mut entries, Account::Wallet, [&old.id, &id], &unit, amount);
    if let Some(cost) = cost {
        let currency = cost.currency.to_string();
        entries.add(Account::DeferredRevenue, &old.id, &currency, cost.to_decimal());
        entries.add(Account::DeferredRevenue, &id, &currency, -cost.to_decimal());
    }
    let transaction = state.transaction(Movement::RolledOver, at, None, entries)?;
    let grant = Grant {
        id,
        amount,
        cost,
        effective_at: expiry,
        expires_at: rollover.until,
        rollover: None,
        answers: None,
        rolled_over_from: Some(old.id.clone()),
        granted_at: at,
        ..old.clone()
    };
    Ok(Some(JournalEvent::CreditRolledOver(CreditRolledOver { from: old.id.clone(), grant, transaction })))
}

fn move_grant(entries: &mut Entries, account: Account, [from, to]: [&GrantId; 2], unit: &str, amount: Units) {
    entries.add(account, from, unit, amount.to_decimal());
    entries.add(account, to, unit, -amount.to_decimal());
}

fn lose(state: &WalletState, expired: &GrantState, at: DateTime<Utc>) -> Result<JournalEvent, CreditError> {
    let (id, unit) = (&expired.grant.id, state.wallet.unit.name());
    let mut entries = Entries::default();
    entries.move_between(Account::Wallet, Account::Issued, id, &unit, expired.remaining.to_decimal());
    if let Some(cost) = expired.deferred.filter(|cost: &Money| !cost.is_zero()) {
        let currency = cost.currency.to_string();
        entries.move_between(Account::DeferredRevenue, Account::Breakage, id, &currency, cost.to_decimal());
    }
    let transaction = state.transaction(Movement::Expired, at, None, entries)?;
    Ok(JournalEvent::CreditExpired(CreditExpired {
        wallet_id: state.wallet.id.clone(),
        grant_id: id.clone(),
        transaction,
    }))
}
