//! The routes of provisioning. A body is looked at only after the caller: who may not ask learns nothing from a faulty one.

mod keys;
mod onboard;
mod state;
mod tenants;

pub use onboard::Onboarded;

use crate::shared::Shared;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes(shared: Arc<Shared>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(onboard::post_tenant, tenants::list_tenants))
        .routes(routes!(tenants::get_tenant))
        .routes(routes!(state::suspend_tenant))
        .routes(routes!(state::resume_tenant))
        .routes(routes!(keys::post_tenant_key, keys::list_tenant_keys))
        .routes(routes!(keys::delete_tenant_key))
        .routes(routes!(keys::post_key, keys::list_keys))
        .routes(routes!(keys::delete_key))
        .with_state(shared)
}
