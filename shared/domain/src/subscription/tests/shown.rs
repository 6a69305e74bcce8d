//! What people are shown of a subscription's times.

use super::*;

#[test]
fn scheduled_times_are_shown_and_each_clock_has_its_own() {
    let plan = committed();
    let state = started(terms("2024-01-01T00:00:00Z", None), &plan);
    let asked = |state: Subscription, what, effective: &str, proration| {
        let effective = EffectiveAt::try_from(effective.to_owned()).unwrap().0;
        let terms = ChangeTerms { what, effective, proration, invoice: InvoiceTiming::Next };
        let command = SubscriptionCommand::Change { terms, plans: &plan, billed_until: None };
        let event = decide(Some(&state), &command, at("2024-01-10T12:00:00Z")).unwrap();
        evolve(Some(state), &event).unwrap()
    };
    let seats: Quantities = [(plan.prices[0].key.clone(), 3.into())].into_iter().collect();
    let bought = Alteration::QuantityChanged { add_on: None, quantities: seats.clone() };
    let state = asked(state, bought, "now", Proration::None);
    let state = asked(state, Alteration::Paused, "2024-03-01T00:00:00Z", Proration::BySecond);
    let state = asked(state, Alteration::Ended, "2024-04-01T00:00:00Z", Proration::BySecond);
    let check = |clock, expect: &[(&str, Option<&str>, bool, bool)]| {
        let shown: Vec<_> = state.shown(clock);
        let found: Vec<_> = shown.iter().map(|it| (it.from, it.until, it.quantities == seats, it.is_paused)).collect();
        let expect: Vec<_> =
            expect.iter().map(|(from, until, more, paused)| (at(from), until.map(at), *more, *paused)).collect();
        assert_eq!(found, expect);
    };
    let (first, march, april) = ("2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z");
    let (now, february) = ("2024-01-10T12:00:00Z", "2024-02-01T00:00:00Z");
    let ends = (march, Some(april), true, true);
    check(Clock::Effective, &[(first, Some(now), false, false), (now, Some(march), true, false), ends]);
    check(Clock::Charged, &[(first, Some(february), false, false), (february, Some(march), true, false), ends]);
    let runs_on = started(terms("2024-01-01T00:00:00Z", None), &plan);
    assert_eq!(runs_on.shown(Clock::Charged)[0].until, None);
}
