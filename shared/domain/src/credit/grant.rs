//! A grant: credits that were sold or given at once, on the same terms.

use super::Units;
use crate::id::{GrantId, TopUpOrderId, WalletId};
use crate::money::Money;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The priority of a grant that names none.
pub const DEFAULT_PRIORITY: u16 = 100;

/// Whether credits were sold or given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    Paid,
    Promotional,
}

/// What becomes of the rest when a grant expires: up to the cap it goes into a new grant, which does not roll over again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollover {
    /// The most that rolls over; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Units>,
    /// When the new grant expires; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// One grant, as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub id: GrantId,
    pub wallet: WalletId,
    /// In the wallet's unit.
    pub amount: Units,
    pub kind: GrantKind,
    /// What was paid for the whole grant: its cost basis. None for a promotional one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// Lower is spent first.
    pub priority: u16,
    pub effective_at: DateTime<Utc>,
    /// It pays what is billed up to and including this instant; never expires when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollover: Option<Rollover>,
    /// The top-up order that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<TopUpOrderId>,
    /// The grant whose rest it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_over_from: Option<GrantId>,
    pub granted_at: DateTime<Utc>,
}

impl Grant {
    /// Whether it may pay a document about the moment `billed_at` that is issued at `issued_at`: it was valid at some instant
    /// from the one to the other. So nobody loses a credit because late usage was waited for.
    pub fn pays_between(&self, billed_at: DateTime<Utc>, issued_at: DateTime<Utc>) -> bool {
        self.effective_at <= issued_at.max(billed_at) && self.expires_at.is_none_or(|expiry| billed_at <= expiry)
    }

    /// Whether it counts to the balance at an instant.
    pub fn is_valid(&self, at: DateTime<Utc>) -> bool {
        self.effective_at <= at && self.expires_at.is_none_or(|expiry| at < expiry)
    }
}
