//! What becomes of a charge: it waits, and then is invoiced or withdrawn, once.

use super::{Charge, ChargeInvoiced, ChargeWithdrawn};
use crate::id::{ChargeId, InvoiceId};
use crate::journal::JournalEvent;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where a charge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChargeStage {
    /// Waits for an invoice.
    Pending,
    /// Stands on an issued one.
    Invoiced,
    Withdrawn,
}

impl ChargeStage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Invoiced => "invoiced",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The stage of this name, where there is one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Invoiced, Self::Withdrawn].into_iter().find(|stage| stage.as_str() == text)
    }
}

/// Why a charge cannot be withdrawn or invoiced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChargeError {
    #[error("charge {id} stands on invoice {invoice}; credit the invoice's line instead")]
    Invoiced { id: ChargeId, invoice: InvoiceId },
    #[error("charge {id} is withdrawn; add another")]
    Withdrawn { id: ChargeId },
}

/// A charge as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChargeState {
    #[serde(flatten)]
    pub charge: Charge,
    pub stage: ChargeStage,
    /// On which it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceId>,
}

impl ChargeState {
    /// A charge that waits.
    pub fn new(charge: Charge) -> Self {
        Self { charge, stage: ChargeStage::Pending, invoice: None }
    }

    /// It is not asked. None when it is withdrawn already.
    pub fn withdraw(&self, at: DateTime<Utc>) -> Result<Option<JournalEvent>, ChargeError> {
        match (&self.invoice, self.stage) {
            (Some(invoice), _) => Err(ChargeError::Invoiced { id: self.charge.id.clone(), invoice: invoice.clone() }),
            (None, ChargeStage::Withdrawn) => Ok(None),
            (None, _) => Ok(Some(JournalEvent::ChargeWithdrawn(ChargeWithdrawn {
                tenant_id: self.charge.tenant.clone(),
                charge_id: self.charge.id.clone(),
                withdrawn_at: at,
            }))),
        }
    }

    /// It stands on an invoice from now on.
    pub fn take(&self, invoice: &InvoiceId, at: DateTime<Utc>) -> Result<JournalEvent, ChargeError> {
        let id = || self.charge.id.clone();
        match (&self.invoice, self.stage) {
            (Some(invoice), _) => Err(ChargeError::Invoiced { id: id(), invoice: invoice.clone() }),
            (None, ChargeStage::Withdrawn) => Err(ChargeError::Withdrawn { id: id() }),
            (None, _) => Ok(JournalEvent::ChargeInvoiced(ChargeInvoiced {
                tenant_id: self.charge.tenant.clone(),
                charge_id: id(),
                invoice_id: invoice.clone(),
                invoiced_at: at,
            })),
        }
    }

    /// The state after a decision about it.
    pub fn evolve(self, event: &JournalEvent) -> Self {
        match event {
            JournalEvent::ChargeWithdrawn(_) => Self { stage: ChargeStage::Withdrawn, ..self },
            JournalEvent::ChargeInvoiced(it) => {
                Self { stage: ChargeStage::Invoiced, invoice: Some(it.invoice_id.clone()), ..self }
            }
            _ => self,
        }
    }
}
