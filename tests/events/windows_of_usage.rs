//! The same answer from buckets and from every single event, before a bucket is recomputed and after.

use super::OCTOBER;
use crate::harness::{Event, LogChoice, Stage, TestServer, event, eventually};
use crate::usage::support::Dice;
use serde_json::{Value, json};

const METERS: [(&str, &str); 7] = [
    ("count", ""),
    ("sum", "/tokens"),
    ("max", "/tokens"),
    ("min", "/tokens"),
    ("avg", "/tokens"),
    ("latest", "/tokens"),
    ("unique_count", "/user"),
];
const QUESTIONS: [(&str, &str); 6] = [
    ("", "UTC"),
    ("hour", "Asia/Kathmandu"),
    ("day", "Asia/Kathmandu"),
    ("day", "America/St_Johns"),
    ("month", "Australia/Lord_Howe"),
    ("billing_range", "UTC"),
];

fn random_event(dice: &mut Dice, id: u64) -> Event {
    let (day, hour, minute, second) = (1 + dice.below(14), dice.below(24), dice.below(60), dice.below(60));
    let data = json!({
        "tokens": dice.below(1000), "user": format!("u{}", dice.below(20)), "model": dice.pick(&["small", "large", ""]),
    });
    event("acme", &id.to_string())
        .with("data", data)
        .at(&format!("2026-10-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// All answers to all questions, from one source.
async fn answers(server: &TestServer, source: &str) -> Vec<Vec<Value>> {
    let mut answers = Vec::new();
    for (aggregation, _) in METERS {
        for (window, zone) in QUESTIONS {
            let mut more = vec![("source", source), ("time_zone", zone), ("limit", "1000")];
            // A range whose ends lie inside buckets.
            let range =
                if window == "billing_range" { ("2026-10-03T07:07:07Z", "2026-10-09T22:01:59Z") } else { OCTOBER };
            match window {
                "" => more.push(("group_by", "model")),
                "billing_range" => more.push(("filter", "model:small,model:")),
                window => more.push(("window", window)),
            }
            answers.push(server.usage("acme", aggregation, range, &more).await);
        }
    }
    answers
}

pub async fn buckets_and_raw_events_agree_before_and_after_a_recompute(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant_in("acme", chrono_tz::Asia::Kathmandu).await;
    let server = stage.serve().await;
    for (aggregation, field) in METERS {
        let meter = json!({
            "key": aggregation, "event_type": "api.call", "aggregation": aggregation,
            "field": (!field.is_empty()).then_some(field), "dimensions": [{ "name": "model", "field": "/model" }],
        });
        server.post("/v1/meters", &meter).await.ok();
    }
    let mut dice = Dice(20_261_015);
    let first: Vec<_> = (0..400).map(|n| random_event(&mut dice, n)).collect();
    server.count(&first).await;
    let fresh = answers(&server, "raw").await;
    assert!(fresh.iter().all(|rows| !rows.is_empty()), "every question has an answer");
    assert_eq!(answers(&server, "auto").await, fresh, "while every bucket is dirty");

    recompute(&stage, &server, "2026-10-15T13:00:00Z").await;
    assert_eq!(answers(&server, "auto").await, fresh, "from buckets");
    // Late events, duplicates and conflicts: some buckets are dirty, the others are not.
    let late: Vec<_> = (390..450).map(|n| random_event(&mut dice, n)).collect();
    server.count(&late).await;
    let raw = answers(&server, "raw").await;
    assert_ne!(raw, fresh);
    assert_eq!(answers(&server, "auto").await, raw, "from buckets and events together");

    recompute(&stage, &server, "2026-10-15T13:30:00Z").await;
    assert_eq!(answers(&server, "auto").await, raw, "from recomputed buckets");
    assert_eq!(answers(&server, "raw").await, raw);
}

/// Lets a quiet minute pass and waits until no bucket is dirty.
pub async fn recompute(stage: &Stage, server: &TestServer, now: &str) {
    server.advance(now).await;
    eventually("every bucket is recomputed", async || match dirty(stage).await {
        0 => Ok(()),
        dirty => Err(format!("{dirty} dirty buckets\n{}", server.output())),
    })
    .await;
}

/// Buckets that are marked.
pub async fn dirty(stage: &Stage) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM usage_dirty_buckets").fetch_one(stage.pools.worker.pool());
    count.await.expect("Postgres answers")
}
