//! What a plan's policy makes of quota signals: the state a tenant should be in. Judged from what is signalled last of
//! each feature, not from one signal, so that a signal that came twice, late or never leads to the same state.

use chrono::{DateTime, Utc};
use talea_domain::entitlement::{LimitKind, OnExceeded, OnReset, QuotaPolicy, Signal, SignalKind};
use talea_domain::tenant::{StateCause, TenantState};

/// A tenant's state, and what was last signalled of each of its features, with the policy of the plan behind it.
#[derive(Debug, Clone)]
pub struct Standing {
    pub state: TenantState,
    pub cause: StateCause,
    pub state_at: DateTime<Utc>,
    pub signals: Vec<(Signal, QuotaPolicy)>,
}

/// What should change, and the signal that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    pub state: TenantState,
    pub signal_id: String,
}

/// The change that the policy asks for; none where the tenant is as it should be.
///
/// A hard limit that is exceeded suspends where the plan says so; a soft one never does. What a person decided stands:
/// a state that is newer than the signal is kept, and only a suspension by quota is ended by quota.
pub fn react(standing: &Standing) -> Option<Desired> {
    let exceeded = standing.signals.iter().find(|(signal, policy)| suspends(signal, *policy));
    match (standing.state, &standing.cause, exceeded) {
        (TenantState::Active, _, Some((signal, _))) if signal.observed_at >= standing.state_at => {
            Some(Desired { state: TenantState::Suspended, signal_id: signal.id.clone() })
        }
        (TenantState::Suspended, StateCause::Quota { .. }, None) => relief(standing),
        _ => None,
    }
}

fn suspends(signal: &Signal, policy: QuotaPolicy) -> bool {
    signal.kind == SignalKind::Exceeded
        && signal.limit_kind == LimitKind::Hard
        && policy.on_exceeded == OnExceeded::Suspend
}

/// The latest signal of a feature that is within its limit again, where its plan resumes by itself.
fn relief(standing: &Standing) -> Option<Desired> {
    let within = standing.signals.iter().filter(|(signal, policy)| {
        signal.kind != SignalKind::Exceeded
            && policy.on_exceeded == OnExceeded::Suspend
            && signal.observed_at >= standing.state_at
    });
    let (signal, policy) = within.max_by_key(|(signal, _)| (signal.observed_at, signal.id.clone()))?;
    (policy.on_reset == OnReset::Resume).then(|| Desired { state: TenantState::Active, signal_id: signal.id.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Duration;
    use talea_domain::id::{FeatureKey, MeterKey, TenantId};

    const SUSPEND: QuotaPolicy = QuotaPolicy { on_exceeded: OnExceeded::Suspend, on_reset: OnReset::Resume };
    const KEEP: QuotaPolicy = QuotaPolicy { on_exceeded: OnExceeded::Suspend, on_reset: OnReset::Keep };
    const NOTIFY: QuotaPolicy = QuotaPolicy { on_exceeded: OnExceeded::Notify, on_reset: OnReset::Resume };

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("in range") + Duration::minutes(minute)
    }

    fn signal(feature: &str, kind: SignalKind, minute: i64) -> Signal {
        Signal {
            id: format!("sig_{feature}_{minute}"),
            tenant_id: TenantId::parse("acme").expect("a key"),
            feature: FeatureKey::parse(feature).expect("a key"),
            meter: MeterKey::parse("tokens").expect("a key"),
            kind,
            threshold_percent: 100,
            used: 10.into(),
            limit: 10.into(),
            limit_kind: LimitKind::Hard,
            limit_version: "free@1".into(),
            period_start: at(-60),
            period_end: at(60),
            observed_at: at(minute),
            event_time_of_cause: None,
        }
    }

    fn check(
        state: TenantState,
        cause: StateCause,
        since: i64,
        signals: Vec<(Signal, QuotaPolicy)>,
        expect: Option<(TenantState, &str)>,
    ) {
        let standing = Standing { state, cause, state_at: at(since), signals };
        let expect = expect.map(|(state, id)| Desired { state, signal_id: id.to_owned() });
        assert_eq!(react(&standing), expect, "{standing:?}");
    }

    #[test]
    fn the_policy_says_what_a_signal_leads_to() {
        use SignalKind::{Exceeded, Ok, Reset, Warning};
        use TenantState::{Active, Suspended};
        let requested = || StateCause::Requested;
        let quota = || StateCause::Quota { signal_id: "sig_a_1".into() };
        let suspended = Some((Suspended, "sig_a_1"));
        check(Active, StateCause::Onboarded, 0, vec![(signal("a", Exceeded, 1), SUSPEND)], suspended);
        check(Active, requested(), 0, vec![(signal("a", Exceeded, 1), NOTIFY)], None);
        check(Active, requested(), 0, vec![(signal("a", Warning, 1), SUSPEND)], None);
        let soft = Signal { limit_kind: LimitKind::Soft, ..signal("a", Exceeded, 1) };
        check(Active, requested(), 0, vec![(soft, SUSPEND)], None);
        // Somebody resumed it after the signal.
        check(Active, requested(), 2, vec![(signal("a", Exceeded, 1), SUSPEND)], None);
        // Back within the limit.
        for kind in [Reset, Ok, Warning] {
            check(Suspended, quota(), 1, vec![(signal("a", kind, 5), SUSPEND)], Some((Active, "sig_a_5")));
        }
        check(Suspended, quota(), 1, vec![(signal("a", Reset, 5), KEEP)], None);
        // Another feature is still beyond its limit.
        let both = vec![(signal("a", Reset, 5), SUSPEND), (signal("b", Exceeded, 3), SUSPEND)];
        check(Suspended, quota(), 1, both, None);
        // A person suspended it: quota does not resume it.
        check(Suspended, requested(), 1, vec![(signal("a", Reset, 5), SUSPEND)], None);
        check(Suspended, quota(), 1, vec![(signal("a", Exceeded, 1), SUSPEND)], None);
        check(Active, StateCause::Onboarded, 0, vec![], None);
        // A signal of a feature that was never beyond its limit, from before the suspension, brings no relief.
        check(Suspended, quota(), 9, vec![(signal("b", Warning, 5), SUSPEND)], None);
    }
}
