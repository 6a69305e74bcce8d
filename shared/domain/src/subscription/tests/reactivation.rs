//! Ends and reactivations in any order: what was billed is found again, and the subscription can always go on.

use super::*;

/// Asks for a change, as of an instant up to which everything is billed.
fn asked(
    state: Subscription,
    plan: &PlanVersion,
    what: Alteration,
    effective: Effective,
    billed_until: &str,
    now: &str,
) -> Result<Subscription, SubscriptionError> {
    let terms = ChangeTerms { what, effective, proration: Proration::BySecond, invoice: InvoiceTiming::Next };
    let command = SubscriptionCommand::Change { terms, plans: plan, billed_until: Some(at(billed_until)) };
    decide(Some(&state), &command, at(now)).map(|event| evolve(Some(state), &event).unwrap())
}

fn anniversary() -> (Subscription, PlanVersion) {
    let plan = committed();
    let mut terms = terms("2024-01-01T00:00:00Z", None);
    terms.calendar = Some(Alignment::Anniversary);
    (started(terms, &plan), plan)
}

const REACTIVATED: Alteration = Alteration::Reactivated { ended_at: DateTime::UNIX_EPOCH };

/// Ended on 1 March, going on from 10 April, and billed until 10 May; then ended as of 15 February.
fn ended_before_its_reactivation() -> (Subscription, PlanVersion) {
    let (state, plan) = anniversary();
    let march = Effective::At(at("2024-03-01T00:00:00Z"));
    let state = asked(state, &plan, Alteration::Ended, march, "2024-02-01T00:00:00Z", "2024-02-20T00:00:00Z").unwrap();
    let on = "2024-04-10T00:00:00Z";
    let state = asked(state, &plan, REACTIVATED, Effective::Now, "2024-03-01T00:00:00Z", on).unwrap();
    let february = Effective::At(at("2024-02-15T00:00:00Z"));
    let until = "2024-05-10T00:00:00Z";
    let state = asked(state, &plan, Alteration::Ended, february, until, "2024-05-12T00:00:00Z").unwrap();
    (state, plan)
}

#[test]
fn after_an_end_before_a_billed_reactivation_it_can_go_on_again() {
    let (state, plan) = ended_before_its_reactivation();
    let until = "2024-05-12T00:00:00Z";
    let state = asked(state, &plan, REACTIVATED, Effective::Now, until, "2024-05-20T00:00:00Z").unwrap();
    let served: Vec<(bool, &str)> =
        ["2024-02-14T23:59:59Z", "2024-02-15T00:00:00Z", "2024-04-20T00:00:00Z", "2024-05-20T00:00:00Z"]
            .into_iter()
            .map(|instant| (state.is_active(at(instant)), instant))
            .collect();
    assert_eq!(served.iter().map(|(is_active, _)| *is_active).collect::<Vec<_>>(), [true, false, false, true]);
    // The periods that were billed keep their bounds, although nothing of them is served.
    let progress = Progress { until: Some(at("2024-05-10T00:00:00Z")), changes: 2 };
    let moment = next_moment(&state, &plan, progress).unwrap().unwrap();
    assert_eq!(moment.at, at("2024-05-20T00:00:00Z"));
    let reopened: Vec<Period> = moment.reopens.iter().map(|reopened| reopened.period.full).collect();
    assert!(reopened.contains(&Period::new(at("2024-04-10T00:00:00Z"), at("2024-05-10T00:00:00Z"))), "{reopened:?}");
    // And once more.
    let june = "2024-06-25T00:00:00Z";
    let state = asked(state, &plan, Alteration::Ended, Effective::Now, "2024-06-20T00:00:00Z", june).unwrap();
    assert!(asked(state, &plan, REACTIVATED, Effective::Now, june, "2024-07-01T00:00:00Z").is_ok());
}

#[test]
fn a_segment_that_has_begun_stays() {
    let (state, plan) = ended_before_its_reactivation();
    let before = state.segments().unwrap();
    let until = "2024-05-12T00:00:00Z";
    let state = asked(state, &plan, REACTIVATED, Effective::Now, until, "2024-05-20T00:00:00Z").unwrap();
    let after = state.segments().unwrap();
    let begins = |segments: &[segments::Segment]| segments.iter().map(|it| (it.from, it.anchor)).collect::<Vec<_>>();
    assert_eq!(begins(&before), begins(&after[..2]));
    let spans: Vec<(DateTime<Utc>, bool)> = after.iter().map(|it| (it.from, it.from < it.until)).collect();
    assert_eq!(
        spans,
        [(at("2024-01-01T00:00:00Z"), true), (at("2024-04-10T00:00:00Z"), false), (at("2024-05-20T00:00:00Z"), true)]
    );
}
