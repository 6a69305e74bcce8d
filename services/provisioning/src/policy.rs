//! What a plan's policy makes of quota signals, and dunning of unpaid invoices: the state a tenant should be in. Judged from what is signalled last of
//! each feature, not from one signal, so that a signal that came twice, late or never leads to the same state.

use chrono::{DateTime, Utc};
use talea_domain::entitlement::{LimitKind, OnExceeded, OnReset, QuotaPolicy, Signal, SignalKind};
use talea_domain::id::InvoiceId;
use talea_domain::tenant::{StateCause, TenantState};

/// A tenant's state, what was last signalled of each of its features, with the policy of the plan behind it, and the
/// invoices for which dunning suspends it, each with the instant since when that is known.
#[derive(Debug, Clone)]
pub struct Standing {
    pub state: TenantState,
    pub cause: StateCause,
    pub state_at: DateTime<Utc>,
    pub signals: Vec<(Signal, QuotaPolicy)>,
    pub overdue: Vec<(InvoiceId, DateTime<Utc>)>,
}

/// What should change, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    pub state: TenantState,
    pub cause: StateCause,
    /// Names the reason: what was decided under it is not decided again.
    pub key: String,
}

/// The change that the policies ask for; none where the tenant is as it should be.
///
/// A hard limit that is exceeded suspends where the plan says so; a soft one never does. An invoice suspends whose dunning
/// has come to that step. What a person decided stands: a state that is newer than its reason is kept, and what a person
/// suspended nothing else resumes. A tenant that is suspended for two reasons is handed over from one to the other, and
/// resumes only when both are gone.
pub fn react(standing: &Standing) -> Option<Desired> {
    let (quota, dunning) = (by_quota(standing), by_dunning(standing));
    match (standing.state, &standing.cause) {
        (TenantState::Active, _) => quota.or(dunning),
        (TenantState::Suspended, StateCause::Quota { .. }) => {
            if standing.signals.iter().any(|(signal, policy)| suspends(signal, *policy)) {
                return None;
            }
            let relief = relief(standing)?;
            Some(dunning.unwrap_or(relief))
        }
        (TenantState::Suspended, StateCause::Dunning { invoice_id }) => match standing.overdue.is_empty() {
            true => Some(quota.unwrap_or_else(|| paid(standing, invoice_id))),
            false => None,
        },
        (TenantState::Suspended, _) => None,
    }
}

/// The suspension by a limit that was exceeded after the state began.
fn by_quota(standing: &Standing) -> Option<Desired> {
    let exceeded = standing.signals.iter().find(|(signal, policy)| suspends(signal, *policy));
    let (signal, _) = exceeded.filter(|(signal, _)| signal.observed_at >= standing.state_at)?;
    Some(Desired::quota(TenantState::Suspended, &signal.id))
}

/// The suspension by an invoice for which it is due since after the state began.
fn by_dunning(standing: &Standing) -> Option<Desired> {
    let (invoice_id, since) = standing.overdue.iter().find(|(_, since)| *since >= standing.state_at)?;
    Some(Desired {
        state: TenantState::Suspended,
        cause: StateCause::Dunning { invoice_id: invoice_id.clone() },
        key: format!("dunning-policy/{invoice_id}/suspended/{}", since.timestamp_micros()),
    })
}

fn paid(standing: &Standing, invoice_id: &InvoiceId) -> Desired {
    Desired {
        state: TenantState::Active,
        cause: StateCause::Dunning { invoice_id: invoice_id.clone() },
        key: format!("dunning-policy/{invoice_id}/active/{}", standing.state_at.timestamp_micros()),
    }
}

impl Desired {
    fn quota(state: TenantState, signal_id: &str) -> Self {
        Self {
            state,
            cause: StateCause::Quota { signal_id: signal_id.to_owned() },
            key: format!("quota-policy/{signal_id}/{}", state.as_str()),
        }
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
    (policy.on_reset == OnReset::Resume).then(|| Desired::quota(TenantState::Active, &signal.id))
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
        let standing = Standing { state, cause, state_at: at(since), signals, overdue: Vec::new() };
        let expect = expect.map(|(state, id)| Desired::quota(state, id));
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

    /// What becomes of a tenant in state and cause since minute 10; overdue invoices since these minutes. `q` and `d` before
    /// the state say what the change is put down to.
    fn check_dunning(
        state: TenantState,
        cause: StateCause,
        overdue: &[(&str, i64)],
        signals: Vec<(Signal, QuotaPolicy)>,
        expect: &str,
    ) {
        let overdue = overdue.iter().map(|(id, minute)| (InvoiceId::parse(id).expect("a key"), at(*minute))).collect();
        let standing = Standing { state, cause, state_at: at(10), signals, overdue };
        let found = react(&standing).map_or("-".to_owned(), |desired| {
            let cause = match desired.cause {
                StateCause::Quota { .. } => "q",
                StateCause::Dunning { .. } => "d",
                _ => "?",
            };
            format!("{cause} {}", desired.state.as_str())
        });
        assert_eq!(found, expect, "{standing:?}");
    }

    #[test]
    fn an_unpaid_invoice_suspends_until_it_is_paid() {
        use SignalKind::{Exceeded, Reset};
        use TenantState::{Active, Suspended};
        let dunning = || StateCause::Dunning { invoice_id: InvoiceId::parse("inv_1").expect("a key") };
        let quota = || StateCause::Quota { signal_id: "sig_a_9".into() };
        let exceeded = |minute| vec![(signal("a", Exceeded, minute), SUSPEND)];
        check_dunning(Active, StateCause::Onboarded, &[("inv_1", 11)], vec![], "d suspended");
        // A person resumed it after the step.
        check_dunning(Active, StateCause::Requested, &[("inv_1", 9)], vec![], "-");
        check_dunning(Suspended, dunning(), &[("inv_1", 9)], vec![], "-");
        check_dunning(Suspended, dunning(), &[], vec![], "d active");
        // Another invoice is still unpaid.
        check_dunning(Suspended, dunning(), &[("inv_2", 9)], vec![], "-");
        // A person suspended it.
        check_dunning(Suspended, StateCause::Requested, &[], vec![], "-");
        // Two reasons: the one that is left takes over.
        check_dunning(Suspended, dunning(), &[], exceeded(12), "q suspended");
        check_dunning(Suspended, quota(), &[("inv_1", 12)], exceeded(9), "-");
        check_dunning(Suspended, quota(), &[("inv_1", 12)], vec![(signal("a", Reset, 13), SUSPEND)], "d suspended");
        check_dunning(Suspended, quota(), &[], vec![(signal("a", Reset, 13), SUSPEND)], "q active");
    }
}
