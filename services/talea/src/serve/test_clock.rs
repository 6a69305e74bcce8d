//! `POST /v1/test-clock/advance`: lets anyone watch a month pass. Only on a server that was started with a test clock.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Problem};
use talea_platform::runtime::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Advance {
    /// The new time; not before the present one.
    pub to: DateTime<Utc>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TestClock {
    pub now: DateTime<Utc>,
    /// False on a server that runs on the system clock.
    pub is_test_clock: bool,
}

pub(super) fn routes(platform: &Platform) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(advance)).with_state(platform.clone())
}

/// What time it is for this server.
#[utoipa::path(get, path = "/v1/test-clock", tag = "test clock", responses((status = 200, body = TestClock)))]
pub async fn show(State(platform): State<Platform>, caller: Caller) -> Result<Json<TestClock>, Problem> {
    caller.require(Scope::Read)?;
    Ok(Json(TestClock { now: platform.clock.now(), is_test_clock: platform.clock.is_test() }))
}

/// Moves the test clock forward; every worker looks at once for what became due.
#[utoipa::path(post, path = "/v1/test-clock/advance", tag = "test clock", request_body = Advance,
    responses((status = 200, body = TestClock), (status = 409, body = Problem)))]
pub async fn advance(
    State(platform): State<Platform>,
    caller: Caller,
    Json(advance): Json<Advance>,
) -> Result<Json<TestClock>, Problem> {
    caller.require(Scope::Admin)?;
    caller.require_unbound()?;
    if platform.clock.is_test() {
        // First in the database: after a crash in between, the clock starts where it was asked to be.
        platform.databases.advance_test_clock(advance.to).await.map_err(Problem::internal)?;
    }
    platform.clock.advance(advance.to).map_err(|error| Problem::conflict(error.to_string()))?;
    Ok(Json(TestClock { now: platform.clock.now(), is_test_clock: true }))
}
