//! What the journal says about wallets. Each carries its ledger transaction, so that the ledger follows from the journal.

use super::{AutoTopUp, Grant, LedgerTransaction};
use crate::id::{GrantId, InvoiceId, WalletId};
use crate::journal::JournalEvent;
use crate::money::Money;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The ledger transaction that a decision carries.
pub fn movement(event: &JournalEvent) -> Option<&LedgerTransaction> {
    match event {
        JournalEvent::CreditGranted(it) => Some(&it.transaction),
        JournalEvent::CreditConsumed(it) => Some(&it.transaction),
        JournalEvent::CreditExpired(it) => Some(&it.transaction),
        JournalEvent::CreditRolledOver(it) => Some(&it.transaction),
        JournalEvent::CreditReturned(it) => Some(&it.transaction),
        _ => None,
    }
}

/// Whether and when more is ordered, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUpChanged {
    pub wallet_id: WalletId,
    /// None: nothing is ordered any more. An order that is open stays open.
    pub auto_top_up: Option<AutoTopUp>,
    pub changed_at: DateTime<Utc>,
}

/// Credits were sold or given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditGranted {
    pub grant: Grant,
    pub transaction: LedgerTransaction,
}

/// An invoice was paid, in whole or in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditConsumed {
    pub wallet_id: WalletId,
    pub invoice_id: InvoiceId,
    pub paid: Money,
    pub transaction: LedgerTransaction,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditExpired {
    pub wallet_id: WalletId,
    pub grant_id: GrantId,
    pub transaction: LedgerTransaction,
}

/// The rest of a grant went into a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditRolledOver {
    pub from: GrantId,
    pub grant: Grant,
    pub transaction: LedgerTransaction,
}

/// What an invoice had taken was given back, because it was voided or credited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditReturned {
    pub wallet_id: WalletId,
    pub invoice_id: InvoiceId,
    pub returned: Money,
    pub transaction: LedgerTransaction,
}
