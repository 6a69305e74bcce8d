//! What folding costs, and that it is the same as applying everything anew.

use super::*;
use crate::id::AddOnKey;
use crate::period::IntervalUnit;
use crate::subscription::fold::steps;
use crate::subscription::timeline::Terms;

fn change(at: DateTime<Utc>, charged_from: DateTime<Utc>, what: Alteration) -> Change {
    let (proration, invoice) = (Proration::BySecond, InvoiceTiming::Next);
    Change { at, charged_from, proration, invoice, recorded_at: at, what }
}

fn seats(number: usize) -> Alteration {
    let price = committed().prices[0].key.clone();
    Alteration::QuantityChanged { add_on: None, quantities: [(price, number.into())].into_iter().collect() }
}

/// A thousand changes, a day after another.
fn long() -> Subscription {
    let start = started(terms("2020-01-01T00:00:00Z", None), &committed());
    (1..=MAX_CHANGES).fold(start, |state, number| {
        let at = state.started_at + Duration::days(i64::try_from(number).unwrap());
        state.with(change(at, at, seats(number)))
    })
}

#[test]
fn each_change_is_applied_once_however_many_there_are() {
    let state = long();
    for clock in [Clock::Effective, Clock::Charged] {
        let (stretches, applied) = steps::of(|| state.stretches(clock));
        assert_eq!((stretches.len(), applied), (MAX_CHANGES + 1, MAX_CHANGES));
    }
    // Where one begins and ends needs no terms at all.
    assert_eq!(steps::of(|| state.segments().unwrap().len()), (1, 0));
}

#[test]
fn a_bill_moment_folds_a_fixed_number_of_times() {
    let (state, plan) = (long(), committed());
    let progress = Progress { until: Some(at("2022-05-01T00:00:00Z")), changes: MAX_CHANGES };
    let (moment, applied) = steps::of(|| next_moment(&state, &plan, progress).unwrap().unwrap());
    assert_eq!(moment.at, at("2022-06-01T00:00:00Z"));
    assert!(applied <= 4 * MAX_CHANGES, "{applied}");
    // One that reaches back to the start folds once more for the usage of each of 29 periods.
    let progress = Progress { changes: 0, ..progress };
    let (moment, applied) = steps::of(|| next_moment(&state, &plan, progress).unwrap().unwrap());
    assert_eq!(moment.reopens.len(), 28);
    assert!(applied <= 40 * MAX_CHANGES, "{applied}");
}

#[test]
fn a_change_that_reaches_back_too_far_is_refused_with_its_way_out() {
    let daily = Interval { unit: IntervalUnit::Day, every: 1 };
    let plan = PlanVersion { interval: daily, ..committed() };
    let state = started(terms("2010-01-01T00:00:00Z", None), &plan);
    let check = |back_days: i64, expect: Option<&str>| {
        let billed_until = at("2024-01-01T00:00:00Z");
        let effective = Effective::At(billed_until - Duration::days(back_days));
        let (proration, invoice) = (Proration::BySecond, InvoiceTiming::Next);
        let terms = ChangeTerms { what: seats(2), effective, proration, invoice };
        let command = SubscriptionCommand::Change { terms, plans: &plan, billed_until: Some(billed_until) };
        let refused = decide(Some(&state), &command, at("2024-01-01T12:00:00Z")).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), expect, "{back_days}");
    };
    check(1199, None);
    let way_out = "/effective_at: reaches back over more than 1200 billed periods; choose a later instant, and correct \
        what is older by a credit note";
    check(1200, Some(way_out));
    check(5000, Some(way_out));
    // Nor is so much compared because somebody asks.
    let progress = Progress { until: Some(at("2024-01-01T00:00:00Z")), changes: 0 };
    let asked = rerated(&state, &plan, progress, state.started_at, 1);
    assert_eq!(asked, Err(TimelineError::TooManyPeriods { most: MAX_RERATED }));
}

/// Everything that counts at an instant, applied anew.
fn applied_anew(state: &Subscription, clock: Clock, instant: DateTime<Utc>) -> Terms {
    let mut terms = state.first_terms();
    for (number, change) in state.in_order() {
        if change.time(clock) <= instant {
            terms.apply(number, &change.what);
        }
    }
    terms
}

proptest! {
    #[test]
    fn the_fold_is_what_applying_everything_anew_gives(
        changes in prop::collection::vec((0..40_i64, 0..20_i64, 0..5_usize, 0..3_usize), 0..30),
        window in (0..50_i64, 1..30_i64),
    ) {
        let start = started(terms("2024-01-01T00:00:00Z", None), &committed());
        let days = |days: i64| start.started_at + Duration::days(days);
        let add_on = || AddOnKey::parse("support").unwrap();
        let state = changes.iter().fold(start.clone(), |state, (from, later, kind, number)| {
            let what = match kind {
                0 => seats(*number),
                1 => Alteration::AddOnAdded {
                    add_on: add_on(), plan: PlanKey::parse("p").unwrap(), plan_version: 1, quantities: Quantities::default(),
                },
                2 => Alteration::AddOnRemoved { add_on: add_on() },
                3 => Alteration::Paused,
                _ => Alteration::PlanChanged {
                    plan: start.plan.clone(), plan_version: u32::try_from(*number).unwrap(), interval: start.interval,
                    quantities: Quantities::default(),
                },
            };
            state.with(change(days(*from), days(from + later), what))
        });
        for clock in [Clock::Effective, Clock::Charged] {
            let all = state.stretches(clock);
            for stretch in &all {
                prop_assert_eq!(&stretch.terms, &applied_anew(&state, clock, stretch.span.start));
            }
            prop_assert!(all.windows(2).all(|pair| pair[0].terms != pair[1].terms && pair[0].span.end == pair[1].span.start));
            let within = Period::new(days(window.0), days(window.0 + window.1));
            let cut: Vec<Stretch> = all
                .into_iter()
                .filter_map(|it| Some(Stretch { span: it.span.intersect(&within)?, ..it }))
                .collect();
            prop_assert_eq!(state.stretches_within(clock, within), cut);
        }
    }
}
