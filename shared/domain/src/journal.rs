//! The journal: every decision about money and tenants, in order, never edited. What is stored is the type's name and the
//! payload as it was written; every version that was ever stored stays readable (golden files prove it).
//!
//! A new shape of a payload that old readers of this code could not take gets a new name (`….v2`) and a variant of its
//! own; the old variant stays.

mod payload;

pub use payload::{
    ApiKeyCreated, ApiKeyRevoked, CancelMode, PeriodClosed, SubscriptionCancelled, TenantStateDesired, TopicCreated,
};

use crate::charge::{Charge, ChargeInvoiced, ChargeWithdrawn};
use crate::credit::{
    CreditConsumed, CreditExpired, CreditGranted, CreditReturned, CreditRolledOver, TopUpChanged, TopUpOrder, Wallet,
};
use crate::credit_note::CreditNote;
use crate::discount::{Coupon, CouponApplied, CouponRemoved};
use crate::dunning::DunningStepReached;
use crate::entitlement::{LimitChanged, Signal};
use crate::invoice::{
    BillingTermsChanged, CreditRefunded, Invoice, InvoiceSettings, InvoiceVoided, MarkedUncollectible, PaymentRecorded,
    PaymentReversed,
};
use crate::meter::MeterDefinition;
use crate::plan::PlanVersion;
use crate::subscription::{PlanMigrationAdvanced, PlanMigrationStarted, Subscription, SubscriptionChanged};
use crate::tax::{TaxProfileChanged, TaxSettings};
use crate::tenant::Tenant;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One decision, complete: who reads it needs nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum JournalEvent {
    #[serde(rename = "tenant.created.v1")]
    TenantCreated(Tenant),
    #[serde(rename = "tenant.state_desired.v1")]
    TenantStateDesired(TenantStateDesired),
    #[serde(rename = "api_key.created.v1")]
    ApiKeyCreated(ApiKeyCreated),
    #[serde(rename = "api_key.revoked.v1")]
    ApiKeyRevoked(ApiKeyRevoked),
    #[serde(rename = "meter.defined.v1")]
    MeterDefined(MeterDefinition),
    #[serde(rename = "plan.published.v1")]
    PlanPublished(PlanVersion),
    #[serde(rename = "subscription.started.v1")]
    SubscriptionStarted(Subscription),
    #[serde(rename = "subscription.cancelled.v1")]
    SubscriptionCancelled(SubscriptionCancelled),
    #[serde(rename = "subscription.changed.v1")]
    SubscriptionChanged(SubscriptionChanged),
    #[serde(rename = "invoice.settings_changed.v1")]
    InvoiceSettingsChanged(InvoiceSettings),
    #[serde(rename = "invoice.drafted.v1")]
    InvoiceDrafted(Invoice),
    #[serde(rename = "invoice.finalized.v1")]
    InvoiceFinalized(Invoice),
    #[serde(rename = "period.closed.v1")]
    PeriodClosed(PeriodClosed),
    #[serde(rename = "quota.signalled.v1")]
    QuotaSignalled(Signal),
    #[serde(rename = "quota.limit_changed.v1")]
    LimitChanged(LimitChanged),
    #[serde(rename = "topic.created.v1")]
    TopicCreated(TopicCreated),
    #[serde(rename = "invoice.payment_recorded.v1")]
    PaymentRecorded(PaymentRecorded),
    #[serde(rename = "invoice.payment_reversed.v1")]
    PaymentReversed(PaymentReversed),
    #[serde(rename = "invoice.voided.v1")]
    InvoiceVoided(InvoiceVoided),
    #[serde(rename = "invoice.marked_uncollectible.v1")]
    MarkedUncollectible(MarkedUncollectible),
    #[serde(rename = "credit_note.issued.v1")]
    CreditNoteIssued(CreditNote),
    #[serde(rename = "tenant.credit_refunded.v1")]
    CreditRefunded(CreditRefunded),
    #[serde(rename = "dunning.step_reached.v1")]
    DunningStepReached(DunningStepReached),
    #[serde(rename = "tenant.billing_terms_changed.v1")]
    BillingTermsChanged(BillingTermsChanged),
    #[serde(rename = "wallet.created.v1")]
    WalletCreated(Wallet),
    #[serde(rename = "credit.granted.v1")]
    CreditGranted(CreditGranted),
    #[serde(rename = "credit.consumed.v1")]
    CreditConsumed(CreditConsumed),
    #[serde(rename = "credit.expired.v1")]
    CreditExpired(CreditExpired),
    #[serde(rename = "credit.rolled_over.v1")]
    CreditRolledOver(CreditRolledOver),
    #[serde(rename = "credit.returned.v1")]
    CreditReturned(CreditReturned),
    #[serde(rename = "wallet.top_up_changed.v1")]
    TopUpChanged(TopUpChanged),
    #[serde(rename = "credit.top_up_ordered.v1")]
    CreditTopUpOrdered(TopUpOrder),
    #[serde(rename = "coupon.created.v1")]
    CouponCreated(Coupon),
    #[serde(rename = "coupon.applied.v1")]
    CouponApplied(CouponApplied),
    #[serde(rename = "coupon.removed.v1")]
    CouponRemoved(CouponRemoved),
    #[serde(rename = "tax_rates.changed.v1")]
    TaxRatesChanged(TaxSettings),
    #[serde(rename = "tenant.tax_profile_changed.v1")]
    TaxProfileChanged(TaxProfileChanged),
    #[serde(rename = "plan.migration_started.v1")]
    PlanMigrationStarted(PlanMigrationStarted),
    #[serde(rename = "plan.migration_advanced.v1")]
    PlanMigrationAdvanced(PlanMigrationAdvanced),
    #[serde(rename = "charge.added.v1")]
    ChargeAdded(Charge),
    #[serde(rename = "charge.withdrawn.v1")]
    ChargeWithdrawn(ChargeWithdrawn),
    #[serde(rename = "charge.invoiced.v1")]
    ChargeInvoiced(ChargeInvoiced),
}

/// The one thing whose history a decision continues. Versions count from 1 in each stream of each tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    pub kind: &'static str,
    pub id: String,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

/// A stored decision that this version cannot read. Stop: reading on would build a wrong state.
#[derive(Debug, thiserror::Error)]
#[error("a stored decision of type `{type_name}` cannot be read: {source}; run a version of Talea that knows it")]
pub struct DecodeError {
    pub type_name: String,
    pub source: serde_json::Error,
}

impl JournalEvent {
    /// The name it is stored under, with the payload's version.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::TenantCreated(_) => "tenant.created.v1",
            Self::TenantStateDesired(_) => "tenant.state_desired.v1",
            Self::ApiKeyCreated(_) => "api_key.created.v1",
            Self::ApiKeyRevoked(_) => "api_key.revoked.v1",
            Self::MeterDefined(_) => "meter.defined.v1",
            Self::PlanPublished(_) => "plan.published.v1",
            Self::SubscriptionStarted(_) => "subscription.started.v1",
            Self::SubscriptionCancelled(_) => "subscription.cancelled.v1",
            Self::SubscriptionChanged(_) => "subscription.changed.v1",
            Self::InvoiceSettingsChanged(_) => "invoice.settings_changed.v1",
            Self::InvoiceDrafted(_) => "invoice.drafted.v1",
            Self::InvoiceFinalized(_) => "invoice.finalized.v1",
            Self::PeriodClosed(_) => "period.closed.v1",
            Self::QuotaSignalled(_) => "quota.signalled.v1",
            Self::LimitChanged(_) => "quota.limit_changed.v1",
            Self::TopicCreated(_) => "topic.created.v1",
            Self::PaymentRecorded(_) => "invoice.payment_recorded.v1",
            Self::PaymentReversed(_) => "invoice.payment_reversed.v1",
            Self::InvoiceVoided(_) => "invoice.voided.v1",
            Self::MarkedUncollectible(_) => "invoice.marked_uncollectible.v1",
            Self::CreditNoteIssued(_) => "credit_note.issued.v1",
            Self::CreditRefunded(_) => "tenant.credit_refunded.v1",
            Self::DunningStepReached(_) => "dunning.step_reached.v1",
            Self::BillingTermsChanged(_) => "tenant.billing_terms_changed.v1",
            Self::WalletCreated(_) => "wallet.created.v1",
            Self::CreditGranted(_) => "credit.granted.v1",
            Self::CreditConsumed(_) => "credit.consumed.v1",
            Self::CreditExpired(_) => "credit.expired.v1",
            Self::CreditRolledOver(_) => "credit.rolled_over.v1",
            Self::CreditReturned(_) => "credit.returned.v1",
            Self::TopUpChanged(_) => "wallet.top_up_changed.v1",
            Self::CreditTopUpOrdered(_) => "credit.top_up_ordered.v1",
            Self::CouponCreated(_) => "coupon.created.v1",
            Self::CouponApplied(_) => "coupon.applied.v1",
            Self::CouponRemoved(_) => "coupon.removed.v1",
            Self::TaxRatesChanged(_) => "tax_rates.changed.v1",
            Self::TaxProfileChanged(_) => "tenant.tax_profile_changed.v1",
            Self::PlanMigrationStarted(_) => "plan.migration_started.v1",
            Self::PlanMigrationAdvanced(_) => "plan.migration_advanced.v1",
            Self::ChargeAdded(_) => "charge.added.v1",
            Self::ChargeWithdrawn(_) => "charge.withdrawn.v1",
            Self::ChargeInvoiced(_) => "charge.invoiced.v1",
        }
    }

    /// The stream it continues.
    pub fn stream(&self) -> Stream {
        let (kind, id) = match self {
            Self::TenantCreated(tenant) => ("tenant", tenant.tenant_id.to_string()),
            Self::TenantStateDesired(desired) => ("tenant", desired.tenant_id.to_string()),
            Self::ApiKeyCreated(key) => ("api_key", key.key_id.to_string()),
            Self::ApiKeyRevoked(key) => ("api_key", key.key_id.to_string()),
            Self::MeterDefined(meter) => ("meter", meter.key.to_string()),
            Self::PlanPublished(plan) => ("plan", plan.key.to_string()),
            Self::PlanMigrationStarted(it) => ("plan_migration", it.id.to_string()),
            Self::PlanMigrationAdvanced(it) => ("plan_migration", it.migration_id.to_string()),
            Self::SubscriptionStarted(subscription) => ("subscription", subscription.id.to_string()),
            Self::SubscriptionCancelled(cancelled) => ("subscription", cancelled.subscription_id.to_string()),
            Self::SubscriptionChanged(changed) => ("subscription", changed.subscription_id.to_string()),
            Self::InvoiceSettingsChanged(_) => ("settings", "invoice".to_owned()),
            Self::InvoiceDrafted(invoice) | Self::InvoiceFinalized(invoice) => ("invoice", invoice.id.to_string()),
            Self::PeriodClosed(closed) => ("subscription", closed.subscription_id.to_string()),
            Self::QuotaSignalled(signal) => ("quota", signal.feature.to_string()),
            Self::LimitChanged(change) => ("limit", change.feature.to_string()),
            Self::TopicCreated(topic) => ("topic", topic.topic.clone()),
            Self::CouponCreated(coupon) => ("coupon", coupon.key.to_string()),
            Self::CouponApplied(applied) => ("subscription", applied.subscription_id.to_string()),
            Self::CouponRemoved(removed) => ("subscription", removed.subscription_id.to_string()),
            Self::TaxRatesChanged(_) => ("settings", "taxes".to_owned()),
            Self::TaxProfileChanged(changed) => ("tax_profile", changed.tenant_id.to_string()),
            Self::PaymentRecorded(it) => ("invoice", it.invoice_id.to_string()),
            Self::PaymentReversed(it) => ("invoice", it.invoice_id.to_string()),
            Self::InvoiceVoided(it) => ("invoice", it.invoice_id.to_string()),
            Self::MarkedUncollectible(it) => ("invoice", it.invoice_id.to_string()),
            Self::CreditNoteIssued(note) => ("invoice", note.invoice.to_string()),
            Self::CreditRefunded(it) => ("open_credit", it.tenant_id.to_string()),
            Self::DunningStepReached(it) => ("invoice", it.invoice_id.to_string()),
            Self::BillingTermsChanged(it) => ("billing_terms", it.tenant_id.to_string()),
            Self::WalletCreated(wallet) => ("wallet", wallet.id.to_string()),
            Self::CreditGranted(granted) => ("wallet", granted.grant.wallet.to_string()),
            Self::CreditConsumed(consumed) => ("wallet", consumed.wallet_id.to_string()),
            Self::CreditExpired(expired) => ("wallet", expired.wallet_id.to_string()),
            Self::CreditRolledOver(rolled) => ("wallet", rolled.grant.wallet.to_string()),
            Self::CreditReturned(returned) => ("wallet", returned.wallet_id.to_string()),
            Self::TopUpChanged(changed) => ("wallet", changed.wallet_id.to_string()),
            Self::CreditTopUpOrdered(order) => ("wallet", order.wallet.to_string()),
            Self::ChargeAdded(charge) => ("charge", charge.id.to_string()),
            Self::ChargeWithdrawn(it) => ("charge", it.charge_id.to_string()),
            Self::ChargeInvoiced(it) => ("charge", it.charge_id.to_string()),
        };
        Stream { kind, id }
    }

    /// The payload as JSON text; these bytes are what is stored and what a document's reader gets.
    pub fn payload(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::TenantCreated(payload) => serde_json::to_string(payload),
            Self::TenantStateDesired(payload) => serde_json::to_string(payload),
            Self::ApiKeyCreated(payload) => serde_json::to_string(payload),
            Self::ApiKeyRevoked(payload) => serde_json::to_string(payload),
            Self::MeterDefined(payload) => serde_json::to_string(payload),
            Self::PlanPublished(payload) => serde_json::to_string(payload),
            Self::SubscriptionStarted(payload) => serde_json::to_string(payload),
            Self::SubscriptionCancelled(payload) => serde_json::to_string(payload),
            Self::SubscriptionChanged(payload) => serde_json::to_string(payload),
            Self::InvoiceSettingsChanged(payload) => serde_json::to_string(payload),
            Self::InvoiceDrafted(payload) | Self::InvoiceFinalized(payload) => serde_json::to_string(payload),
            Self::PeriodClosed(payload) => serde_json::to_string(payload),
            Self::QuotaSignalled(payload) => serde_json::to_string(payload),
            Self::LimitChanged(payload) => serde_json::to_string(payload),
            Self::TopicCreated(payload) => serde_json::to_string(payload),
            Self::PaymentRecorded(payload) => serde_json::to_string(payload),
            Self::PaymentReversed(payload) => serde_json::to_string(payload),
            Self::InvoiceVoided(payload) => serde_json::to_string(payload),
            Self::MarkedUncollectible(payload) => serde_json::to_string(payload),
            Self::CreditNoteIssued(payload) => serde_json::to_string(payload),
            Self::CreditRefunded(payload) => serde_json::to_string(payload),
            Self::DunningStepReached(payload) => serde_json::to_string(payload),
            Self::BillingTermsChanged(payload) => serde_json::to_string(payload),
            Self::WalletCreated(payload) => serde_json::to_string(payload),
            Self::CreditGranted(payload) => serde_json::to_string(payload),
            Self::CreditConsumed(payload) => serde_json::to_string(payload),
            Self::CreditExpired(payload) => serde_json::to_string(payload),
            Self::CreditRolledOver(payload) => serde_json::to_string(payload),
            Self::CreditReturned(payload) => serde_json::to_string(payload),
            Self::TopUpChanged(payload) => serde_json::to_string(payload),
            Self::CreditTopUpOrdered(payload) => serde_json::to_string(payload),
            Self::CouponCreated(payload) => serde_json::to_string(payload),
            Self::CouponApplied(payload) => serde_json::to_string(payload),
            Self::CouponRemoved(payload) => serde_json::to_string(payload),
            Self::TaxRatesChanged(payload) => serde_json::to_string(payload),
            Self::TaxProfileChanged(payload) => serde_json::to_string(payload),
            Self::PlanMigrationStarted(payload) => serde_json::to_string(payload),
            Self::PlanMigrationAdvanced(payload) => serde_json::to_string(payload),
            Self::ChargeAdded(payload) => serde_json::to_string(payload),
            Self::ChargeWithdrawn(payload) => serde_json::to_string(payload),
            Self::ChargeInvoiced(payload) => serde_json::to_string(payload),
        }
    }

    /// Reads what [`JournalEvent::type_name`] and [`JournalEvent::payload`] wrote.
    pub fn decode(type_name: &str, payload: &str) -> Result<Self, DecodeError> {
        // The tag comes first, so that serde reads the payload straight from the text: buffered numbers would lose
        // their digits.
        let tag = serde_json::Value::from(type_name);
        serde_json::from_str(&format!(r#"{{"type":{tag},"payload":{payload}}}"#))
            .map_err(|source| DecodeError { type_name: type_name.to_owned(), source })
    }
}

#[cfg(test)]
mod tests;
