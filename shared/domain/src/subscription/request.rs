//! Changes as people ask for them, each with what it needs: the bodies of the API and the commands of a simulation.

use super::change::{Alteration, InvoiceTiming, Proration, Quantities};
use super::command::{ChangeTerms, Effective};
use crate::id::{AddOnKey, PlanKey, PriceKey};
use crate::period::Interval;
use crate::plan::PriceModel;
use chrono::{DateTime, SecondsFormat, SubsecRound};
use serde::{Deserialize, Serialize};

/// One change of a subscription: `{"type": "change_plan", "plan": "pro", "effective_at": "period_end"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChangeRequest {
    ChangePlan(ChangePlan),
    ChangeQuantity(ChangeQuantity),
    AddAddOn(AddAddOn),
    RemoveAddOn(RemoveAddOn),
    Pause(Pause),
    Resume(Pause),
    OverridePrice(OverridePrice),
    Cancel(End),
    Reactivate(Reactivate),
}

/// To another plan or version; an upgrade and a downgrade are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePlan {
    pub plan: PlanKey,
    /// The newest when absent.
    #[serde(default)]
    pub plan_version: Option<u32>,
    /// Of flat prices; what is not named stays.
    #[serde(default)]
    pub quantities: Quantities,
    #[serde(default)]
    pub effective_at: EffectiveAt,
    #[serde(default)]
    pub proration: Proration,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// How many of a flat price are bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuantity {
    /// Of the subscription's own plan when absent.
    #[serde(default)]
    pub add_on: Option<AddOnKey>,
    pub quantities: Quantities,
    #[serde(default)]
    pub effective_at: EffectiveAt,
    #[serde(default)]
    pub proration: Proration,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// A plan beside the subscription's own, in the same periods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddAddOn {
    /// Its name in the subscription.
    pub add_on: AddOnKey,
    pub plan: PlanKey,
    /// The newest when absent.
    #[serde(default)]
    pub plan_version: Option<u32>,
    #[serde(default)]
    pub quantities: Quantities,
    #[serde(default)]
    pub effective_at: EffectiveAt,
    #[serde(default)]
    pub proration: Proration,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveAddOn {
    pub add_on: AddOnKey,
    #[serde(default)]
    pub effective_at: EffectiveAt,
    #[serde(default)]
    pub proration: Proration,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// A pause begins or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    #[serde(default)]
    pub effective_at: EffectiveAt,
    #[serde(default)]
    pub proration: Proration,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// A price of the subscription's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverridePrice {
    #[serde(default)]
    pub add_on: Option<AddOnKey>,
    pub price: PriceKey,
    /// Absent: the plan's again.
    #[serde(default, deserialize_with = "crate::objects::optional_tagged")]
    pub model: Option<PriceModel>,
    #[serde(default)]
    pub effective_at: EffectiveAt,
    #[serde(default)]
    pub proration: Proration,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// The end, also in the past: what was billed for the time after it is credited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct End {
    #[serde(default)]
    pub effective_at: EffectiveAt,
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// An end that lies ahead is undone; after an end the subscription goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reactivate {
    #[serde(default)]
    pub invoice: InvoiceTiming,
}

/// From when on a change holds: `now`, `period_end`, or an instant, which may lie in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "period_end")]
pub struct EffectiveAt(pub Effective);

impl Default for EffectiveAt {
    fn default() -> Self {
        Self(Effective::Now)
    }
}

impl From<EffectiveAt> for String {
    fn from(at: EffectiveAt) -> Self {
        match at.0 {
            Effective::Now => "now".to_owned(),
            Effective::PeriodEnd => "period_end".to_owned(),
            Effective::At(at) => at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        }
    }
}

impl TryFrom<String> for EffectiveAt {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "now" => Ok(Self(Effective::Now)),
            "period_end" => Ok(Self(Effective::PeriodEnd)),
            instant => match DateTime::parse_from_rfc3339(instant) {
                Ok(at) => Ok(Self(Effective::At(at.to_utc().trunc_subsecs(6)))),
                Err(_) => Err(format!(
                    "{text:?} is no instant; write now, period_end, or an instant like 2026-10-01T00:00:00Z"
                )),
            },
        }
    }
}

impl ChangeRequest {
    /// The plan that it names, with the version where it names one: who asks resolves the newest.
    pub fn plan(&self) -> Option<(&PlanKey, Option<u32>)> {
        match self {
            Self::ChangePlan(it) => Some((&it.plan, it.plan_version)),
            Self::AddAddOn(it) => Some((&it.plan, it.plan_version)),
            _ => None,
        }
    }

    /// The request with the version of its plan, where it names a plan.
    pub fn terms(self, plan_version: u32) -> ChangeTerms {
        let (what, effective, proration, invoice) = match self {
            Self::ChangePlan(ChangePlan { plan, quantities, effective_at, proration, invoice, .. }) => {
                let what = Alteration::PlanChanged { plan, plan_version, interval: Interval::MONTHLY, quantities };
                (what, effective_at, proration, invoice)
            }
            Self::ChangeQuantity(ChangeQuantity { add_on, quantities, effective_at, proration, invoice }) => {
                (Alteration::QuantityChanged { add_on, quantities }, effective_at, proration, invoice)
            }
            Self::AddAddOn(AddAddOn { add_on, plan, quantities, effective_at, proration, invoice, .. }) => {
                let what = Alteration::AddOnAdded { add_on, plan, plan_version, quantities };
                (what, effective_at, proration, invoice)
            }
            Self::RemoveAddOn(RemoveAddOn { add_on, effective_at, proration, invoice }) => {
                (Alteration::AddOnRemoved { add_on }, effective_at, proration, invoice)
            }
            Self::Pause(Pause { effective_at, proration, invoice }) => {
                (Alteration::Paused, effective_at, proration, invoice)
            }
            Self::Resume(Pause { effective_at, proration, invoice }) => {
                (Alteration::Resumed, effective_at, proration, invoice)
            }
            Self::OverridePrice(OverridePrice { add_on, price, model, effective_at, proration, invoice }) => {
                (Alteration::PriceOverridden { add_on, price, model }, effective_at, proration, invoice)
            }
            Self::Cancel(End { effective_at, invoice }) => {
                (Alteration::Ended, effective_at, Proration::BySecond, invoice)
            }
            Self::Reactivate(Reactivate { invoice }) => {
                let what = Alteration::Reactivated { ended_at: DateTime::UNIX_EPOCH };
                (what, EffectiveAt::default(), Proration::BySecond, invoice)
            }
        };
        ChangeTerms { what, effective: effective.0, proration, invoice }
    }
}
