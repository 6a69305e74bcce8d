//! What is simulated, as a JSON document: `schemas/simulation.v1.schema.json`. Its instants are the only time there is.

use crate::charge::NewCharge;
use crate::credit::{AutoTopUp, GrantKind, Rollover, Units, WalletUnit};
use crate::credit_note::CreditLine;
use crate::discount::Coupon;
use crate::dunning::DunningPolicy;
use crate::id::{ChargeId, CouponKey, GrantId, MeterKey, PlanKey, PriceKey, SubscriptionId, TenantId, WalletId};
use crate::journal::CancelMode;
use crate::meter::NewMeter;
use crate::money::{Currency, Money};
use crate::party::Party;
use crate::period::{Alignment, TimeZone};
use crate::plan::PlanVersion;
use crate::subscription::{
    AddAddOn, ChangePlan, ChangeQuantity, EffectiveAt, InvoiceTiming, OverridePrice, Pause, Proration, Quantities,
    Reactivate, RemoveAddOn, TrialUsage,
};
use crate::tax::{TaxProfile, TaxSettings};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor, value::StrDeserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// The grace of a document that names none, in hours: the deployment's default.
pub const DEFAULT_GRACE_HOURS: u32 = 24;
/// The days to pay of a document that names none: the deployment's default.
pub const DEFAULT_DUE_DAYS: u32 = 30;
/// The series of a document that names none: the deployment's default.
pub const DEFAULT_SERIES: &str = "INV";
/// Who issues the invoices of a document that does not say.
pub const DEFAULT_ISSUER: &str = "Issuer";

/// One simulation, complete.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulationDocument {
    /// For people.
    #[serde(default)]
    pub title: Option<String>,
    /// For people: what it shows.
    #[serde(default)]
    pub description: Option<String>,
    /// Of every subscription that does not name its own.
    pub currency: Currency,
    /// The instants at which the state is shown, in rising order: one, or an array.
    #[serde(deserialize_with = "one_or_several")]
    pub as_of: Vec<DateTime<Utc>>,
    #[serde(default)]
    pub issuer: Option<Party>,
    /// Leads every invoice number.
    #[serde(default)]
    pub series: Option<String>,
    #[serde(default)]
    pub due_days: Option<u32>,
    /// What happens to invoices that are not paid, where neither their plan nor their tenant says.
    #[serde(default)]
    pub dunning: Option<DunningPolicy>,
    /// Whether a moment without amount makes an invoice.
    #[serde(default)]
    pub empty_invoices: bool,
    /// How long a period waits for late usage, where its plan does not say.
    #[serde(default)]
    pub grace_hours: Option<u32>,
    /// As `POST /v1/meters` takes them. Quantities need none: without one they add.
    #[serde(default)]
    pub meters: Vec<NewMeter>,
    pub plans: Vec<PlanVersion>,
    pub tenants: Vec<TenantInput>,
    /// What was asked of the subscriptions, each with its instant.
    pub timeline: Vec<TimelineEntry>,
    #[serde(default)]
    pub usage: Vec<UsageInput>,
    #[serde(default)]
    pub taxes: Option<TaxSettings>,
    #[serde(default)]
    pub coupons: Vec<Coupon>,
    /// Prepaid credits; they are there from the beginning, and empty.
    #[serde(default)]
    pub wallets: Vec<WalletInput>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantInput {
    pub id: TenantId,
    /// In which its days and billing periods are counted.
    pub zone: TimeZone,
    /// Its id alone when absent.
    #[serde(default)]
    pub bill_to: Option<Party>,
    /// Its own terms of payment, before its plan's.
    #[serde(default)]
    pub due_days: Option<u32>,
    #[serde(default)]
    pub dunning: Option<DunningPolicy>,
    /// As the tax office sees it; where the issuer is when absent.
    #[serde(default)]
    pub tax: Option<TaxProfile>,
    /// What changes about it, each profile whole and from its first day on.
    #[serde(default)]
    pub tax_profiles: Vec<TaxProfile>,
}

/// A command, given and recorded at `at`. Exactly one of the commands is there; `commands.rs` lists them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelineEntry {
    pub at: DateTime<Utc>,
    /// Of a command to a subscription.
    #[serde(default)]
    pub subscription: Option<SubscriptionId>,
    #[serde(default)]
    pub start: Option<StartInput>,
    #[serde(default)]
    pub cancel: Option<CancelInput>,
    #[serde(default)]
    pub record_payment: Option<PaymentInput>,
    #[serde(default)]
    pub settle_from_credit: Option<SettleInput>,
    #[serde(default)]
    pub reverse_payment: Option<ReversalInput>,
    #[serde(default)]
    pub void_invoice: Option<VoidInput>,
    #[serde(default)]
    pub mark_uncollectible: Option<WriteOffInput>,
    #[serde(default)]
    pub issue_credit_note: Option<CreditNoteInput>,
    #[serde(default)]
    pub change_plan: Option<ChangePlan>,
    #[serde(default)]
    pub change_quantity: Option<ChangeQuantity>,
    #[serde(default)]
    pub add_add_on: Option<AddAddOn>,
    #[serde(default)]
    pub remove_add_on: Option<RemoveAddOn>,
    #[serde(default)]
    pub pause: Option<Pause>,
    #[serde(default)]
    pub resume: Option<Pause>,
    #[serde(default)]
    pub override_price: Option<OverridePrice>,
    #[serde(default)]
    pub reactivate: Option<Reactivate>,
    #[serde(default)]
    pub apply_coupon: Option<ApplyCouponInput>,
    #[serde(default)]
    pub remove_coupon: Option<RemoveCouponInput>,
    #[serde(default)]
    pub grant_credit: Option<GrantInput>,
    #[serde(default)]
    pub top_up: Option<TopUpInput>,
    #[serde(default)]
    pub add_charges: Option<AddChargesInput>,
    #[serde(default)]
    pub withdraw_charge: Option<WithdrawChargeInput>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartInput {
    pub tenant: TenantId,
    pub plan: PlanKey,
    /// The highest version in the document when absent.
    #[serde(default)]
    pub plan_version: Option<u32>,
    #[serde(default)]
    pub currency: Option<Currency>,
    #[serde(default)]
    pub calendar: Option<Alignment>,
    #[serde(default)]
    pub anchor_day: Option<u8>,
    /// When it starts, if not at the command's own instant; earlier is backdated.
    #[serde(default)]
    pub start_at: Option<DateTime<Utc>>,
    /// Exclusive.
    #[serde(default)]
    pub end_at: Option<DateTime<Utc>>,
    /// How many of each flat price are bought.
    #[serde(default)]
    pub quantities: Quantities,
    #[serde(default)]
    pub trial: Option<TrialInput>,
    /// Plans that follow, in rising order.
    #[serde(default)]
    pub phases: Vec<PhaseInput>,
}

/// A time at the start in which nothing recurring is charged.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialInput {
    /// Exclusive.
    pub until: DateTime<Utc>,
    #[serde(default)]
    pub usage: TrialUsage,
    /// Whether it goes on as a paid subscription by itself.
    #[serde(default = "yes")]
    pub converts: bool,
}

fn yes() -> bool {
    true
}

/// A plan that the subscription takes later.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseInput {
    pub at: DateTime<Utc>,
    pub plan: PlanKey,
    #[serde(default)]
    pub plan_version: Option<u32>,
    #[serde(default)]
    pub quantities: Quantities,
    #[serde(default)]
    pub proration: Proration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelInput {
    #[serde(default)]
    pub mode: Option<CancelMode>,
    /// Instead of a mode: at a date, also in the past.
    #[serde(default)]
    pub effective_at: Option<EffectiveAt>,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// A payment that came from outside, of the invoice with this number.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentInput {
    pub invoice: String,
    pub reference: String,
    /// In major units of the invoice's currency.
    #[serde(with = "crate::money::exact_decimal")]
    pub amount: Decimal,
    #[serde(default)]
    pub method: Option<String>,
}

/// The tenant's open credit pays an invoice: with `amount`, else as far as both go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleInput {
    pub invoice: String,
    pub reference: String,
    #[serde(default, with = "crate::money::optional_decimal")]
    pub amount: Option<Decimal>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReversalInput {
    pub invoice: String,
    /// Of the payment.
    pub reference: String,
    pub reason: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoidInput {
    pub invoice: String,
    pub reason: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteOffInput {
    pub invoice: String,
    pub reason: String,
}

/// A credit note: of these lines, or of everything that is left of the invoice.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreditNoteInput {
    pub invoice: String,
    pub reason: String,
    #[serde(default)]
    pub lines: Option<Vec<CreditLine>>,
}

/// Puts a coupon of the document on a subscription.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyCouponInput {
    pub coupon: CouponKey,
    /// The first bill moment it is for, if not the command's own instant.
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
}

/// Takes a coupon from a subscription: it is for no bill moment from the command's instant on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveCouponInput {
    pub coupon: CouponKey,
}

/// A wallet of prepaid credits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletInput {
    pub id: WalletId,
    pub tenant: TenantId,
    #[serde(default)]
    pub name: Option<String>,
    /// Money of the document's currency when absent.
    #[serde(default)]
    pub unit: Option<WalletUnit>,
    /// The prices it pays for; all when empty.
    #[serde(default)]
    pub prices: Vec<PriceKey>,
    #[serde(default)]
    pub auto_top_up: Option<AutoTopUp>,
}

/// Credits that are sold or given at the command's instant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantInput {
    pub wallet: WalletId,
    /// `grn_` and the command's place in the timeline when absent.
    #[serde(default)]
    pub id: Option<GrantId>,
    pub amount: Units,
    /// Paid when absent.
    #[serde(default)]
    pub kind: Option<GrantKind>,
    #[serde(default)]
    pub cost: Option<Money>,
    #[serde(default)]
    pub priority: Option<u16>,
    #[serde(default)]
    pub effective_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub rollover: Option<Rollover>,
}

/// The open order of a wallet is paid.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopUpInput {
    pub wallet: WalletId,
    #[serde(default)]
    pub cost: Option<Money>,
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// What is asked once: with the next invoice, or at once by an invoice of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddChargesInput {
    pub tenant: TenantId,
    /// Whose next invoice takes them; the tenant's next one when absent.
    #[serde(default)]
    pub subscription: Option<SubscriptionId>,
    /// That of the subscription, else of the document, when absent.
    #[serde(default)]
    pub currency: Option<Currency>,
    pub charges: Vec<NewCharge>,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// A charge that waits is not asked. Its id is `chg_`, the place of its command in the timeline, and its own place there,
/// from 1.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawChargeInput {
    pub charge: ChargeId,
}

/// Usage in one of three forms: a quantity at an instant (`tenant`, `meter`, `at`, `quantity`), a quantity of a span of time
/// (`from` and `to` instead of `at`) that lies inside one billing period, or a CloudEvent (`event`). Or the void of an earlier one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageInput {
    #[serde(default)]
    pub tenant: Option<TenantId>,
    #[serde(default)]
    pub meter: Option<MeterKey>,
    #[serde(default)]
    pub at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
    #[serde(default)]
    pub to: Option<DateTime<Utc>>,
    /// In the meter's unit, as text.
    #[serde(default, with = "crate::money::optional_decimal")]
    pub quantity: Option<Decimal>,
    /// Of a quantity: by the name of the dimension, `{"model": "large"}`; one that is not named is "".
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    #[serde(default)]
    pub event: Option<Box<RawValue>>,
    /// Takes an earlier entry out of the count from `known_at` on.
    #[serde(default)]
    pub void: Option<UsageVoid>,
    /// When it came to Talea: when it happened, unless said. Later than the closing of its period, it is late usage.
    #[serde(default)]
    pub known_at: Option<DateTime<Utc>>,
}

/// Which event is voided, by its tenant, source and id. A quantity has the source `simulation` and its own place as id, `/usage/3`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageVoid {
    pub tenant: TenantId,
    pub source: String,
    pub id: String,
    pub reason: String,
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DateTime<Utc>>, D::Error> {
    struct Instants;
    impl<'de> Visitor<'de> for Instants {
        type Value = Vec<DateTime<Utc>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an instant in RFC 3339, or an array of them")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            DateTime::deserialize(StrDeserializer::new(text)).map(|instant| vec![instant])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut instants = Vec::new();
            while let Some(instant) = seq.next_element()? {
                instants.push(instant);
            }
            Ok(instants)
        }
    }
    deserializer.deserialize_any(Instants)
}
