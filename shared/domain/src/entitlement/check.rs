//! May this much be used now? Pure: the caller brings what is known and how old it is.

use super::{Limit, LimitKind, StaticEntitlement, StaticValue, WhenStale, exact};
use crate::id::FeatureKey;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;

/// What is known of a metered feature in its running period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub used: Decimal,
    /// The period's end, exclusive.
    pub resets_at: DateTime<Utc>,
    /// Everything that the log took before this is in `used`.
    pub as_of: DateTime<Utc>,
    /// How long ago that was. Kept apart from `as_of`, because a test clock jumps and real age does not.
    pub age_seconds: u64,
    /// After how many seconds it counts as stale.
    pub stale_after_seconds: u64,
}

/// A feature as a check sees it.
#[derive(Debug, Clone)]
pub enum Entitlement<'a> {
    Static(&'a StaticEntitlement),
    /// Without a standing nothing is known yet, which is as stale as can be.
    Metered {
        limit: &'a Limit,
        standing: Option<Standing>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    Boolean,
    Static,
    Metered,
}

/// Why a check answers as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The plan contains the feature.
    Included,
    /// The plan switches the feature off.
    NotIncluded,
    WithinLimit,
    /// A hard limit: use and amount together would go beyond it.
    LimitReached,
    /// A soft limit: use and amount together go beyond it, and are allowed.
    OverSoftLimit,
    /// The figures are too old to tell; the plan says allow.
    StaleAllowed,
    /// The figures are too old to tell; the plan says deny.
    StaleDenied,
}

/// The answer to one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Decision {
    pub feature: FeatureKey,
    pub kind: FeatureKind,
    pub allowed: bool,
    pub reason: Reason,
    /// The plan's value of a fixed feature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub value: Option<StaticValue>,
    #[serde(with = "exact::optional", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10000")]
    pub limit: Option<Decimal>,
    #[serde(with = "exact::optional", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "8125.5")]
    pub used: Option<Decimal>,
    /// Limit minus use, never below zero.
    #[serde(with = "exact::optional", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1874.5")]
    pub remaining: Option<Decimal>,
    /// When the running period ends and the use starts from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<DateTime<Utc>>,
    /// Everything that the log took before this is in `used`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
}

/// Answers whether `amount` more of the feature may be used. `amount` is not negative.
pub fn check(entitlement: &Entitlement<'_>, amount: Decimal) -> Decision {
    match entitlement {
        Entitlement::Static(fixed) => check_static(fixed),
        Entitlement::Metered { limit, standing } => check_metered(limit, standing.as_ref(), amount),
    }
}

fn check_static(fixed: &StaticEntitlement) -> Decision {
    let (kind, allowed) = match fixed.value {
        StaticValue::Boolean(value) => (FeatureKind::Boolean, value),
        StaticValue::Number(_) | StaticValue::Text(_) => (FeatureKind::Static, true),
    };
    Decision {
        feature: fixed.feature.clone(),
        kind,
        allowed,
        reason: if allowed { Reason::Included } else { Reason::NotIncluded },
        value: Some(fixed.value.clone()),
        limit: None,
        used: None,
        remaining: None,
        resets_at: None,
        as_of: None,
    }
}

fn check_metered(limit: &Limit, standing: Option<&Standing>, amount: Decimal) -> Decision {
    let used = standing.map(|standing| standing.used);
    // A sum that leaves the range is beyond any limit.
    let beyond = used.unwrap_or_default().checked_add(amount).is_none_or(|total| total > limit.amount);
    let stale = standing.is_none_or(|standing| standing.age_seconds > standing.stale_after_seconds);
    let reason = match (limit.kind, beyond, stale, limit.when_stale) {
        // What is known is already too much; what is not known yet can only add to it.
        (LimitKind::Hard, true, ..) => Reason::LimitReached,
        (_, _, true, WhenStale::Allow) => Reason::StaleAllowed,
        (_, _, true, WhenStale::Deny) => Reason::StaleDenied,
        (LimitKind::Soft, true, false, _) => Reason::OverSoftLimit,
        (_, false, false, _) => Reason::WithinLimit,
    };
    Decision {
        feature: limit.feature.clone(),
        kind: FeatureKind::Metered,
        allowed: !matches!(reason, Reason::LimitReached | Reason::StaleDenied),
        reason,
        value: None,
        limit: Some(limit.amount),
        used,
        remaining: used.map(|used| limit.amount.checked_sub(used).unwrap_or_default().max(Decimal::ZERO)),
        resets_at: standing.map(|standing| standing.resets_at),
        as_of: standing.map(|standing| standing.as_of),
    }
}
