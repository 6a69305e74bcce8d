use super::*;
use crate::live::Place;
use chrono::Duration;
use std::sync::Arc;
use talea_domain::entitlement::{LimitChanged, SignalKind};
use talea_domain::meter::Partial;
use talea_domain::subscription::Subscription;

const OCTOBER: &str = "2026-10-10T00:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn acme() -> TenantId {
    TenantId::parse("acme").expect("a key")
}

fn tokens() -> FeatureKey {
    FeatureKey::parse("tokens").expect("a key")
}

fn meter() -> MeterDefinition {
    let text = r#"{"key":"tokens_in","version":1,"event_type":"completion","aggregation":"sum","field":"/tokens",
        "created_at":"2026-01-01T00:00:00Z"}"#;
    serde_json::from_str(text).expect("a meter")
}

fn terms(own_amount: Option<(u32, i64)>) -> Terms {
    let plan = r#"{"key":"free","version":1,"name":"Free","prices":[],
        "limits":[{"feature":"tokens","meter":"tokens_in","amount":"10","period":"month"}]}"#;
    let subscription: Subscription = serde_json::from_str(
        r#"{"id":"sub_1","tenant":"acme","plan":"free","plan_version":1,"currency":"USD","zone":"UTC","calendar":"calendar",
            "interval":{"unit":"month","every":1},"anchor_day":1,"started_at":"2026-01-01T00:00:00Z"}"#,
    )
    .expect("a subscription");
    let own = own_amount.map(|(version, amount)| LimitChanged {
        tenant_id: acme(),
        feature: tokens(),
        amount: amount.into(),
        version,
        changed_at: at(OCTOBER),
    });
    Terms {
        subscriptions: vec![(subscription, vec![Arc::new(serde_json::from_str(plan).expect("a plan"))])],
        own_limits: own.into_iter().map(|own| (own.feature.clone(), own)).collect(),
    }
}

fn record(epoch: u64, offset: u64, partition: u32, bucket: &str, sum: i64) -> TotalRecord {
    TotalRecord {
        tenant: acme(),
        meter: meter().key,
        meter_version: 1,
        bucket: at(bucket),
        partition,
        epoch,
        offset,
        logged_at: at(OCTOBER),
        count: 1,
        sum: Some(sum.into()),
        max: None,
        min: None,
        latest: None,
        new_uniques: vec![],
        is_whole: false,
    }
}

fn stored(epoch: u64, offset: u64, bucket: &str, sum: i64) -> (TenantId, MeterKey, Place, Total) {
    let partial = Partial { count: 1, sum: Some(sum.into()), ..Partial::default() };
    (acme(), meter().key, (at(bucket), 0), Total { epoch, offset, partial, is_whole: false })
}

/// A book that knows one tenant with a limit of 10 tokens a month, and has loaded nothing yet.
fn book() -> Book {
    let mut book = Book::default();
    book.set_meters([meter()]);
    book.set_terms(&acme(), terms(None), at(OCTOBER)).expect("in range");
    book
}

fn loaded(stored: Vec<(TenantId, MeterKey, Place, Total)>) -> Book {
    let mut book = book();
    let (meters, since) = book.unloaded().expect("waits for its totals");
    book.load(&meters, since, stored, at(OCTOBER));
    assert_eq!(book.unloaded(), None);
    book
}

fn used(book: &Book, now: &str) -> Option<Decimal> {
    match book.ask(&acme(), &tokens(), at(now)).expect("in range") {
        Known::Feature { used, .. } => used,
        Known::Nothing => panic!("the feature is not known"),
    }
}

/// Takes what is due and records it, as the worker does.
fn record_due(book: &mut Book) -> Vec<String> {
    let due = book.due(100);
    due.iter().for_each(|signal| book.recorded(signal));
    due.iter().map(|signal| format!("{} {}", signal.kind.as_str(), signal.threshold_percent)).collect()
}

#[test]
fn nothing_is_said_of_a_use_whose_stored_part_is_not_loaded() {
    let mut book = book();
    assert!(!book.apply(&record(1, 5, 0, "2026-10-10T00:00:00Z", 99), at(OCTOBER)));
    assert_eq!((used(&book, OCTOBER), book.due(9)), (None, vec![]));
    let (meters, since) = book.unloaded().expect("waits for its totals");
    assert_eq!(since, at("2026-10-01T00:00:00Z"));
    // What the store knows is older than the live total of one bucket, and all there is of another.
    book.load(
        &meters,
        since,
        vec![stored(1, 4, "2026-10-10T00:00:00Z", 50), stored(1, 1, "2026-10-02T00:00:00Z", 1)],
        at(OCTOBER),
    );
    assert_eq!(used(&book, OCTOBER), Some(100.into()));
    assert_eq!(record_due(&mut book), ["warning 80", "exceeded 100"]);
}

#[test]
fn a_load_from_too_late_on_leaves_the_totals_waiting() {
    let mut book = book();
    book.load(&[meter()], at("2026-10-05T00:00:00Z"), vec![], at(OCTOBER));
    assert!(book.unloaded().is_some());
}

#[test]
fn a_crossing_is_due_until_it_is_recorded_and_then_never_again() {
    let mut book = loaded(vec![]);
    let bucket = "2026-10-10T00:00:00Z";
    assert!(!book.apply(&record(1, 1, 0, bucket, 7), at(OCTOBER)));
    assert!(book.apply(&record(1, 2, 0, bucket, 8), at(OCTOBER)));
    let first = book.due(9);
    assert_eq!(first.len(), 1);
    // The worker failed to append: the same signal, to the id and the time, is due again.
    assert_eq!(book.due(9), first);
    assert_eq!(first[0].event_time_of_cause, Some(at(OCTOBER)));
    assert_eq!(record_due(&mut book), ["warning 80"]);
    assert!(!book.apply(&record(1, 3, 0, bucket, 9), at(OCTOBER)));
    assert!(book.apply(&record(1, 4, 1, bucket, 5), at(OCTOBER)));
    assert_eq!(record_due(&mut book), ["exceeded 100"]);
    assert_eq!(record_due(&mut book), Vec::<String>::new());
}

#[test]
fn after_a_restart_only_what_was_not_recorded_is_due() {
    let mut before = loaded(vec![stored(1, 1, "2026-10-10T00:00:00Z", 8)]);
    let recorded = before.due(9);
    assert_eq!(recorded.len(), 1);
    // The next process finds the recorded signal in the projection, and more use in the store.
    let mut after = Book::default();
    after.set_meters([meter()]);
    recorded.iter().for_each(|signal| after.recorded(signal));
    after.set_terms(&acme(), terms(None), at(OCTOBER)).expect("in range");
    let (meters, since) = after.unloaded().expect("waits for its totals");
    after.load(&meters, since, vec![stored(1, 9, "2026-10-10T00:00:00Z", 12)], at(OCTOBER));
    assert_eq!(record_due(&mut after), ["exceeded 100"]);
}

#[test]
fn a_new_period_resets_by_the_clock_alone() {
    let mut book = loaded(vec![stored(1, 1, "2026-10-10T00:00:00Z", 10)]);
    assert_eq!(record_due(&mut book), ["warning 80", "exceeded 100"]);
    // A total of next month arrives early, as the log allows.
    book.apply(&record(1, 2, 0, "2026-11-01T00:00:00Z", 3), at(OCTOBER));
    assert_eq!(used(&book, "2026-10-31T23:59:59Z"), Some(10.into()));
    // A check sees the new period also before the tick.
    assert_eq!(used(&book, "2026-11-01T00:00:00Z"), Some(3.into()));
    assert_eq!(book.tick(at("2026-11-01T00:00:00Z")), []);
    assert_eq!(record_due(&mut book), ["reset 0"]);
    assert_eq!(used(&book, "2026-11-02T00:00:00Z"), Some(3.into()));
    // A test clock may jump far.
    assert_eq!(book.tick(at("2027-03-05T00:00:00Z")), []);
    assert_eq!(record_due(&mut book), Vec::<String>::new());
    assert_eq!(used(&book, "2027-03-05T00:00:00Z"), Some(Decimal::ZERO));
}

#[test]
fn a_raised_limit_is_signalled() {
    let mut book = loaded(vec![stored(1, 1, "2026-10-10T00:00:00Z", 10)]);
    record_due(&mut book);
    book.set_terms(&acme(), terms(Some((1, 1000))), at(OCTOBER)).expect("in range");
    let due = book.due(9);
    assert_eq!((due[0].kind, due[0].limit_version.as_str()), (SignalKind::Ok, "free@1+1"));
    assert_eq!(record_due(&mut book), ["ok 0"]);
}

#[test]
fn a_new_version_of_the_meter_starts_from_what_is_stored() {
    let mut book = loaded(vec![stored(1, 1, "2026-10-10T00:00:00Z", 5)]);
    book.set_meters([MeterDefinition { version: 2, ..meter() }]);
    book.set_terms(&acme(), terms(None), at(OCTOBER)).expect("in range");
    assert_eq!(used(&book, OCTOBER), None, "not known before it is loaded");
    assert_eq!(book.unloaded().expect("waits").0[0].version, 2);
    assert!(!book.apply(&record(1, 2, 0, OCTOBER, 9), at(OCTOBER)), "a total of the old version is passed over");
}

#[test]
fn what_is_unknown_is_nothing() {
    let book = loaded(vec![]);
    let other = TenantId::parse("other").expect("a key");
    let feature = FeatureKey::parse("seats").expect("a key");
    assert_eq!(book.ask(&other, &tokens(), at(OCTOBER)), Ok(Known::Nothing));
    assert_eq!(book.ask(&acme(), &feature, at(OCTOBER)), Ok(Known::Nothing));
    assert_eq!(book.features(&other, at(OCTOBER)), Ok(None));
    assert_eq!(book.features(&acme(), at(OCTOBER) + Duration::days(1)), Ok(Some(vec![tokens()])));
}

#[test]
fn a_tenant_whose_terms_cannot_be_counted_keeps_nobody_else_back() {
    let mut book = loaded(vec![stored(1, 1, "2026-10-10T00:00:00Z", 5)]);
    let other = TenantId::parse("another").expect("a key");
    book.set_terms(&other, terms(None), at(OCTOBER)).expect("in range");
    // Beyond the years that can be counted: each is named, and tried again.
    let far = DateTime::from_timestamp(250_000_000_000, 0).expect("in range of chrono");
    assert_eq!(book.tick(far).len(), 2);
    assert_eq!(book.tick(far).len(), 2);
    assert_eq!(book.tick(at("2026-11-01T00:00:00Z")), []);
    assert_eq!(used(&book, "2026-11-01T00:00:00Z"), Some(Decimal::ZERO));
}
