//! Every route of the running server, called with one tenant's key about another tenant's things: the answer is to the byte
//! what it is about a thing that does not exist, and nothing changes.

use super::calls::{Route, routes};
use super::tenants::{MARKER, Names, World};
use crate::harness::{Answer, LogChoice, Stage};
use reqwest::Method;
use talea_domain::tenant::Scope;

/// Which query parameters to name somebody by: none, each alone, all together.
fn choices(route: &Route, names: &Names) -> Vec<Vec<String>> {
    let all = route.naming_query(names);
    let mut choices = vec![Vec::new()];
    choices.extend(all.iter().map(|name| vec![name.clone()]));
    if all.len() > 1 {
        choices.push(all);
    }
    choices
}

fn holds_nothing_of(names: &Names, route: &Route, answer: &Answer) {
    for text in names.all().into_iter().chain([MARKER]) {
        assert!(!answer.text.contains(text), "{route} shows `{text}`: {}", answer.text);
    }
}

/// What the other tenant has, as an operator reads it.
async fn snapshot(world: &World, routes: &[Route]) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    for route in routes.iter().filter(|route| route.is_read()) {
        let named = route.naming_query(&world.theirs);
        if route.names_somebody(&world.theirs) || named.contains(&"tenant_id".to_owned()) {
            let named: Vec<String> = named.into_iter().filter(|name| name == "tenant_id").collect();
            let answer = route.call(&world.server, &world.server.admin, &world.theirs, &named).await;
            assert_eq!(answer.status, 200, "{route} for an operator: {}", answer.text);
            seen.push((route.to_string(), answer.text));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenants_things_are_not_there() {
    let stage = Stage::new(LogChoice::Postgres).await;
    let world = World::new(&stage).await;
    let (server, nothing) = (&world.server, Names::of_nothing());
    let routes = routes(server).await;
    assert!(routes.len() > 20, "the document was read");
    let before = snapshot(&world, &routes).await;
    assert!(before.iter().any(|(_, text)| text.contains(MARKER)), "the marker is where it should be");

    let mut calls = 0;
    for route in &routes {
        for named in choices(route, &world.theirs) {
            let about_them = route.call(server, &world.my_key, &world.theirs, &named).await;
            holds_nothing_of(&world.theirs, route, &about_them);
            calls += 1;
            if !route.names_somebody(&world.theirs) && named.is_empty() {
                continue;
            }
            let about_nothing = route.call(server, &world.my_key, &nothing, &named).await;
            let answers = [&about_them, &about_nothing].map(|answer| (answer.status, &answer.text));
            assert_eq!(answers[0], answers[1], "{route} {named:?} tells a stranger's thing from nothing");
            if route.names_somebody(&world.theirs) || named.contains(&"tenant_id".to_owned()) {
                // 403 where no bound key may call it at all; 400 is the verdict of an event.
                assert!([403, 404, 400].contains(&about_them.status), "{route} {named:?}: {}", about_them.text);
            }
        }
    }
    println!("{calls} calls over {} routes", routes.len());
    let after = snapshot(&world, &routes).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after, "changed by a stranger");
    }
    my_own_things_are_there(&world, &routes).await;
}

/// The same calls about one's own things find them, so that a 404 above is not the answer of a broken call.
async fn my_own_things_are_there(world: &World, routes: &[Route]) {
    let mut ordered: Vec<&Route> = routes.iter().collect();
    // What takes a thing away comes last.
    ordered.sort_by_key(|route| (route.method == Method::DELETE, route.path.ends_with("/cancel"), !route.is_read()));
    for route in ordered {
        let named: Vec<String> = route.naming_query(&world.mine);
        let answer = route.call(&world.server, &world.my_key, &world.mine, &named).await;
        assert!(![404, 405].contains(&answer.status), "{route} about one's own: {}", answer.text);
        if route.is_read() && answer.status != 403 {
            assert_eq!(answer.status, 200, "{route} about one's own: {}", answer.text);
        }
        holds_nothing_of(&world.theirs, route, &answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_wants_a_key_with_the_scope() {
    let stage = Stage::new(LogChoice::Postgres).await;
    let world = World::new(&stage).await;
    let server = &world.server;
    let (ingest, read) = (stage.key(&[Scope::Ingest], None).await, stage.key(&[Scope::Read], None).await);
    for route in routes(server).await {
        let named = route.naming_query(&world.mine);
        for key in ["", "nonsense", "talea_key_00000000000000000000000000_0"] {
            let answer = route.call(server, key, &world.mine, &named).await;
            assert_eq!(answer.status, 401, "{route} with `{key}`: {}", answer.text);
        }
        let (by_ingest, by_read) = (
            route.call(server, &ingest, &world.mine, &named).await.status,
            route.call(server, &read, &world.mine, &named).await.status,
        );
        assert!(by_ingest == 403 || by_read == 403, "{route} needs no scope: {by_ingest} and {by_read}");
        assert!(route.is_read() || by_read == 403, "{route} writes for the scope read: {by_read}");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        let answer = server.get_as("", path, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert!(!answer.text.contains(MARKER) && !answer.text.contains("bravo"), "{path} names a tenant");
    }
    assert_eq!(server.get("/v1/nothing", &[]).await.status, 404);
}
