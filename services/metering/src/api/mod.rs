//! Metering's HTTP routes: meters, usage, what became of an event, dead letters.

mod dead_letters;
mod events;
mod meters;
mod usage;

use crate::context::Context;
use std::sync::Arc;
use talea_domain::id::TenantId;
use talea_platform::http::{Caller, Problem, TenantContext};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes(context: Arc<Context>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(meters::define, meters::list))
        .routes(routes!(meters::show))
        .routes(routes!(usage::usage))
        .routes(routes!(events::find_or_list))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::resubmit))
        .with_state(context)
}

/// The one tenant that a request is about: named, or bound to the key.
fn one_tenant(caller: &Caller, asked: Option<&TenantId>) -> Result<TenantContext, Problem> {
    caller.tenant_or_all(asked)?.ok_or_else(|| {
        talea_domain::error::FieldError::new(
            "tenant_id",
            "is missing",
            "add `tenant_id=`, or use a key that is bound to a tenant",
        )
        .into()
    })
}

/// A refusal of a usage question, or a failure of the store behind it.
fn usage_problem(error: talea_platform::usage::UsageError) -> Problem {
    match error {
        talea_platform::usage::UsageError::Field(field) => field.into(),
        talea_platform::usage::UsageError::Overflow(overflow) => Problem::unprocessable(format!(
            "the total does not fit a quantity: {overflow}; ask for a smaller range or group"
        )),
        other => Problem::internal(other),
    }
}
