//! Tenants come once, whatever is sent twice or at the same time; keys work, and stop working.

use super::scene::{Parts, Scene, onboarding};
use crate::harness::{LogChoice, Stage, eventually};
use reqwest::Method;
use serde_json::{Value, json};

pub async fn a_repeated_request_changes_nothing_and_shows_no_secret_again(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    let request = onboarding("acme", "free");
    let first = scene.post("/v1/tenants", &request).await;
    assert_eq!(first.status, 201, "{first:?}");
    let secret = first.body["keys"][0]["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(first.body["tenant"]["subscriptions"][0]["plan"], "free");
    let again = scene.post("/v1/tenants", &request).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.body["tenant"], first.body["tenant"]);
    assert_eq!(again.body["keys"][0]["key_id"], first.body["keys"][0]["key_id"]);
    assert!(!again.body.to_string().contains(&secret) && again.body["keys"][0].get("secret").is_none());
    for (field, value) in [
        ("zone", json!("Asia/Kathmandu")),
        ("plan", json!("soft")),
        ("currency", json!("EUR")),
        ("name", json!("Other")),
    ] {
        let mut other = request.clone();
        other[field] = value;
        let conflict = scene.post("/v1/tenants", &other).await;
        let named = if field == "name" { "bill_to" } else { field };
        assert_eq!(conflict.status, 409, "{field}: {conflict:?}");
        assert!(conflict.body["detail"].as_str().expect("a detail").contains(named), "{field}: {conflict:?}");
    }
    scene.lifecycle("acme", &["tenant.ready"]).await;
}

pub async fn requests_at_once_make_one_tenant(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    let request = onboarding("acme", "free");
    let answers = futures::future::join_all((0..8).map(|_| scene.post("/v1/tenants", &request))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)), "{answers:?}");
    assert_eq!(made, 1);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM journal WHERE tenant_id = 'acme'")
        .fetch_one(stage.pools.worker.pool())
        .await
        .expect("counts");
    assert_eq!(rows, 3, "the tenant, its subscription, its key");
}

pub async fn a_faulty_request_names_its_fields_and_leaves_nothing(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    let check = async |change: &dyn Fn(&mut Value), status: u16, field: &str| {
        let mut request = onboarding("acme", "free");
        change(&mut request);
        let answer = scene.post("/v1/tenants", &request).await;
        assert_eq!(answer.status, status, "{field}: {answer:?}");
        assert!(answer.body.to_string().contains(field), "{field}: {answer:?}");
    };
    check(&|r| r["plan"] = json!("unknown"), 400, "/plan").await;
    check(&|r| r["plan_version"] = json!(7), 400, "/plan_version").await;
    check(&|r| r["name"] = json!(""), 400, "/name").await;
    check(&|r| r["end_at"] = json!("2026-09-01T00:00:00Z"), 400, "/end_at").await;
    check(&|r| r["tenant_id"] = json!("no/key"), 400, "tenant_id").await;
    check(&|r| r["surprise"] = json!(1), 400, "surprise").await;
    assert_eq!(scene.get("/v1/tenants/acme").await.status, 404);
    let parties: i64 =
        sqlx::query_scalar("SELECT count(*) FROM party").fetch_one(stage.pools.worker.pool()).await.expect("counts");
    assert_eq!(parties, 0);
}

pub async fn a_key_works_for_its_tenant_until_it_is_revoked(log: LogChoice) {
    let stage = &Stage::new(log).await;
    let scene = Scene::start(stage, Parts::default()).await;
    let acme = scene.onboard("acme", "free").await;
    scene.onboard("umbrella", "free").await;
    let app = acme["keys"][0]["secret"].as_str().expect("a secret").to_owned();
    let ask = async |key: &str, path: &str| scene.request(Method::GET, path, key, None).await;
    assert_eq!(ask(&app, "/v1/tenants/acme").await.status, 200);
    assert_eq!(ask(&app, "/v1/tenants/umbrella").await.status, 404);
    let list = ask(&app, "/v1/tenants").await.ok();
    assert_eq!((list["data"].as_array().map(Vec::len), &list["data"][0]["tenant_id"]), (Some(1), &json!("acme")));
    assert_eq!(scene.get("/v1/tenants?limit=1").await.ok()["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(ask(&app, "/v1/tenants/acme/keys").await.status, 403);
    let wanted = json!({ "label": "second", "scopes": ["read"] });
    let made = scene.post("/v1/tenants/acme/keys", &wanted).await;
    assert_eq!(made.status, 201);
    let (id, secret) = (made.body["key_id"].as_str().expect("an id"), made.body["secret"].as_str().expect("a secret"));
    assert_eq!(ask(secret, "/v1/tenants/acme").await.status, 200);
    let other = format!("/v1/tenants/umbrella/keys/{id}");
    assert_eq!(scene.request(Method::DELETE, &other, &scene.admin, None).await.status, 404, "not that tenant's key");
    let path = format!("/v1/tenants/acme/keys/{id}");
    assert_eq!(scene.request(Method::DELETE, &path, &scene.admin, None).await.status, 204);
    eventually("the revoked key stops working", async || match ask(secret, "/v1/tenants/acme").await.status {
        401 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
    let keys = scene.get("/v1/tenants/acme/keys").await.ok();
    assert_eq!(keys["data"].as_array().map(Vec::len), Some(2));
    assert!(!keys.to_string().contains("secret"));
    let unbound = scene.post("/v1/keys", &wanted).await.ok();
    assert_eq!(ask(unbound["secret"].as_str().expect("a secret"), "/v1/tenants/umbrella").await.status, 200);
    assert_eq!(scene.post("/v1/tenants/nobody/keys", &wanted).await.status, 404);
    let faulty = json!({});
    let theirs = scene.request(Method::POST, "/v1/tenants/umbrella/keys", &app, Some(&faulty)).await;
    assert_eq!(theirs.status, 404, "a faulty body says nothing of another tenant");
    assert_eq!(scene.request(Method::POST, "/v1/tenants", &app, Some(&onboarding("x", "free"))).await.status, 403);
}
