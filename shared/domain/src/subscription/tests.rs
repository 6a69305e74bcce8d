//! Commands and bill moments.

mod folding;
mod reactivation;

use super::*;
use crate::journal::CancelMode;
use crate::period::Period;
use crate::plan::PlanVersion;
use chrono::Duration;
use proptest::prelude::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn committed() -> PlanVersion {
    serde_json::from_str(include_str!("../../../../schemas/golden/plan/committed.v1.json")).unwrap()
}

fn tokens() -> PlanVersion {
    serde_json::from_str(include_str!("../../../../schemas/golden/plan/tokens.v1.json")).unwrap()
}

fn terms(start: &str, end: Option<&str>) -> StartTerms {
    StartTerms {
        id: SubscriptionId::parse("sub_1").unwrap(),
        tenant: TenantId::parse("acme").unwrap(),
        currency: Currency::parse("USD").unwrap(),
        zone: chrono_tz::UTC,
        calendar: None,
        anchor_day: None,
        start_at: at(start),
        end_at: end.map(at),
        options: StartOptions::default(),
    }
}

fn started(terms: StartTerms, plan: &PlanVersion) -> Subscription {
    let now = terms.start_at;
    let event = decide(None, &SubscriptionCommand::Start { terms, plan }, now).unwrap();
    evolve(None, &event).unwrap()
}

/// Moments as text: `+` opens a period in advance, `-` closes one, `!` is the last; times without the midnight.
fn moments(subscription: &Subscription, plan: &PlanVersion, after: Option<&str>, as_of: &str) -> Vec<String> {
    let day = |instant: DateTime<Utc>| instant.format("%Y-%m-%dT%H:%M").to_string().replace("T00:00", "");
    let span = |sign, period: Option<ServedPeriod>| {
        period.map(|p| format!(" {sign}{}..{}", day(p.served.start), day(p.served.end))).unwrap_or_default()
    };
    let due = bill_moments(subscription, plan, Progress { until: after.map(at), changes: 0 }, at(as_of)).unwrap();
    due.iter()
        .map(|moment| {
            let last = if moment.is_last { " !" } else { "" };
            format!("{}{}{}{last}", day(moment.at), span('-', moment.closes), span('+', moment.opens))
        })
        .collect()
}

#[test]
fn a_subscription_is_billed_at_its_start_its_periods_and_its_end() {
    let check = |terms: StartTerms, plan: &PlanVersion, after, as_of, expect: &[&str]| {
        assert_eq!(moments(&started(terms, plan), plan, after, as_of), expect);
    };
    let (start, end) = ("2023-11-01T00:00:00Z", Some("2023-12-01T00:00:00Z"));
    // Usage only: nothing is due at the start.
    check(terms(start, end), &tokens(), None, "2024-06-01T00:00:00Z", &["2023-12-01 -2023-11-01..2023-12-01 !"]);
    check(terms(start, None), &tokens(), None, "2023-11-30T23:59:59Z", &[]);
    check(
        terms("2023-11-16T12:00:00Z", Some("2024-01-10T06:00:00Z")),
        &committed(),
        None,
        "2024-06-01T00:00:00Z",
        &[
            "2023-11-16T12:00 +2023-11-16T12:00..2023-12-01",
            "2023-12-01 -2023-11-16T12:00..2023-12-01 +2023-12-01..2024-01-01",
            "2024-01-01 -2023-12-01..2024-01-01 +2024-01-01..2024-01-10T06:00",
            "2024-01-10T06:00 -2024-01-01..2024-01-10T06:00 !",
        ],
    );
    let after = Some("2023-12-01T00:00:00Z");
    check(terms(start, None), &tokens(), after, "2024-01-01T00:00:00Z", &["2024-01-01 -2023-12-01..2024-01-01"]);
    // An end on a bound opens nothing there.
    let first_and_last = ["2023-11-01 +2023-11-01..2023-12-01", "2023-12-01 -2023-11-01..2023-12-01 !"];
    check(terms(start, end), &committed(), None, "2024-01-01T00:00:00Z", &first_and_last);
}

#[test]
fn an_anniversary_keeps_its_day() {
    let mut terms = terms("2023-01-31T09:00:00Z", None);
    terms.calendar = Some(Alignment::Anniversary);
    let subscription = started(terms, &tokens());
    assert_eq!(subscription.anchor_day, 31);
    let due = bill_moments(&subscription, &tokens(), Progress::default(), at("2023-05-01T00:00:00Z")).unwrap();
    let days: Vec<String> = due.iter().map(|moment| moment.at.date_naive().to_string()).collect();
    assert_eq!(days, ["2023-02-28", "2023-03-31", "2023-04-30"]);
    // Started at nine on its own first day: the first period counts as whole.
    let first = due[0].closes.unwrap();
    assert_eq!(first.served.start, at("2023-01-31T09:00:00Z"));
    assert!(first.share(first.served, &subscription).unwrap().is_whole());
}

#[test]
fn the_anchors_day_is_of_the_plans_unit() {
    let check = |unit, calendar, asked, expect: Option<u8>| {
        let interval = Interval { unit, every: 1 };
        let plan = PlanVersion { interval, calendar, ..tokens() };
        // A Thursday.
        let terms = StartTerms { anchor_day: asked, ..terms("2023-11-16T00:00:00Z", None) };
        let now = terms.start_at;
        let event = decide(None, &SubscriptionCommand::Start { terms, plan: &plan }, now);
        let day = event.ok().and_then(|event| evolve(None, &event)).map(|subscription| subscription.anchor_day);
        assert_eq!(day, expect, "{unit:?} {calendar:?} {asked:?}");
    };
    use crate::period::IntervalUnit::{Day, Month, Week, Year};
    use Alignment::{Anniversary, Calendar};
    for (unit, calendar, own, highest) in [
        (Day, Calendar, 1, 1),
        (Day, Anniversary, 1, 1),
        (Week, Calendar, 1, 7),
        (Week, Anniversary, 4, 7),
        (Month, Calendar, 1, 1),
        (Month, Anniversary, 16, 31),
        (Year, Calendar, 1, 1),
        (Year, Anniversary, 16, 31),
    ] {
        check(unit, calendar, None, Some(own));
        check(unit, calendar, Some(highest), Some(highest));
        check(unit, calendar, Some(highest + 1), None);
        check(unit, calendar, Some(0), None);
    }
}

#[test]
fn a_daily_subscription_is_billed_over_a_day_that_its_zone_left_out() {
    let interval = Interval { unit: crate::period::IntervalUnit::Day, every: 1 };
    let plan = PlanVersion { interval, ..committed() };
    let terms = StartTerms { zone: "Pacific/Apia".parse().unwrap(), ..terms("2011-12-29T10:00:00Z", None) };
    let expect = [
        "2011-12-29T10:00 +2011-12-29T10:00..2011-12-30T10:00",
        "2011-12-30T10:00 -2011-12-29T10:00..2011-12-30T10:00 +2011-12-30T10:00..2011-12-31T10:00",
        "2011-12-31T10:00 -2011-12-30T10:00..2011-12-31T10:00 +2011-12-31T10:00..2012-01-01T10:00",
    ];
    assert_eq!(moments(&started(terms, &plan), &plan, None, "2012-01-01T00:00:00Z"), expect);
}

#[test]
fn a_moment_names_the_usage_it_needs() {
    let subscription = started(terms("2023-11-16T00:00:00Z", None), &committed());
    let due = bill_moments(&subscription, &committed(), Progress::default(), at("2023-12-01T00:00:00Z")).unwrap();
    assert_eq!(due[0].usage, vec![]);
    let window = Period::new(at("2023-11-16T00:00:00Z"), at("2023-12-01T00:00:00Z"));
    let needs: Vec<(&str, Period)> = due[1].usage.iter().map(|need| (need.meter.as_str(), need.window)).collect();
    assert_eq!(needs, [("api_calls", window), ("tokens_in", window)]);
}

#[test]
fn a_start_is_refused_with_its_field() {
    let check = |change: fn(&mut StartTerms), expect: &str| {
        let mut terms = terms("2023-11-01T00:00:00Z", None);
        change(&mut terms);
        let plan = tokens();
        let answer = decide(None, &SubscriptionCommand::Start { terms, plan: &plan }, at("2023-11-05T00:00:00Z"));
        match answer {
            Err(SubscriptionError::Field(fault)) => assert_eq!(fault.field, expect),
            other => panic!("{expect}: {other:?}"),
        }
    };
    check(|terms| terms.currency = Currency::parse("EUR").unwrap(), "/currency");
    check(|terms| terms.end_at = Some(terms.start_at), "/end_at");
    check(|terms| terms.start_at = at("1799-01-01T00:00:00Z"), "/start_at");
    check(|terms| terms.anchor_day = Some(5), "/anchor_day");
    let phases = |terms: &mut StartTerms| {
        let days = (1..=101).map(|day| terms.start_at + Duration::days(day));
        let phase = |at| Phase { at, plan: tokens(), quantities: Quantities::default(), proration: Proration::None };
        terms.options.phases = days.map(phase).collect();
    };
    check(phases, "/phases");
    check(|terms| (terms.calendar, terms.anchor_day) = (Some(Alignment::Anniversary), Some(32)), "/anchor_day");
}

#[test]
fn a_cancellation_ends_now_or_with_the_period_and_only_once() {
    let plan = committed();
    let running = started(terms("2023-11-01T00:00:00Z", None), &plan);
    let cancel = |state: &Subscription, mode, billed_until: Option<&str>, now| {
        let command = SubscriptionCommand::Cancel { mode, billed_until: billed_until.map(at) };
        decide(Some(state), &command, at(now)).map(|event| evolve(Some(state.clone()), &event).unwrap())
    };
    let now = "2023-11-15T12:00:00Z";
    let at_once = cancel(&running, CancelMode::Now, Some("2023-11-01T00:00:00Z"), now).unwrap();
    assert_eq!(at_once.ended_at, Some(at(now)));
    let later = cancel(&running, CancelMode::PeriodEnd, Some("2023-11-01T00:00:00Z"), now).unwrap();
    assert_eq!(later.ended_at, Some(at("2023-12-01T00:00:00Z")));
    // What ends later may still end at once, but not the other way round.
    assert_eq!(cancel(&later, CancelMode::Now, None, now).unwrap().ended_at, Some(at(now)));
    let twice = cancel(&at_once, CancelMode::PeriodEnd, None, now);
    assert_eq!(twice, Err(SubscriptionError::EndsAlready { at: at(now) }));
    let early = cancel(&running, CancelMode::Now, None, "2023-10-01T00:00:00Z");
    assert_eq!(early, Err(SubscriptionError::NotStarted { start: running.started_at }));
    let billed = cancel(&running, CancelMode::Now, Some(now), now);
    assert_eq!(billed, Err(SubscriptionError::BilledAlready { billed_until: at(now) }));
    let start = SubscriptionCommand::Start { terms: terms(now, None), plan: &plan };
    assert_eq!(decide(Some(&running), &start, at(now)), Err(SubscriptionError::Exists));
    let command = SubscriptionCommand::Cancel { mode: CancelMode::Now, billed_until: None };
    assert_eq!(decide(None, &command, at(now)), Err(SubscriptionError::Unknown));
}

#[test]
fn every_stored_subscription_stays_readable_and_is_written_the_same() {
    for golden in [
        include_str!("../../../../schemas/golden/subscription/running.v1.json"),
        include_str!("../../../../schemas/golden/subscription/ended.v1.json"),
    ] {
        let subscription: Subscription = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::to_string_pretty(&subscription).unwrap(), golden.trim_end());
    }
}

proptest! {
    #[test]
    fn closed_periods_tile_the_subscription(
        start in 946_684_800..1_900_000_000_i64,
        days in 1..1_500_i64,
        extra in 0..86_400_i64,
        anniversary in any::<bool>(),
        zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        in_advance in any::<bool>(),
    ) {
        let plan = if in_advance { committed() } else { tokens() };
        let start = DateTime::from_timestamp(start, 0).unwrap();
        let end = start + Duration::days(days) + Duration::seconds(extra);
        let calendar = if anniversary { Alignment::Anniversary } else { Alignment::Calendar };
        let terms = StartTerms {
            zone, start_at: start, end_at: Some(end), calendar: Some(calendar), ..terms("2023-01-01T00:00:00Z", None)
        };
        let subscription = started(terms, &plan);
        let due = bill_moments(&subscription, &plan, Progress::default(), end).unwrap();
        let mut reached = start;
        for closed in due.iter().filter_map(|moment| moment.closes) {
            prop_assert_eq!(closed.served.start, reached);
            reached = closed.served.end;
        }
        prop_assert_eq!(reached, end);
        prop_assert_eq!(due.iter().filter(|moment| moment.is_last).count(), 1);
        prop_assert!(due.windows(2).all(|pair| pair[0].at < pair[1].at));
        // What is paid in advance is exactly what is closed later.
        if in_advance {
            let opened: Vec<_> = due.iter().filter_map(|moment| moment.opens).collect();
            let closed: Vec<_> = due.iter().filter_map(|moment| moment.closes).collect();
            prop_assert_eq!(opened, closed);
        }
    }
}
