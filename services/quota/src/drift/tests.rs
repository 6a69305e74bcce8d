use super::*;
use talea_domain::meter::MeterDefinition;

const START: &str = "2026-10-01T00:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn acme() -> TenantId {
    TenantId::parse("acme").expect("a key")
}

fn meter() -> MeterDefinition {
    let text = r#"{"key":"tokens_in","version":1,"event_type":"completion","aggregation":"sum","field":"/tokens",
        "created_at":"2026-01-01T00:00:00Z"}"#;
    serde_json::from_str(text).expect("a meter")
}

fn total(offset: u64, sum: i64) -> Total {
    let partial = Partial { count: 1, sum: Some(sum.into()), ..Partial::default() };
    Total { epoch: 1, offset, partial, is_whole: false }
}

fn row(total: Total) -> (TenantId, MeterKey, Place, Total) {
    (acme(), meter().key, (at(START), 0), total)
}

/// A book with this live total, loaded.
fn book(live: Option<Total>) -> Book {
    let plan = r#"{"key":"free","version":1,"name":"Free","prices":[],
        "limits":[{"feature":"tokens","meter":"tokens_in","amount":"10","period":"month"}]}"#;
    let subscription = r#"{"id":"sub_1","tenant":"acme","plan":"free","plan_version":1,"currency":"USD","zone":"UTC",
        "calendar":"calendar","interval":{"unit":"month","every":1},"anchor_day":1,"started_at":"2026-01-01T00:00:00Z"}"#;
    let terms = crate::terms::Terms {
        subscriptions: vec![(
            serde_json::from_str(subscription).expect("a subscription"),
            vec![Arc::new(serde_json::from_str(plan).expect("a plan"))],
        )],
        ..Default::default()
    };
    let mut book = Book::default();
    book.set_meters([meter()]);
    book.set_terms(&acme(), terms, at("2026-10-10T00:00:00Z")).expect("in range");
    book.load(&[meter()], at(START), live.map(row).into_iter().collect(), at("2026-10-10T00:00:00Z"));
    book
}

/// Compares twice: first with `before` live and stored, then with `after`. Answers how many drifted.
fn check(before: (Option<Total>, Option<Total>), after: (Option<Total>, Option<Total>), expect: usize) {
    let stored = |total: &Option<Total>| total.clone().map(row).into_iter().collect();
    let (first, suspects) = compare(&book(before.0.clone()), stored(&before.1), &Suspects::new(), at(START));
    assert_eq!(first, [], "one comparison alone proves nothing");
    let (second, _) = compare(&book(after.0.clone()), stored(&after.1), &suspects, at(START));
    assert_eq!(second.len(), expect, "{before:?} then {after:?}");
    if let Some(drift) = second.first() {
        assert_eq!(drift.stored, after.1, "healed with what the store says now");
    }
}

#[test]
fn a_difference_counts_when_the_live_total_stands_still() {
    let some = |offset, sum| Some(total(offset, sum));
    // Equal, whatever the offsets.
    check((some(5, 7), some(5, 7)), (some(5, 7), some(5, 7)), 0);
    // The store was ahead for a moment; the record has come.
    check((some(5, 7), some(6, 9)), (some(6, 9), some(6, 9)), 0);
    // It never came.
    check((some(5, 7), some(6, 9)), (some(5, 7), some(6, 9)), 1);
    check((some(5, 7), some(6, 9)), (some(5, 7), some(8, 20)), 1);
    check((None, some(6, 9)), (None, some(6, 9)), 1);
    check((None, some(6, 9)), (some(6, 9), some(6, 9)), 0);
    // The live total says more than was ever stored.
    check((some(5, 7), None), (some(5, 7), None), 1);
    check((some(5, 8), some(5, 7)), (some(5, 8), some(5, 7)), 1);
    // Still moving: looked at again next time.
    check((some(5, 7), some(6, 9)), (some(7, 11), some(8, 12)), 0);
}
