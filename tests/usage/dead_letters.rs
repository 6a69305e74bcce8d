//! Dead letters are found by tenant and place, come back byte for byte, and know when they were sent again.

use super::support::{at, own, tenant};
use chrono::Duration;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::dead_letters::{
    DeadLetterFilter, DeadLetterScope, RecordPlace, get, list, mark_resubmitted,
};
use talea_platform::usage::fence::take;
use talea_platform::usage::insert::{Table, statement};
use talea_platform::usage::recovery::stored_since;
use talea_platform::usage::rows::{DeadLetter, encode_dead_letter};

fn letter(tenant_id: &str, offset: u64) -> DeadLetter {
    DeadLetter {
        tenant_id: tenant_id.to_owned(),
        topic: "talea.usage.v1".to_owned(),
        partition: 0,
        offset,
        source: "app".to_owned(),
        id: format!("e{offset}"),
        identity: u128::MAX - u128::from(offset),
        event_type: "api.call".to_owned(),
        reason: if offset.is_multiple_of(2) { "malformed" } else { "too_late" }.to_owned(),
        field: "/data/tokens".to_owned(),
        detail: "it's \\ broken?".to_owned(),
        way_out: "mend it".to_owned(),
        payload: vec![0, 255, 39, 92, 10, 128],
        headers: vec![("ce_id".to_owned(), vec![0xff, 0]), ("x".to_owned(), Vec::new())],
        log_time: at("2026-03-01T00:00:00Z") + Duration::seconds(offset as i64 / 3),
        epoch: 1,
        resubmitted_at: None,
    }
}

pub async fn dead_letters_are_listed_and_marked(clickhouse: &ClickHouse) {
    let fence = own(0, 1);
    take(clickhouse, &fence).await.expect("taken");
    let letters: Vec<DeadLetter> = (0..50).map(|n| letter(if n % 5 == 0 { "" } else { "acme" }, n)).collect();
    for attempt in 0..2 {
        // A replay stores the same records again.
        let mut body = Vec::new();
        letters.iter().for_each(|letter| encode_dead_letter(&mut body, letter));
        let id = fence.query_id(Table::DeadLetters, attempt);
        clickhouse.insert_whole(&statement(Table::DeadLetters, &fence), body.into(), &id).await.expect("stored");
    }
    let acme = tenant("acme");
    let scope = DeadLetterScope::Tenant(&acme);
    let mut filter = DeadLetterFilter { limit: 7, ..DeadLetterFilter::default() };
    let mut listed = Vec::new();
    loop {
        filter.after = listed.last().map(|letter: &DeadLetter| (letter.log_time, letter.place()));
        let page = list(clickhouse, scope, &filter).await.expect("a page");
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    let expect: Vec<DeadLetter> = letters.iter().rev().filter(|letter| letter.tenant_id == "acme").cloned().collect();
    assert_eq!(listed, expect);
    let all = DeadLetterFilter { limit: 100, ..DeadLetterFilter::default() };
    assert_eq!(list(clickhouse, DeadLetterScope::All, &all).await.expect("all").len(), 50);

    let place = RecordPlace { topic: "talea.usage.v1".to_owned(), partition: 0, offset: 7 };
    assert_eq!(get(clickhouse, scope, &place).await.expect("one"), Some(letters[7].clone()));
    let nobodys = RecordPlace { offset: 5, ..place.clone() };
    assert_eq!(get(clickhouse, scope, &nobodys).await.expect("none"), None);
    assert!(get(clickhouse, DeadLetterScope::All, &nobodys).await.expect("one").is_some());
    let beta = tenant("beta");
    assert_eq!(get(clickhouse, DeadLetterScope::Tenant(&beta), &place).await.expect("none"), None);

    let when = at("2026-03-05T10:00:00.123456Z");
    mark_resubmitted(clickhouse, DeadLetterScope::Tenant(&beta), &place, when).await.expect("nothing to mark");
    assert_eq!(get(clickhouse, scope, &place).await.expect("one").expect("one").resubmitted_at, None);
    mark_resubmitted(clickhouse, scope, &place, when).await.expect("marked");
    let marked = get(clickhouse, scope, &place).await.expect("one").expect("one");
    assert_eq!(marked, DeadLetter { resubmitted_at: Some(when), ..letters[7].clone() });
    let open = DeadLetterFilter { open_only: true, reason: Some("too_late".to_owned()), limit: 100, after: None };
    let open = list(clickhouse, scope, &open).await.expect("open");
    assert!(open.iter().all(|letter| letter.reason == "too_late" && letter.offset != 7));
    assert_eq!(open.len(), expect.iter().filter(|letter| letter.reason == "too_late").count() - 1);

    let stored = stored_since(clickhouse, "talea.usage.v1", 0, 40).await.expect("read");
    assert_eq!(stored.dead_letters.iter().map(|at| at.offset).collect::<Vec<_>>(), (40..50).collect::<Vec<_>>());
}
