//! In which order credits are spent.

use super::{Grant, GrantKind, Wallet};
use chrono::{DateTime, Utc};

/// The key by which grants are sorted; the first is spent first:
///
/// 1. lower priority, which is the contract's own word;
/// 2. earlier expiry, and those that never expire last: what would be lost first is used first;
/// 3. a wallet for some prices before one for all: what can be used less is used first;
/// 4. promotional before paid: what the customer paid for stays with it, and can be refunded, longest;
/// 5. the older grant, by when it takes effect;
/// 6. its id, so that two runs spend the same.
pub fn key<'a>(wallet: &Wallet, grant: &'a Grant) -> impl Ord + use<'a> {
    let expiry = (grant.expires_at.is_none(), grant.expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC));
    let is_paid = grant.kind == GrantKind::Paid;
    (grant.priority, expiry, wallet.prices.is_empty(), is_paid, grant.effective_at, grant.id.as_str())
}
