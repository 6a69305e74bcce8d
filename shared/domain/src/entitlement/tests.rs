use super::*;
use std::collections::BTreeMap;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn limit(amount: &str) -> Limit {
    Limit {
        feature: FeatureKey::parse("tokens").expect("a key"),
        meter: MeterKey::parse("tokens_in").expect("a key"),
        amount: decimal(amount),
        kind: LimitKind::Hard,
        thresholds_percent: vec![80, 100],
        period: LimitPeriod::Month,
        when_stale: WhenStale::Allow,
        stale_after_seconds: None,
    }
}

fn standing(used: &str, age_seconds: u64) -> Standing {
    Standing {
        used: decimal(used),
        resets_at: at("2026-11-01T00:00:00Z"),
        as_of: at("2026-10-10T00:00:00Z"),
        age_seconds,
        stale_after_seconds: 30,
    }
}

mod answers {
    use super::*;

    fn check(
        limit: Limit,
        standing: Option<Standing>,
        amount: &str,
        allowed: bool,
        reason: Reason,
        remaining: Option<&str>,
    ) {
        let decision =
            super::check(&Entitlement::Metered { limit: &limit, standing: standing.clone() }, decimal(amount));
        assert_eq!((decision.allowed, decision.reason), (allowed, reason), "{standing:?} + {amount}");
        assert_eq!(decision.remaining, remaining.map(decimal), "{standing:?} + {amount}");
        assert_eq!(decision.used, standing.map(|s| s.used));
    }

    #[test]
    fn a_limit_allows_up_to_its_amount_and_stale_figures_follow_the_plan() {
        let hard = || limit("10");
        let soft = || Limit { kind: LimitKind::Soft, ..limit("10") };
        let deny = |limit: Limit| Limit { when_stale: WhenStale::Deny, ..limit };
        check(hard(), Some(standing("0", 0)), "1", true, Reason::WithinLimit, Some("10"));
        check(hard(), Some(standing("9", 0)), "1", true, Reason::WithinLimit, Some("1"));
        check(hard(), Some(standing("9.5", 0)), "0.500000000000000001", false, Reason::LimitReached, Some("0.5"));
        check(hard(), Some(standing("10", 0)), "0", true, Reason::WithinLimit, Some("0"));
        check(hard(), Some(standing("12", 0)), "0", false, Reason::LimitReached, Some("0"));
        check(soft(), Some(standing("12", 0)), "1", true, Reason::OverSoftLimit, Some("0"));
        check(soft(), Some(standing("2", 0)), "1", true, Reason::WithinLimit, Some("8"));
        check(hard(), Some(standing("2", 30)), "1", true, Reason::WithinLimit, Some("8"));
        check(hard(), Some(standing("2", 31)), "1", true, Reason::StaleAllowed, Some("8"));
        check(deny(hard()), Some(standing("2", 31)), "1", false, Reason::StaleDenied, Some("8"));
        check(deny(soft()), Some(standing("2", 31)), "1", false, Reason::StaleDenied, Some("8"));
        // What is known is too much already, however old it is.
        check(hard(), Some(standing("10", 9999)), "1", false, Reason::LimitReached, Some("0"));
        check(hard(), None, "1", true, Reason::StaleAllowed, None);
        check(hard(), None, "11", false, Reason::LimitReached, None);
        check(deny(hard()), None, "1", false, Reason::StaleDenied, None);
        check(hard(), Some(standing("79228162514264337593543950335", 0)), "1", false, Reason::LimitReached, Some("0"));
        check(hard(), Some(standing("-5", 0)), "15", true, Reason::WithinLimit, Some("15"));
    }

    #[test]
    fn a_fixed_value_says_itself() {
        let feature = FeatureKey::parse("sso").expect("a key");
        for (value, kind, allowed) in [
            (StaticValue::Boolean(true), FeatureKind::Boolean, true),
            (StaticValue::Boolean(false), FeatureKind::Boolean, false),
            (StaticValue::Number(decimal("25")), FeatureKind::Static, true),
            (StaticValue::Text("eu".into()), FeatureKind::Static, true),
        ] {
            let fixed = StaticEntitlement { feature: feature.clone(), value: value.clone() };
            let decision = super::check(&Entitlement::Static(&fixed), Decimal::ONE);
            assert_eq!((decision.kind, decision.allowed, decision.value), (kind, allowed, Some(value)));
        }
    }
}

mod crossings {
    use super::*;

    const PERIODS: [(&str, &str); 3] = [
        ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ];

    /// One observation: (index of the period, version of the limit, its amount, use).
    type Seen = (usize, u32, &'static str, &'static str);

    fn observe(state: &mut Option<SignalState>, seen: Seen) -> Vec<Signal> {
        let (period, version, amount, used) = seen;
        let tenant = TenantId::parse("acme").expect("a key");
        let due = signals(
            state.as_ref(),
            &Observation {
                tenant_id: &tenant,
                limit: &limit(amount),
                limit_version: &format!("free@1+{version}"),
                period_start: at(PERIODS[period].0),
                period_end: at(PERIODS[period].1),
                used: decimal(used),
                observed_at: at("2026-10-10T00:00:00Z"),
                event_time_of_cause: None,
            },
        );
        if let Some(last) = due.last() {
            *state = Some(last.state());
        }
        due
    }

    fn check(observations: &[Seen], expect: &[&str]) {
        let mut state = None;
        let mut said = Vec::new();
        let mut ids = std::collections::BTreeSet::new();
        for seen in observations {
            for signal in observe(&mut state, *seen) {
                said.push(format!("{} {}", signal.kind.as_str(), signal.threshold_percent));
                assert!(ids.insert(signal.id), "{observations:?} makes an id twice");
            }
            assert!(observe(&mut state, *seen).is_empty(), "{seen:?} signals again");
        }
        assert_eq!(said, expect, "{observations:?}");
    }

    #[test]
    fn thresholds_limits_and_periods_give_their_signals() {
        check(&[(0, 1, "10", "0"), (0, 1, "10", "7.999")], &[]);
        check(&[(0, 1, "10", "8")], &["warning 80"]);
        check(&[(0, 1, "10", "8"), (0, 1, "10", "9.9"), (0, 1, "10", "10")], &["warning 80", "exceeded 100"]);
        check(&[(0, 1, "10", "500")], &["warning 80", "exceeded 100"]);
        // Falling takes nothing back within a period.
        check(&[(0, 1, "10", "10"), (0, 1, "10", "3"), (0, 1, "10", "10")], &["warning 80", "exceeded 100"]);
        // A raised limit: ok, or what holds under it.
        check(&[(0, 1, "10", "10"), (0, 2, "100", "10")], &["warning 80", "exceeded 100", "ok 0"]);
        check(&[(0, 1, "10", "10"), (0, 2, "12", "10")], &["warning 80", "exceeded 100", "warning 80"]);
        check(&[(0, 1, "10", "1"), (0, 2, "12", "1")], &[]);
        check(&[(0, 1, "10", "1"), (0, 2, "1", "1")], &["warning 80", "exceeded 100"]);
        // A new period: reset, once, and only after something was signalled.
        check(&[(0, 1, "10", "8"), (1, 1, "10", "0"), (2, 1, "10", "0")], &["warning 80", "reset 0"]);
        check(&[(0, 1, "10", "1"), (1, 1, "10", "0")], &[]);
        check(&[(0, 1, "10", "8"), (1, 1, "10", "9")], &["warning 80", "reset 0", "warning 80"]);
        check(&[(0, 1, "10", "8"), (1, 2, "20", "9")], &["warning 80", "reset 0"]);
        // A past period is closed.
        check(&[(1, 1, "10", "8"), (0, 1, "10", "99")], &["warning 80"]);
        // A limit of zero is reached by the first use.
        check(&[(0, 1, "0", "0"), (0, 1, "0", "0.001")], &["warning 80", "exceeded 100"]);
    }

    /// Every non-decreasing history of six observations, every way to see only some of them, every restart that forgets
    /// what was not recorded: the same crossings, each once.
    #[test]
    fn no_crossing_is_lost_or_doubled_however_totals_are_coalesced() {
        const USED: [&str; 4] = ["0", "7", "8", "10"];
        const LENGTH: usize = 6;
        let mut histories = vec![vec![]];
        for _ in 0..LENGTH {
            histories = histories
                .into_iter()
                .flat_map(|history: Vec<usize>| {
                    let least = history.last().copied().unwrap_or(0);
                    (least..USED.len()).map(move |next| [history.as_slice(), &[next]].concat())
                })
                .collect();
        }
        assert_eq!(histories.len(), 84);
        for history in histories {
            let expect = match USED[history[LENGTH - 1]] {
                "10" => vec![80, 100],
                "8" => vec![80],
                _ => vec![],
            };
            for mask in 0..1u32 << (LENGTH - 1) {
                // The last total always arrives; of those before it, any may be coalesced away.
                let seen = (0..LENGTH).filter(|at| *at == LENGTH - 1 || mask & (1 << at) != 0);
                let (mut state, mut recorded) = (None, BTreeMap::new());
                for index in seen {
                    let observation = (0, 1, "10", USED[history[index]]);
                    // A crash after deciding and before recording: the same observation decides the same ids.
                    let forgotten = observe(&mut state.clone(), observation);
                    let due = observe(&mut state, observation);
                    assert_eq!(forgotten, due);
                    for signal in due {
                        assert!(recorded.insert(signal.threshold_percent, signal.id).is_none());
                    }
                }
                assert_eq!(recorded.into_keys().collect::<Vec<_>>(), expect, "{history:?} {mask:b}");
            }
        }
    }
}

mod validity {
    use super::*;

    fn check(change: impl FnOnce(&mut Limit), expect: Option<&str>) {
        let mut limit = limit("10");
        change(&mut limit);
        assert_eq!(check_features(&[limit], &[]).err().map(|e| e.field).as_deref(), expect);
    }

    #[test]
    fn a_wrong_limit_names_its_field() {
        check(|_| {}, None);
        check(|l| l.amount = Decimal::ZERO, None);
        check(|l| l.amount = decimal("-0.1"), Some("/limits/0/amount"));
        check(|l| l.amount = decimal("1234567890123456789012345"), Some("/limits/0/amount"));
        check(|l| l.amount = decimal("99999999999999999999.9999"), None);
        check(|l| l.amount = decimal("100000000000000000000"), Some("/limits/0/amount"));
        check(|l| l.amount = decimal("0.0000000000000000001"), Some("/limits/0/amount"));
        check(|l| l.thresholds_percent = vec![0], Some("/limits/0/thresholds_percent"));
        check(|l| l.thresholds_percent = vec![1001], Some("/limits/0/thresholds_percent"));
        check(|l| l.thresholds_percent = vec![50; 11], Some("/limits/0/thresholds_percent"));
        check(|l| l.thresholds_percent = vec![], None);
        check(|l| l.stale_after_seconds = Some(0), Some("/limits/0/stale_after_seconds"));
        let fixed = StaticEntitlement { feature: limit("1").feature, value: StaticValue::Boolean(true) };
        let twice = check_features(&[limit("1")], std::slice::from_ref(&fixed)).expect_err("twice");
        assert_eq!(twice.field, "/entitlements/0/feature");
        assert_eq!(check_features(&[limit("1"), limit("2")], &[]).expect_err("twice").field, "/limits/1/feature");
        assert!(check_features(&[], &[fixed]).is_ok());
    }

    #[test]
    fn a_threshold_s_amount_is_exact() {
        for (amount, percent, expect) in [
            ("10", 80, "8"),
            ("0.000000000000000001", 33, "0.00000000000000000033"),
            ("999999999999999999999999", 999, "9989999999999999999999990.01"),
            ("99999999999999999999.9999", 1000, "999999999999999999999.999"),
            ("7", 1, "0.07"),
            ("1.10", 50, "0.55"),
        ] {
            assert_eq!(limit(amount).threshold_amount(percent), decimal(expect), "{percent} % of {amount}");
        }
    }

    #[test]
    fn a_limit_in_json_has_defaults_and_keeps_its_digits() {
        let short: Limit =
            serde_json::from_str(r#"{"feature":"tokens","meter":"tokens_in","amount":1000}"#).expect("reads");
        assert_eq!((short.kind, short.period), (LimitKind::Hard, LimitPeriod::Billing));
        assert_eq!(short.thresholds_percent, [80, 100]);
        let long = Limit { amount: decimal("123456789.123456789123"), ..short };
        let text = serde_json::to_string(&long).expect("writes");
        assert!(text.contains(r#""amount":"123456789.123456789123""#), "{text}");
        assert_eq!(serde_json::from_str::<Limit>(&text).expect("reads"), long);
        let typo = serde_json::from_str::<Limit>(r#"{"feature":"a","meter":"b","amount":"1","kynd":"soft"}"#);
        assert!(typo.expect_err("unknown field").to_string().contains("kynd"));
        assert!(serde_json::from_str::<Limit>(r#"{"feature":"a","meter":"b","amount":true}"#).is_err());
    }

    #[test]
    fn a_fixed_value_reads_back() {
        for text in ["true", "25", "0.000000000000000001", "\"eu-west\""] {
            let value: StaticValue = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&value).expect("writes"), text);
        }
        for text in ["null", "[]", "{}", "1e308", "\"a\\u0000\""] {
            assert!(serde_json::from_str::<StaticValue>(text).is_err(), "{text}");
        }
    }
}

mod totals {
    use super::*;
    use crate::event::Identity;

    fn full() -> TotalRecord {
        TotalRecord {
            tenant: TenantId::parse("acme").expect("a key"),
            meter: MeterKey::parse("tokens_in").expect("a key"),
            meter_version: 1,
            bucket: at("2026-10-01T00:15:00Z"),
            partition: 3,
            epoch: 7,
            offset: 4711,
            logged_at: at("2026-10-01T00:16:02.123456Z"),
            count: 2,
            sum: Some(decimal("123456789.123456789123")),
            max: Some(decimal("100000000")),
            min: Some(decimal("23456789.123456789123")),
            latest: Some(LatestValue {
                time: at("2026-10-01T00:15:59.5Z"),
                identity: Identity(0xabc),
                value: decimal("100000000"),
            }),
            new_uniques: vec![Identity(1), Identity(u128::MAX)],
            is_whole: false,
        }
    }

    #[test]
    fn a_record_reads_back_and_what_a_meter_lacks_is_absent() {
        let bytes = full().encode().expect("encodes");
        assert_eq!(TotalRecord::decode(&bytes).expect("decodes"), full());
        let count = TotalRecord { sum: None, max: None, min: None, latest: None, new_uniques: vec![], ..full() };
        let text = String::from_utf8(count.encode().expect("encodes")).expect("is text");
        assert!(!text.contains("null") && !text.contains("sum"), "{text}");
        assert_eq!(TotalRecord::decode(text.as_bytes()).expect("decodes"), count);
        assert!(TotalRecord::decode(b"{}").is_err());
        assert_eq!(full().key(), "acme/tokens_in");
    }

    #[test]
    fn every_stored_version_stays_readable() {
        let golden = include_str!("../../../../schemas/golden/totals.v1.json");
        assert_eq!(TotalRecord::decode(golden.as_bytes()).expect("decodes"), full());
    }
}

mod signals_on_the_topic {
    use super::*;

    #[test]
    fn every_stored_version_stays_readable_and_is_written_the_same() {
        let golden = include_str!("../../../../schemas/golden/quota-signal.v1.json");
        let signal = Signal::from_cloud_event(golden.as_bytes()).expect("reads");
        assert_eq!((signal.kind, signal.used), (SignalKind::Exceeded, decimal("10000.5")));
        let written: serde_json::Value =
            serde_json::from_slice(&signal.cloud_event().expect("writes")).expect("is JSON");
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(golden).expect("is JSON"));
        assert!(Signal::from_cloud_event(b"{\"specversion\":\"1.0\"}").is_err());
        assert!(Signal::from_cloud_event(b"\xff").is_err());
    }
}
