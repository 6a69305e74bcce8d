//! What all invoices of a deployment share.

use crate::party::Party;
use serde::{Deserialize, Serialize};

/// What every invoice of this deployment has in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceSettings {
    pub issuer: Party,
    /// Leads every number of the series, for example `INV`.
    pub series: String,
    pub due_days: u32,
    /// Whether a period without amount makes an invoice.
    pub empty_invoices: bool,
}
