//! The payloads that belong to no other module of the domain.

use crate::id::{ApiKeyId, InvoiceId, SubscriptionId, TenantId};
use crate::period::Period;
use crate::tenant::{Scope, StateCause, TenantState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a tenant should be from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantStateDesired {
    pub tenant_id: TenantId,
    pub state: TenantState,
    pub cause: StateCause,
    pub at: DateTime<Utc>,
}

/// A key was made. The secret itself is shown once and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    pub key_id: ApiKeyId,
    /// For people, for example `billing export`.
    pub label: String,
    pub scopes: Vec<Scope>,
    /// The only tenant the key may act for; none for every tenant.
    pub tenant_id: Option<TenantId>,
    /// SHA-256 of the key as it was shown, 64 lower-case hex digits. The key holds 256 random bits, so that the hash
    /// tells nothing about it.
    pub sha256: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRevoked {
    pub key_id: ApiKeyId,
    pub revoked_at: DateTime<Utc>,
}

/// How a subscription was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// At once; what was paid in advance is prorated exactly.
    Now,
    /// When the running period ends.
    PeriodEnd,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionCancelled {
    pub subscription_id: SubscriptionId,
    /// When the subscription stops, exclusive.
    pub at: DateTime<Utc>,
    pub mode: CancelMode,
}

/// A bill moment of a subscription is done: its usage was counted up to the cut, and its invoice, where something is owed,
/// is issued in the same transaction. Usage that the cut does not hold is late from now on.
///
/// Recorded with an invoice and without one, because a period without usage has no line that could keep its cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodClosed {
    pub tenant_id: TenantId,
    pub subscription_id: SubscriptionId,
    /// The bill moment; moments of a subscription are closed in order.
    pub billed_at: DateTime<Utc>,
    /// 0; counts up for further documents about the same moment.
    pub revision: u32,
    /// The document; none when nothing was owed.
    pub invoice_id: Option<InvoiceId>,
    /// The usage window that ended; none where the moment only bills in advance.
    pub closed: Option<Period>,
    /// Earlier windows that were measured again, up to the same cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remeasured: Vec<Period>,
    /// The voided invoice that was billed anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<InvoiceId>,
    /// How many changes of the subscription were known: what they change about earlier periods is billed with it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub changes: usize,
    /// Per partition of the usage log, the first offset that was not counted.
    pub cut: Vec<u64>,
    pub closed_at: DateTime<Utc>,
}

fn is_none(changes: &usize) -> bool {
    *changes == 0
}

/// A topic was created. Its partition count decides where an identity lives and never changes silently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicCreated {
    pub topic: String,
    pub partitions: u32,
}
