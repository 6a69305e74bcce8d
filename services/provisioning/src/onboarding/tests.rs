use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn request() -> Onboarding {
    let text = r#"{"tenant_id":"acme","name":"Acme GmbH","zone":"Europe/Berlin","plan":"free","currency":"EUR",
        "keys":[{"label":"app","scopes":["ingest","read"]}]}"#;
    serde_json::from_str(text).expect("a request")
}

fn plan() -> PlanVersion {
    serde_json::from_str(r#"{"key":"free","version":3,"name":"Free","prices":[]}"#).expect("a plan")
}

/// What carrying the request out leaves behind.
fn onboarded(request: &Onboarding) -> Existing {
    let key = |wanted: &WantedKey| {
        let id = ApiKeyId::parse(&prefixed("key", key_bits(&request.tenant_id, &wanted.label))).expect("a key");
        (id, wanted.clone())
    };
    Existing {
        zone: request.zone,
        party: Some(request.party()),
        subscription: Some(request.subscribe(&plan(), at("2026-10-05T10:00:00.123456789Z")).expect("starts")),
        keys: request.keys.iter().map(key).collect(),
    }
}

#[test]
fn a_repeated_request_does_not_differ_and_another_names_its_field() {
    fn check(change: impl FnOnce(&mut Onboarding), expect: Option<&str>) {
        let mut again = request();
        change(&mut again);
        assert_eq!(again.difference(&onboarded(&request())), expect, "{again:?}");
    }
    check(|_| {}, None);
    check(|r| r.plan_version = Some(3), None);
    check(|r| r.keys[0].scopes.reverse(), None);
    check(|r| r.start_at = Some(at("2026-10-05T10:00:00.123456Z")), None);
    check(|r| r.zone = chrono_tz::Tz::UTC, Some("/zone"));
    check(|r| r.name = "Acme AG".into(), Some("/bill_to"));
    check(|r| r.plan = "pro".parse().expect("a key"), Some("/plan"));
    check(|r| r.plan_version = Some(2), Some("/plan_version"));
    check(|r| r.currency = "USD".parse().expect("a currency"), Some("/currency"));
    check(|r| r.start_at = Some(at("2026-10-01T00:00:00Z")), Some("/start_at"));
    check(|r| r.calendar = Some(Alignment::Anniversary), Some("/calendar"));
    check(|r| r.keys[0].scopes = vec![Scope::Admin], Some("/keys"));
    check(|r| r.keys[0].label = "other".into(), Some("/keys"));
}

#[test]
fn what_changed_by_itself_later_is_no_difference() {
    let mut existing = onboarded(&request());
    existing.party = None;
    if let Some(subscription) = &mut existing.subscription {
        subscription.ended_at = Some(at("2026-12-01T00:00:00Z"));
    }
    existing
        .keys
        .push((ApiKeyId::parse("key_later").expect("a key"), WantedKey { label: "later".into(), scopes: vec![] }));
    assert_eq!(request().difference(&existing), None);
}

#[test]
fn a_tenant_without_its_onboarding_subscription_is_another() {
    let existing = Existing { subscription: None, ..onboarded(&request()) };
    assert_eq!(request().difference(&existing), Some("/plan"));
}

#[test]
fn a_faulty_request_names_every_field() {
    let mut faulty = request();
    faulty.name = " ".into();
    faulty.keys.push(WantedKey { label: "app".into(), scopes: vec![] });
    faulty.bill_to = Some(Party { country: Some("Germany".into()), ..Party::named("Acme") });
    let fields: Vec<String> = faulty.check().expect_err("faulty").into_iter().map(|error| error.field).collect();
    assert_eq!(fields, ["/name", "/bill_to/country", "/keys/1/scopes", "/keys/1/label"]);
    assert_eq!(request().check(), Ok(()));
    let many = Onboarding {
        keys: (0..21).map(|n| WantedKey { label: n.to_string(), scopes: vec![Scope::Read] }).collect(),
        ..request()
    };
    assert_eq!(many.check().expect_err("too many")[0].field, "/keys");
}

#[test]
fn the_subscription_starts_as_asked_and_its_id_follows_from_the_tenant() {
    let now = at("2026-10-05T10:00:00Z");
    let subscription = request().subscribe(&plan(), now).expect("starts");
    assert_eq!((subscription.started_at, subscription.ended_at, subscription.plan_version), (now, None, 3));
    let past = Onboarding {
        start_at: Some(at("2023-11-01T00:00:00Z")),
        end_at: Some(at("2023-12-01T00:00:00Z")),
        ..request()
    };
    let subscription = past.subscribe(&plan(), now).expect("starts in the past");
    assert_eq!(subscription.started_at, at("2023-11-01T00:00:00Z"));
    assert_eq!(subscription.ended_at, Some(at("2023-12-01T00:00:00Z")));
    assert_eq!(subscription.id, subscription_id(&past.tenant_id));
    let backwards = Onboarding { start_at: past.end_at, end_at: past.start_at, ..request() };
    assert!(
        matches!(backwards.subscribe(&plan(), now), Err(SubscriptionError::Field(error)) if error.field == "/end_at")
    );
}

#[test]
fn a_request_without_keys_makes_one_that_sends_and_reads() {
    let text = r#"{"tenant_id":"acme","name":"Acme","zone":"UTC","plan":"free","currency":"USD"}"#;
    let request: Onboarding = serde_json::from_str(text).expect("a request");
    assert_eq!(request.keys, default_keys());
    let typo = text.replace("\"zone\"", "\"timezone\"");
    assert!(serde_json::from_str::<Onboarding>(&typo).expect_err("unknown field").to_string().contains("timezone"));
}
