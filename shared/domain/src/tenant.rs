//! Tenants: the customers of the company that runs Talea, the states they can be in, and the scope a decision belongs to.

use crate::id::{InvoiceId, TenantId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A tenant as onboarding decided it. Personal data is elsewhere: see [`crate::party`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    pub tenant_id: TenantId,
    /// The customer's zone: its days, months and billing periods are counted there.
    pub zone: chrono_tz::Tz,
    /// Which version of the tenant's party record holds at the start; 0 where there is none.
    pub party_version: u32,
    pub created_at: DateTime<Utc>,
}

/// What the tenant should be. The app enforces it; usage is recorded in either state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    Active,
    Suspended,
}

impl TenantState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// The state of this name, where there is one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|state| state.as_str() == text)
    }
}

/// Why a state was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StateCause {
    /// The tenant was made ready.
    Onboarded,
    /// A person or a program asked through the API.
    Requested,
    /// The plan's policy answered a quota signal.
    Quota { signal_id: String },
    /// An invoice is overdue for as long as its dunning policy allows.
    Dunning { invoice_id: InvoiceId },
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Send usage events.
    Ingest,
    /// Read usage, events, entitlements.
    Read,
    /// Plans, subscriptions and invoices.
    Finance,
    /// Tenants, meters and keys.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Finance, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Finance => "finance",
            Self::Admin => "admin",
        }
    }

    /// The scope of this name, where there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// Whose a decision is: one tenant's, or everybody's (meters, plans, topics, settings).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TenantScope {
    Tenant(TenantId),
    Global,
}

impl TenantScope {
    /// Stands in the tenant column for [`TenantScope::Global`]. No [`TenantId`] can read so: an id starts with a letter
    /// or a digit.
    pub const GLOBAL: &'static str = "_";

    pub fn as_str(&self) -> &str {
        match self {
            Self::Tenant(id) => id.as_str(),
            Self::Global => Self::GLOBAL,
        }
    }

    /// The scope that a tenant column says.
    pub fn parse(text: &str) -> Result<Self, crate::error::FieldError> {
        if text == Self::GLOBAL { Ok(Self::Global) } else { TenantId::parse(text).map(Self::Tenant) }
    }
}

impl fmt::Display for TenantScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&TenantId> for TenantScope {
    fn from(id: &TenantId) -> Self {
        Self::Tenant(id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_can_take_the_global_scope() {
        assert!(TenantId::parse(TenantScope::GLOBAL).is_err());
        assert_eq!(TenantScope::parse("_"), Ok(TenantScope::Global));
        let acme = TenantId::parse("acme").expect("is a key");
        assert_eq!(TenantScope::parse("acme"), Ok(TenantScope::Tenant(acme)));
        assert!(TenantScope::parse("").is_err());
    }

    #[test]
    fn names_read_back() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        for state in [TenantState::Active, TenantState::Suspended] {
            assert_eq!(TenantState::parse(state.as_str()), Some(state));
        }
        assert_eq!((Scope::parse("root"), TenantState::parse("")), (None, None));
    }
}
