//! The ledger: every movement of credits is one transaction, whose entries sum to zero in each unit.
//!
//! There are two sides. In the wallet's unit the ledger says what the customer may still claim: `wallet` is owed, `issued`
//! is its counterpart. In money it says what was received for it: `deferred_revenue` is what was paid and not yet used.

use super::CreditError;
use crate::id::{GrantId, InvoiceId, WalletId};
use crate::rating::sum_exact;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an entry is booked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// Credits that the customer holds, in the wallet's unit. A liability: its balance is a credit, below zero here.
    Wallet,
    /// The counterpart of `wallet`, in its unit.
    Issued,
    /// What was paid for credits that are not used yet. A liability, in money.
    DeferredRevenue,
    /// What the customer owes: a sale of credits raises it, an invoice that credits pay lowers it.
    Receivable,
    /// What credits paid beyond what they cost: a reduction of revenue, in money.
    Promotional,
    /// What was paid for credits that expired. Revenue, in money.
    Breakage,
    /// Between the currency in which credits were sold and the one of the invoice that they pay.
    Conversion,
}

/// What a transaction is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    Granted,
    Consumed,
    Expired,
    RolledOver,
    Returned,
}

impl Account {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Issued => "issued",
            Self::DeferredRevenue => "deferred_revenue",
            Self::Receivable => "receivable",
            Self::Promotional => "promotional",
            Self::Breakage => "breakage",
            Self::Conversion => "conversion",
        }
    }

    /// The account of this name, where there is one.
    pub fn parse(text: &str) -> Option<Self> {
        use Account::{Breakage, Conversion, DeferredRevenue, Issued, Promotional, Receivable, Wallet};
        let all = [Wallet, Issued, DeferredRevenue, Receivable, Promotional, Breakage, Conversion];
        all.into_iter().find(|account| account.as_str() == text)
    }
}

impl Movement {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Consumed => "consumed",
            Self::Expired => "expired",
            Self::RolledOver => "rolled_over",
            Self::Returned => "returned",
        }
    }

    /// The movement of this name, where there is one.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Granted, Self::Consumed, Self::Expired, Self::RolledOver, Self::Returned];
        all.into_iter().find(|movement| movement.as_str() == text)
    }
}

/// One entry: a debit when above zero, a credit when below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerEntry {
    pub account: Account,
    /// The grant it is about.
    pub grant: GrantId,
    /// A currency's code, or the name of the wallet's own unit.
    pub unit: String,
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub amount: Decimal,
}

/// One movement of one wallet, complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerTransaction {
    pub wallet: WalletId,
    /// Counts from 1 in each wallet, without gaps.
    pub number: u64,
    pub movement: Movement,
    pub at: DateTime<Utc>,
    /// The invoice that was paid, or whose payment was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceId>,
    pub entries: Vec<LedgerEntry>,
}

impl LedgerTransaction {
    /// Whether it balances: in each unit the entries sum to zero. Checked before a transaction is recorded and before it is
    /// projected.
    pub fn verify(&self) -> Result<(), CreditError> {
        let mut sums: BTreeMap<&str, Option<Decimal>> = BTreeMap::new();
        for entry in &self.entries {
            let sum = sums.entry(&entry.unit).or_insert(Some(Decimal::ZERO));
            *sum = sum.and_then(|sum| sum_exact([sum, entry.amount]));
        }
        match sums.into_iter().find(|(_, sum)| sum.is_none_or(|sum| !sum.is_zero())) {
            Some((unit, _)) => Err(CreditError::Unbalanced { wallet: self.wallet.clone(), unit: unit.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Entries of one transaction as they are written: each pair balances by itself, and what is zero is left out.
#[derive(Default)]
pub(super) struct Entries(Vec<LedgerEntry>);

impl Entries {
    /// Debits one account and credits another.
    pub fn move_between(&mut self, debit: Account, credit: Account, grant: &GrantId, unit: &str, amount: Decimal) {
        self.add(debit, grant, unit, amount);
        self.add(credit, grant, unit, -amount);
    }

    pub fn add(&mut self, account: Account, grant: &GrantId, unit: &str, amount: Decimal) {
        if !amount.is_zero() {
            self.0.push(LedgerEntry {
                account,
                grant: grant.clone(),
                unit: unit.to_owned(),
                amount: amount.normalize(),
            });
        }
    }

    pub fn into_vec(self) -> Vec<LedgerEntry> {
        self.0
    }
}
