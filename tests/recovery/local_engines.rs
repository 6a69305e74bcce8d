//! The engines of one machine: a project folder that was deleted and made anew starts, whatever its predecessor left.

use std::path::Path;

use talea::engines::{self, EngineOptions, KafkaChoice};

use crate::harness::{self, EXECUTABLE};

#[tokio::test]
async fn data_whose_password_is_lost_is_set_aside_and_a_new_server_starts() {
    let beside = Path::new(EXECUTABLE).parent().expect("a program lies in a folder");
    let home = beside.join("test-local-engines").join(std::process::id().to_string());
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests package lies in the workspace");
    let options = EngineOptions {
        home: home.clone(),
        cache: project.join(".talea/cache"),
        executable: EXECUTABLE.into(),
        postgres_url: None,
        clickhouse_url: Some(harness::engines().clickhouse_url.clone()),
        kafka: KafkaChoice::Off,
        ephemeral: false,
        installed_binaries: true,
    };
    let first = engines::start(&options, &|_| {}).await.expect("starts");
    let (url, password_of) = (first.postgres_url.clone(), home.join("engines/postgres/state.json"));
    first.stop().await;

    // Twice: the place beside may be taken by then.
    for _ in 0..2 {
        std::fs::remove_file(&password_of).expect("was written");
        let said = std::sync::Mutex::new(Vec::new());
        let again = engines::start(&options, &|line| said.lock().expect("no panic").push(line.to_owned())).await;
        let again = again.expect("starts without what is lost");
        assert_ne!(again.postgres_url, url, "a new password");
        let said = said.into_inner().expect("no panic");
        assert!(said.iter().any(|line| line.contains("data.earlier")), "{said:?}");
        again.stop().await;
    }
    engines::reset(&options).await.expect("removes all of it");
    std::fs::remove_dir_all(&home).expect("is there");
}
