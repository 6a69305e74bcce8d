//! Entitlements: what a tenant may use. A feature is a fixed value, or it is metered and has a limit per period. From a
//! limit follow an answer ([`check()`]: may this much be used now?) and signals ([`signals()`]: a threshold was reached).

mod check;
mod cloud_event;
mod exact;
mod signal;
pub mod total;

pub use check::{Decision, Entitlement, FeatureKind, Reason, Standing, check};
pub use cloud_event::SignalError;
pub use signal::{Observation, Signal, SignalKind, SignalState, signals};
pub use total::{LatestValue, TotalError, TotalRecord};

use crate::error::FieldError;
use crate::id::{FeatureKey, MeterKey, TenantId};
use crate::period::LimitPeriod;
use crate::quantity::MAX_DECIMALS;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The threshold that every limit has: all of it is used.
pub const FULL_PERCENT: u32 = 100;
/// The highest threshold, in percent of the amount.
pub const MAX_THRESHOLD_PERCENT: u32 = 1000;
/// The most thresholds of one limit.
pub const MAX_THRESHOLDS: usize = 10;
/// The most limits and fixed entitlements of one plan.
pub const MAX_FEATURES: usize = 200;
/// Significant digits of a limit's amount: with them every threshold's amount is exact in 28 digits.
const MAX_AMOUNT_DIGITS: u32 = 24;
/// The longest text of a fixed entitlement, in characters.
const MAX_VALUE_CHARS: usize = 200;
/// The longest time after which figures count as stale (a day).
const MAX_STALE_SECONDS: u64 = 86_400;

/// How much of a meter one period allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub feature: FeatureKey,
    pub meter: MeterKey,
    /// In the meter's unit; the limit is reached when the use is this much.
    #[serde(with = "exact")]
    #[schema(value_type = String, example = "10000")]
    pub amount: Decimal,
    #[serde(default)]
    pub kind: LimitKind,
    /// Shares of the amount that are signalled when they are reached; 100 is always among them.
    #[serde(default = "default_thresholds")]
    pub thresholds_percent: Vec<u32>,
    #[serde(default)]
    pub period: LimitPeriod,
    /// What a check answers when the figures are older than `stale_after_seconds`.
    #[serde(default)]
    pub when_stale: WhenStale,
    /// Absent: the deployment's setting `quota.stale_after_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_seconds: Option<u64>,
}

/// Whether a check refuses at the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// A check refuses what would go beyond the amount.
    #[default]
    Hard,
    /// A check always allows; thresholds are signalled.
    Soft,
}

/// The answer while the figures are too old to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenStale {
    #[default]
    Allow,
    Deny,
}

/// A feature whose value the plan fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticEntitlement {
    pub feature: FeatureKey,
    #[schema(value_type = serde_json::Value)]
    pub value: StaticValue,
}

/// A fixed value: `true`, `"eu-west"` or `25`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "serde_json::Value")]
pub enum StaticValue {
    Boolean(bool),
    Number(Decimal),
    Text(String),
}

/// What provisioning does about a limit's signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaPolicy {
    pub on_exceeded: OnExceeded,
    pub on_reset: OnReset,
}

/// What follows `exceeded`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExceeded {
    #[default]
    Notify,
    Suspend,
}

/// What follows `reset` and `ok` for a tenant that a quota suspended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReset {
    /// It stays suspended until somebody resumes it.
    Keep,
    #[default]
    Resume,
}

/// One tenant's limit of a feature was set apart from its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LimitChanged {
    pub tenant_id: TenantId,
    pub feature: FeatureKey,
    /// Replaces the amount that the plan's limit says.
    #[serde(with = "exact")]
    #[schema(value_type = String)]
    pub amount: Decimal,
    /// Counts the changes of this tenant and feature from 1.
    pub version: u32,
    pub changed_at: DateTime<Utc>,
}

fn default_thresholds() -> Vec<u32> {
    vec![80, FULL_PERCENT]
}

impl Limit {
    /// The thresholds in rising order, 100 among them, each once.
    pub fn thresholds(&self) -> BTreeSet<u32> {
        self.thresholds_percent.iter().copied().chain([FULL_PERCENT]).collect()
    }

    /// The amount that reaches `percent` of the limit. Exact for an amount that [`check_amount`] admits: it leaves room for
    /// a threshold's digits. Beyond the range of a decimal nothing reaches it.
    pub fn threshold_amount(&self, percent: u32) -> Decimal {
        let share = self.amount.normalize().checked_mul(Decimal::from(percent)).unwrap_or(Decimal::MAX);
        // Dividing by 100 moves the decimal point: nothing is rounded.
        let mut exact = share;
        let moved = exact.set_scale(share.scale() + 2).is_ok();
        (if moved { exact } else { share / Decimal::ONE_HUNDRED }).normalize()
    }

    /// Checks what the type cannot say; errors are JSON pointers below `pointer`, for example `/limits/0/amount`.
    pub fn check(&self, pointer: &str) -> Result<(), FieldError> {
        check_amount(&format!("{pointer}/amount"), self.amount)?;
        let wrong = self.thresholds_percent.iter().find(|percent| !(1..=MAX_THRESHOLD_PERCENT).contains(*percent));
        if let Some(percent) = wrong {
            return Err(FieldError::new(
                format!("{pointer}/thresholds_percent"),
                format!("has {percent}"),
                format!("use whole percents from 1 to {MAX_THRESHOLD_PERCENT}"),
            ));
        }
        if self.thresholds_percent.len() > MAX_THRESHOLDS {
            return Err(FieldError::new(
                format!("{pointer}/thresholds_percent"),
                format!("has {} entries", self.thresholds_percent.len()),
                format!("use at most {MAX_THRESHOLDS}"),
            ));
        }
        match self.stale_after_seconds {
            Some(seconds) if !(1..=MAX_STALE_SECONDS).contains(&seconds) => Err(FieldError::new(
                format!("{pointer}/stale_after_seconds"),
                format!("is {seconds}"),
                format!("use 1 to {MAX_STALE_SECONDS}, or leave it out"),
            )),
            _ => Ok(()),
        }
    }
}

/// Checks the amount of a limit: zero or more, below 1e20, with at most 24 significant digits and 18 decimals.
pub fn check_amount(field: &str, amount: Decimal) -> Result<(), FieldError> {
    let amount = amount.normalize();
    let digits = amount.mantissa().unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    if amount < Decimal::ZERO {
        return Err(FieldError::new(field, "is negative", "use zero or more"));
    }
    if digits > MAX_AMOUNT_DIGITS || amount.scale() > MAX_DECIMALS || crate::quantity::to_clickhouse(amount).is_err() {
        return Err(FieldError::new(
            field,
            "has too many digits",
            format!("use at most {MAX_AMOUNT_DIGITS} digits, {MAX_DECIMALS} of them decimals, and less than 1e20"),
        ));
    }
    Ok(())
}

/// Checks a plan's limits and fixed entitlements together: a feature has one of them, once. Pointers are below
/// `/limits` and `/entitlements`.
pub fn check_features(limits: &[Limit], entitlements: &[StaticEntitlement]) -> Result<(), FieldError> {
    if limits.len() + entitlements.len() > MAX_FEATURES {
        return Err(FieldError::new(
            "/limits",
            format!("there are {} features", limits.len() + entitlements.len()),
            format!("use at most {MAX_FEATURES}"),
        ));
    }
    let mut seen = BTreeSet::new();
    let twice = |pointer: String| {
        FieldError::new(pointer, "names a feature a second time", "give each feature one limit or one fixed value")
    };
    for (index, limit) in limits.iter().enumerate() {
        limit.check(&format!("/limits/{index}"))?;
        if !seen.insert(&limit.feature) {
            return Err(twice(format!("/limits/{index}/feature")));
        }
    }
    for (index, entitlement) in entitlements.iter().enumerate() {
        if !seen.insert(&entitlement.feature) {
            return Err(twice(format!("/entitlements/{index}/feature")));
        }
    }
    Ok(())
}

impl TryFrom<serde_json::Value> for StaticValue {
    type Error = String;
    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        match value {
            serde_json::Value::Bool(value) => Ok(Self::Boolean(value)),
            serde_json::Value::Number(number) => crate::quantity::parse_quantity(&number.to_string())
                .map(Self::Number)
                .ok_or_else(|| format!("{number} is not an exact quantity; use fewer digits, or a text")),
            serde_json::Value::String(text)
                if text.chars().count() <= MAX_VALUE_CHARS && !text.chars().any(char::is_control) =>
            {
                Ok(Self::Text(text))
            }
            _ => Err(format!(
                "a fixed value is true, false, a number, or a text of at most {MAX_VALUE_CHARS} characters"
            )),
        }
    }
}

impl From<StaticValue> for serde_json::Value {
    fn from(value: StaticValue) -> Self {
        match value {
            StaticValue::Boolean(value) => value.into(),
            // A canonical decimal is a JSON number; a text is the way out that keeps every digit.
            StaticValue::Number(number) => {
                let text = crate::quantity::canonical(number);
                text.parse::<serde_json::Number>().map_or_else(|_| text.clone().into(), Self::Number)
            }
            StaticValue::Text(text) => text.into(),
        }
    }
}

#[cfg(test)]
mod tests;
