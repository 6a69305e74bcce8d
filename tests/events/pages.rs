//! Cursor pages tile: every row once, in order, while new rows arrive.

use super::OCTOBER;
use crate::harness::{LogChoice, Stage, TestServer, event};
use serde_json::Value;

/// Every row of a list, page by page.
async fn all(server: &TestServer, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut asked = query.to_vec();
        if let Some(cursor) = &cursor {
            asked.push(("cursor", cursor));
        }
        let page = server.get(path, &asked).await.ok();
        rows.extend(page["data"].as_array().expect("a list").iter().cloned());
        assert!(rows.len() < 1000, "the pages do not end");
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return rows,
        }
    }
}

fn sorted(rows: &[Value], key: impl Fn(&Value) -> String) -> Vec<String> {
    let mut keys: Vec<String> = rows.iter().map(key).collect();
    keys.sort();
    keys
}

pub async fn every_list_is_paged_without_gap_or_repeat(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let hour = |n: u64| format!("2026-10-14T{:02}:30:00Z", n % 24);
    let good = (0..50).map(|n| event("acme", &format!("{n:02}")).tokens(n).at(&hour(n)));
    let bad = (0..25).map(|n| event("nobody", &format!("{n:02}")));
    server.count(&good.chain(bad).collect::<Vec<_>>()).await;

    for limit in ["1", "7", "50", "1000"] {
        let events = all(&server, "/v1/events", &[("tenant_id", "acme"), ("limit", limit)]).await;
        let expected: Vec<String> = (0..50).map(|n| format!("{n:02}")).collect();
        assert_eq!(sorted(&events, |event| event["id"].as_str().expect("text").to_owned()), expected, "limit {limit}");

        let letters = all(&server, "/v1/dead-letters", &[("limit", limit)]).await;
        let places = sorted(&letters, |letter| letter["place"].as_str().expect("text").to_owned());
        assert_eq!(places.len(), 25);
        assert!(places.windows(2).all(|pair| pair[0] != pair[1]), "a dead letter twice with limit {limit}");

        let query = [
            ("tenant_id", "acme"),
            ("meter", "tokens"),
            ("from", OCTOBER.0),
            ("to", OCTOBER.1),
            ("window", "hour"),
            ("limit", limit),
        ];
        let windows = all(&server, "/v1/usage", &query).await;
        let sum: u64 = windows.iter().filter_map(|row| row["value"].as_str()?.parse::<u64>().ok()).sum();
        assert_eq!(sum, 1225, "limit {limit}");
        assert!(windows.windows(2).all(|pair| pair[0]["window_start"].as_str() < pair[1]["window_start"].as_str()));
    }
    for (name, value) in [("limit", "0"), ("limit", "1001"), ("limit", "x"), ("cursor", "zz"), ("cursor", "7b")] {
        for path in ["/v1/events", "/v1/dead-letters"] {
            let answer = server.get(path, &[("tenant_id", "acme"), (name, value)]).await;
            assert_eq!(answer.status, 400, "{path} {name}={value}: {}", answer.text);
        }
    }
}
