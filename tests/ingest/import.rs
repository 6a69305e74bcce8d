//! `talea import csv` against the real route.

use super::scene::Scene;
use std::collections::BTreeSet;
use std::path::PathBuf;
use talea::import::{ImportReport, Options, Patience, run};
use talea_domain::event::{EventLimits, UsageEvent};
use talea_domain::id::TenantId;
use talea_platform::postgres::Target;
use talea_platform::secret::Secret;

const MAPPING: &str = include_str!("../../schemas/examples/import/azure-llm.toml");

/// Files of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("talea-ingest-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::write(path.join("mapping.toml"), MAPPING).expect("writes");
        Self(path)
    }

    async fn import(&self, scene: &Scene, file: &str, text: &str) -> ImportReport {
        std::fs::write(self.0.join(file), text).expect("writes");
        let options = Options {
            file: self.0.join(file),
            mapping: self.0.join("mapping.toml"),
            tenant: Some(TenantId::parse("acme").expect("a key")),
            backfill: true,
            url: scene.url.trim_end_matches("/v1/events").to_owned(),
            key: Secret::new(scene.keys.admin.as_str()),
            rejects: self.0.join("rejects.csv"),
            show_progress: false,
            patience: Patience::default(),
        };
        run(options).await.expect("imports")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Rows of which every third equals the one before; no newline after the last.
fn trace(rows: usize) -> String {
    let row = |n: usize| {
        let n = if n % 3 == 2 { n - 1 } else { n };
        format!("2023-11-16 18:17:{:02}.{:07},{},{}", n % 60, n * 17 % 10_000_000, 100 + n, n % 7)
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("TIMESTAMP,ContextTokens,GeneratedTokens\r\n{}", rows.join("\r\n"))
}

pub async fn a_file_that_is_imported_twice_has_the_same_identities(target: &Target) {
    const ROWS: usize = 12_345;
    let (scene, folder, text) = (Scene::start(target, &[]).await, Folder::new("twice"), trace(ROWS));
    for (round, name) in ["trace.csv", "renamed.csv"].into_iter().enumerate() {
        let report = folder.import(&scene, name, &text).await;
        assert!(report.is_complete() && report.rows == ROWS as u64, "{report}");
        let records = scene.records().await;
        assert_eq!(records.len(), ROWS * (round + 1));
        let identities: BTreeSet<_> = records.iter().map(|record| record.key.clone()).collect();
        assert_eq!(identities.len(), ROWS, "equal rows are events of their own, and the second import adds none");
        let tokens = records.iter().map(|record| {
            let event = UsageEvent::parse_structured(&record.value, None, &EventLimits::default()).expect("valid");
            event.number("/tokens_in").expect("a number")
        });
        let expected: usize = (0..ROWS).map(|n| 100 + if n % 3 == 2 { n - 1 } else { n }).sum();
        assert_eq!(tokens.sum::<rust_decimal::Decimal>(), rust_decimal::Decimal::from(expected * (round + 1)));
    }
}

pub async fn an_import_outlasts_a_bucket_that_is_too_small_for_it(target: &Target) {
    let settings = [
        ("ingest.max_events", "500"),
        ("ingest.tenant_burst", "500"),
        ("ingest.tenant_events_per_second", "20000"),
        ("ingest.max_events_in_flight", "400"),
    ];
    let (scene, folder) = (Scene::start(target, &settings).await, Folder::new("small"));
    let report = folder.import(&scene, "trace.csv", &trace(3_000)).await;
    assert!(report.is_complete(), "{report}");
    let identities: BTreeSet<_> = scene.records().await.iter().map(|record| record.key.clone()).collect();
    assert_eq!(identities.len(), 3_000);
}
