use super::*;
use talea_domain::entitlement::StaticValue;
use talea_domain::id::TenantId;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn plan(version: u32, limits: &str) -> Arc<PlanVersion> {
    let text = format!(
        r#"{{"key":"free","version":{version},"name":"Free","prices":[],"limits":[{limits}],
            "entitlements":[{{"feature":"sso","value":false}},{{"feature":"v{version}","value":true}}]}}"#
    );
    Arc::new(serde_json::from_str(&text).expect("a plan"))
}

fn limit(feature: &str, period: &str) -> String {
    format!(r#"{{"feature":"{feature}","meter":"tokens","amount":"10","period":"{period}"}}"#)
}

fn subscription(start: &str, end: Option<&str>, zone: &str) -> Subscription {
    Subscription {
        id: "sub_1".parse().expect("a key"),
        tenant: TenantId::parse("acme").expect("a key"),
        plan: "free".parse().expect("a key"),
        plan_version: 1,
        currency: "USD".parse().expect("a currency"),
        zone: zone.parse().expect("a zone"),
        calendar: talea_domain::period::Alignment::Calendar,
        interval: talea_domain::period::Interval::MONTHLY,
        anchor_day: 1,
        started_at: at(start),
        ended_at: end.map(at),
        quantities: Default::default(),
        trial: None,
        changes: Vec::new(),
    }
}

fn check(period: &str, zone: &str, start: &str, now: &str, expect: (&str, &str)) {
    let terms = Terms {
        subscriptions: vec![(subscription(start, None, zone), vec![plan(1, &limit("tokens", period))])],
        ..Terms::default()
    };
    let features = terms.features(at(now)).expect("in range");
    let Some(Feature::Metered(metered)) = features.by_key.get(&FeatureKey::parse("tokens").expect("a key")) else {
        panic!("no limit")
    };
    assert_eq!(metered.period, Period::new(at(expect.0), at(expect.1)), "{period} {zone} {now}");
    assert_eq!(features.valid_until, at(expect.1));
}

#[test]
fn the_running_period_is_in_the_tenant_s_zone_from_its_start_on_and_in_whole_buckets() {
    let early = "2026-01-01T00:00:00Z";
    check("month", "UTC", early, "2026-10-31T23:59:59Z", ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"));
    check("month", "UTC", early, "2026-11-01T00:00:00Z", ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"));
    check("billing", "Europe/Berlin", early, "2026-10-20T00:00:00Z", ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"));
    check("day", "Asia/Kathmandu", early, "2026-10-20T00:00:00Z", ("2026-10-19T18:15:00Z", "2026-10-20T18:15:00Z"));
    check("hour", "Asia/Kathmandu", early, "2026-10-20T00:20:00Z", ("2026-10-20T00:15:00Z", "2026-10-20T01:15:00Z"));
    check(
        "month",
        "UTC",
        "2026-10-05T10:07:13Z",
        "2026-10-06T00:00:00Z",
        ("2026-10-05T10:00:00Z", "2026-11-01T00:00:00Z"),
    );
}

#[test]
fn a_tenant_has_the_features_of_its_running_subscriptions_and_the_later_one_holds() {
    let first = subscription("2026-01-01T00:00:00Z", Some("2026-06-01T00:00:00Z"), "UTC");
    let second = Subscription {
        id: "sub_2".parse().expect("a key"),
        plan_version: 2,
        ..subscription("2026-03-01T00:00:00Z", None, "UTC")
    };
    let terms = Terms {
        subscriptions: vec![
            (second, vec![plan(2, &limit("tokens", "month"))]),
            (first, vec![plan(1, &format!("{},{}", limit("tokens", "month"), limit("calls", "day")))]),
        ],
        ..Terms::default()
    };
    let versions = |now: &str| {
        let features = terms.features(at(now)).expect("in range");
        let named = features.by_key.into_iter().map(|(key, feature)| match feature {
            Feature::Static(fixed) => format!("{key}={}", fixed.value == StaticValue::Boolean(true)),
            Feature::Metered(metered) => format!("{key}:{}", metered.limit_version),
        });
        (named.collect::<Vec<_>>().join(" "), features.valid_until)
    };
    assert_eq!(versions("2025-12-31T23:59:59Z"), (String::new(), at("2026-01-01T00:00:00Z")));
    assert_eq!(versions("2026-02-28T12:00:00Z").0, "calls:free@1 sso=false tokens:free@1 v1=true");
    assert_eq!(versions("2026-02-28T12:00:00Z").1, at("2026-03-01T00:00:00Z"));
    assert_eq!(versions("2026-03-01T00:00:00Z").0, "calls:free@1 sso=false tokens:free@2 v1=true v2=true");
    assert_eq!(versions("2026-06-01T00:00:00Z").0, "sso=false tokens:free@2 v2=true");
}

#[test]
fn a_tenant_s_own_amount_replaces_the_plan_s_and_is_another_version() {
    let feature = FeatureKey::parse("tokens").expect("a key");
    let own = LimitChanged {
        tenant_id: TenantId::parse("acme").expect("a key"),
        feature: feature.clone(),
        amount: 99.into(),
        version: 2,
        changed_at: at("2026-02-01T00:00:00Z"),
    };
    let terms = Terms {
        subscriptions: vec![(
            subscription("2026-01-01T00:00:00Z", None, "UTC"),
            vec![plan(1, &limit("tokens", "month"))],
        )],
        own_limits: [(feature.clone(), own)].into(),
    };
    let features = terms.features(at("2026-02-02T00:00:00Z")).expect("in range");
    let Some(Feature::Metered(metered)) = features.by_key.get(&feature) else { panic!("no limit") };
    assert_eq!((metered.limit.amount, metered.limit_version.as_str()), (99.into(), "free@1+2"));
}

#[test]
fn a_changed_subscription_has_the_features_of_its_plan_at_the_time() {
    let mut changed = subscription("2026-01-01T00:00:00Z", None, "UTC");
    let text = r#"[{"at":"2026-02-10T00:00:00Z","charged_from":"2026-03-01T00:00:00Z","proration":"none",
        "recorded_at":"2026-02-01T00:00:00Z","what":{"type":"plan_changed","plan":"free","plan_version":2,
        "interval":{"unit":"month","every":1}}}]"#;
    changed.changes = serde_json::from_str(text).expect("a change");
    let versions = vec![plan(1, &limit("tokens", "month")), plan(2, &limit("tokens", "month"))];
    let terms = Terms { subscriptions: vec![(changed, versions)], ..Terms::default() };
    let version = |now: &str| {
        let features = terms.features(at(now)).expect("in range");
        match &features.by_key[&FeatureKey::parse("tokens").expect("a key")] {
            Feature::Metered(metered) => (metered.limit_version.clone(), features.valid_until),
            Feature::Static(_) => panic!("no limit"),
        }
    };
    // Its limits change with it, whenever its charge does.
    assert_eq!(version("2026-02-09T23:59:59Z"), ("free@1".to_owned(), at("2026-02-10T00:00:00Z")));
    assert_eq!(version("2026-02-10T00:00:00Z").0, "free@2");
}
