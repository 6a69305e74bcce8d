//! Prepaid credits: wallets of a tenant, the grants in them, and the ledger of every movement.
//!
//! Follow a credit: a [`Wallet`] is created, a [`Grant`] puts credits into it, an issued invoice takes them in the order
//! of [`order`] ([`pay()`]), what is left when the grant expires is breakage or rolls over ([`expire()`]), and a voided
//! invoice gives back ([`give_back()`]). Each of these is one balanced [`LedgerTransaction`]; balances are folds of them.
//!
//! Credits are a means of payment: they are applied after tax, like a multi-purpose voucher under Directive (EU) 2016/1065,
//! whose tax is due when it is spent. They change what is still to be paid, never the invoice's lines, tax or total.

mod decide;
mod events;
mod expire;
mod give_back;
mod grant;
mod ledger;
pub mod order;
mod pay;
mod state;
mod top_up;
mod units;
mod wallet;

pub use decide::{NewGrant, create, grant};
pub use events::{
    CreditConsumed, CreditExpired, CreditGranted, CreditReturned, CreditRolledOver, TopUpChanged, movement,
};
pub use expire::expire;
pub use give_back::{give_back, give_back_all};
pub use grant::{DEFAULT_PRIORITY, Grant, GrantKind, Rollover};
pub use ledger::{Account, LedgerEntry, LedgerTransaction, Movement};
pub use pay::{CreditApplied, pay};
pub use state::{GrantState, Ordered, WalletState, evolve};
pub use top_up::{TopUpOrder, change_top_up};
pub use units::Units;
pub use wallet::{AutoTopUp, CustomUnit, Wallet, WalletUnit};

use crate::error::FieldError;
use crate::id::{GrantId, InvoiceId, TopUpOrderId, WalletId};
use crate::money::{Money, MoneyError};
use crate::period::PeriodError;

/// Why a command to a wallet is refused, or an invoice cannot be paid by one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreditError {
    /// The field is a pointer into the command.
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("wallet {wallet} is there already; choose another id")]
    WalletExists { wallet: WalletId },
    #[error("grant {grant} is there already; choose another id")]
    GrantExists { grant: GrantId },
    #[error("wallet {wallet} has no open order {order}; leave it out, or answer the one that is open")]
    NoSuchOrder { wallet: WalletId, order: TopUpOrderId },
    #[error("the ledger of wallet {wallet} does not balance in {unit}; this is a fault of the program")]
    Unbalanced { wallet: WalletId, unit: String },
    #[error("the balance of grant {grant} would fall below zero; this is a fault of the program")]
    Overdrawn { grant: GrantId },
    #[error("invoice {invoice} took less than {amount} from its wallets; this is a fault of the program")]
    NotTaken { invoice: InvoiceId, amount: Money },
    #[error("the credits of wallet {wallet} do not fit; use a larger unit")]
    Overflow { wallet: WalletId },
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Period(#[from] PeriodError),
}

#[cfg(test)]
mod tests;
