//! Auto top-up: an order goes out when the balance has fallen below the threshold, once; the next one only after a grant
//! has answered it. Who sells the credits acts on the order; Talea takes no money.

use super::{AutoTopUp, CreditError, TopUpChanged, Units, WalletState};
use crate::id::{TopUpOrderId, WalletId, derive_bits, prefixed};
use crate::journal::JournalEvent;
use crate::period::zone::day_of;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// An order for credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpOrder {
    pub id: TopUpOrderId,
    pub wallet: WalletId,
    /// What fills the wallet up to its target, or what is left of the month's cap.
    pub amount: Units,
    /// What was there.
    pub balance: Units,
    /// The month to whose cap it counts: its first day.
    #[schema(value_type = String, format = Date)]
    pub month: NaiveDate,
    pub ordered_at: DateTime<Utc>,
}

/// Changes whether and when more is ordered; none for never. Answers the decisions that follow: with a balance below the new
/// threshold an order goes out at once. What stands already changes nothing.
pub fn change_top_up(
    state: &mut WalletState,
    auto_top_up: Option<AutoTopUp>,
    at: DateTime<Utc>,
) -> Result<Vec<JournalEvent>, CreditError> {
    auto_top_up.map_or(Ok(()), AutoTopUp::check)?;
    let mut events = Vec::new();
    if state.wallet.auto_top_up != auto_top_up {
        let changed = TopUpChanged { wallet_id: state.wallet.id.clone(), auto_top_up, changed_at: at };
        state.take(JournalEvent::TopUpChanged(changed), &mut events)?;
        state.order_if_low(at, &mut events)?;
    }
    Ok(events)
}

impl WalletState {
    /// Takes the order that is due after a movement, if one is.
    pub(super) fn order_if_low(
        &mut self,
        at: DateTime<Utc>,
        events: &mut Vec<JournalEvent>,
    ) -> Result<(), CreditError> {
        match due(self, at)? {
            Some(order) => self.take(JournalEvent::CreditTopUpOrdered(order), events),
            None => Ok(()),
        }
    }
}

fn due(state: &WalletState, at: DateTime<Utc>) -> Result<Option<TopUpOrder>, CreditError> {
    let Some(rule) = state.wallet.auto_top_up.filter(|_| state.open_order.is_none()) else { return Ok(None) };
    let balance = state.balance(at);
    if balance >= rule.threshold {
        return Ok(None);
    }
    let day = day_of(at, state.wallet.zone)?;
    let month = day.with_day(1).unwrap_or(day);
    let ordered = state.ordered.filter(|ordered| ordered.month == month).map(|ordered| ordered.amount);
    let missing = rule.target.checked_sub(balance).unwrap_or(rule.target);
    let allowed = rule.monthly_cap.map(|cap| cap.checked_sub(ordered.unwrap_or_default()).unwrap_or_default());
    let amount = allowed.map_or(missing, |allowed| allowed.min(missing));
    if !amount.is_positive() {
        return Ok(None);
    }
    let bits = derive_bits("top_up", &[state.wallet.id.as_str(), &state.transactions.to_string()]);
    let id = TopUpOrderId::parse(&prefixed("top", bits)).expect("a prefix and 26 letters and digits are a key");
    Ok(Some(TopUpOrder { id, wallet: state.wallet.id.clone(), amount, balance, month, ordered_at: at }))
}
