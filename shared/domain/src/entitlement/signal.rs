//! Quota signals. A threshold is signalled once per period and version of the limit: the id says so, and whoever sees a
//! crossing twice (a restart, a replay, two instances) makes the same id.
//!
//! Use that falls within a period takes nothing back: the next version of the limit or the next period does.

use super::{FULL_PERCENT, Limit, LimitKind, exact};
use crate::id::{FeatureKey, MeterKey, TenantId, derive_bits, prefixed};
use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// A changed limit: under it no threshold is reached.
    Ok,
    /// A threshold below 100 % is reached.
    Warning,
    /// 100 % or a threshold above it is reached.
    Exceeded,
    /// A new period, after one in which a threshold was reached.
    Reset,
}

impl SignalKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Exceeded => "exceeded",
            Self::Reset => "reset",
        }
    }
}

/// One signal, complete: who reads it needs nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Signal {
    /// `sig_…`, derived from tenant, feature, period start, threshold and limit version.
    pub id: String,
    pub tenant_id: TenantId,
    pub feature: FeatureKey,
    pub meter: MeterKey,
    pub kind: SignalKind,
    /// The threshold that was reached; 0 for `ok` and `reset`.
    pub threshold_percent: u32,
    #[serde(with = "exact")]
    #[schema(value_type = String)]
    pub used: Decimal,
    #[serde(with = "exact")]
    #[schema(value_type = String)]
    pub limit: Decimal,
    pub limit_kind: LimitKind,
    /// Which limit this was judged by: `plan@version`, with `+n` after the tenant's n-th own change.
    pub limit_version: String,
    /// Half-open.
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    /// When the use was seen to have reached the threshold.
    pub observed_at: DateTime<Utc>,
    /// When the log took the event that caused it; absent where no event did (a new period, a changed limit, a restart).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_of_cause: Option<DateTime<Utc>>,
}

/// What was last signalled for one tenant and feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalState {
    pub period_start: DateTime<Utc>,
    pub limit_version: String,
    /// The highest threshold signalled in that period under that version; 0 for none.
    pub threshold_percent: u32,
}

/// What is seen of one tenant and feature now.
#[derive(Debug, Clone)]
pub struct Observation<'a> {
    pub tenant_id: &'a TenantId,
    pub limit: &'a Limit,
    pub limit_version: &'a str,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub used: Decimal,
    pub observed_at: DateTime<Utc>,
    pub event_time_of_cause: Option<DateTime<Utc>>,
}

impl Signal {
    /// The state once this signal is recorded.
    pub fn state(&self) -> SignalState {
        SignalState {
            period_start: self.period_start,
            limit_version: self.limit_version.clone(),
            threshold_percent: self.threshold_percent,
        }
    }
}

/// The signals that are due, in the order in which they are to be recorded: after the state of the last one, the same
/// observation gives none.
pub fn signals(previous: Option<&SignalState>, seen: &Observation<'_>) -> Vec<Signal> {
    let mut due = Vec::new();
    let mut signalled = 0;
    if let Some(previous) = previous {
        let same_version = previous.limit_version == seen.limit_version;
        if previous.period_start == seen.period_start && same_version {
            signalled = previous.threshold_percent;
        } else if previous.period_start > seen.period_start && same_version {
            // An observation of a past period, which is closed for signals.
            return due;
        } else if previous.period_start < seen.period_start && previous.threshold_percent > 0 {
            due.push(seen.signal(SignalKind::Reset, 0));
        } else if previous.threshold_percent > 0 && !seen.limit.thresholds().into_iter().any(|p| seen.reached(p)) {
            due.push(seen.signal(SignalKind::Ok, 0));
        }
    }
    for percent in seen.limit.thresholds().into_iter().filter(|percent| *percent > signalled && seen.reached(*percent))
    {
        let kind = if percent < FULL_PERCENT { SignalKind::Warning } else { SignalKind::Exceeded };
        due.push(seen.signal(kind, percent));
    }
    due
}

impl Observation<'_> {
    /// A limit of zero is reached by the first use, not by none.
    fn reached(&self, percent: u32) -> bool {
        self.used > Decimal::ZERO && self.used >= self.limit.threshold_amount(percent)
    }

    fn signal(&self, kind: SignalKind, threshold_percent: u32) -> Signal {
        let threshold = match kind {
            SignalKind::Ok | SignalKind::Reset => kind.as_str().to_owned(),
            SignalKind::Warning | SignalKind::Exceeded => threshold_percent.to_string(),
        };
        let start = self.period_start.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let bits = derive_bits(
            "quota-signal",
            &[self.tenant_id.as_str(), self.limit.feature.as_str(), &start, &threshold, self.limit_version],
        );
        Signal {
            id: prefixed("sig", bits),
            tenant_id: self.tenant_id.clone(),
            feature: self.limit.feature.clone(),
            meter: self.limit.meter.clone(),
            kind,
            threshold_percent,
            used: self.used,
            limit: self.limit.amount,
            limit_kind: self.limit.kind,
            limit_version: self.limit_version.to_owned(),
            period_start: self.period_start,
            period_end: self.period_end,
            observed_at: self.observed_at,
            event_time_of_cause: self.event_time_of_cause,
        }
    }
}
