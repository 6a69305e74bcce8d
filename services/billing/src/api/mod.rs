//! Billing's HTTP routes: the catalogue of plans and coupons, taxes, subscriptions, invoices, wallets, runs.

mod charges;
mod corrections;
mod coupons;
mod credit_notes;
mod deciding;
mod events;
mod invoice;
mod invoices;
mod migrations;
mod payments;
mod plans;
mod printed;
mod runs;
mod simulations;
mod subscriptions;
mod taxes;
mod terms;
mod upcoming;
mod wallets;

use crate::context::Context;
use std::sync::Arc;
use talea_domain::id::TenantId;
use talea_domain::journal::JournalEvent;
use talea_domain::tenant::{Scope, TenantScope};
use talea_platform::http::{Caller, Problem};
use talea_platform::journal::{self, AppendError, Decision};
use talea_platform::postgres::Tx;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes(context: Arc<Context>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(plans::publish, plans::list))
        .routes(routes!(plans::show))
        .routes(routes!(migrations::start))
        .routes(routes!(migrations::show))
        .routes(routes!(subscriptions::start, subscriptions::list))
        .routes(routes!(subscriptions::show))
        .routes(routes!(subscriptions::cancel))
        .routes(routes!(subscriptions::apply_coupon, subscriptions::list_coupons))
        .routes(routes!(subscriptions::remove_coupon))
        .routes(routes!(coupons::offer, coupons::list))
        .routes(routes!(taxes::put_rates, taxes::rates))
        .routes(routes!(taxes::put_profile, taxes::profile))
        .routes(routes!(subscriptions::change))
        .routes(routes!(upcoming::upcoming))
        .routes(routes!(invoices::list))
        .routes(routes!(invoice::show))
        .routes(routes!(invoice::finalize))
        .routes(routes!(events::list))
        .routes(routes!(charges::add, charges::list))
        .routes(routes!(charges::withdraw))
        .routes(routes!(wallets::open, wallets::list))
        .routes(routes!(wallets::show))
        .routes(routes!(wallets::grant))
        .routes(routes!(wallets::ledger))
        .routes(routes!(wallets::orders))
        .routes(routes!(wallets::set_top_up))
        .routes(routes!(runs::start))
        .routes(routes!(runs::status))
        .routes(routes!(simulations::simulate))
        .routes(routes!(payments::record, payments::show))
        .routes(routes!(payments::settle))
        .routes(routes!(payments::reverse))
        .routes(routes!(corrections::void))
        .routes(routes!(corrections::write_off))
        .routes(routes!(corrections::credit, corrections::list))
        .routes(routes!(credit_notes::list))
        .routes(routes!(credit_notes::show))
        .routes(routes!(terms::open_credit))
        .routes(routes!(terms::show, terms::set))
        .with_state(context)
}

/// A transaction that reads what the caller may see: one tenant's rows, or everybody's for a key that is bound to none.
async fn reading(context: &Context, caller: &Caller, asked: Option<&TenantId>) -> Result<Tx, Problem> {
    let databases = &context.platform.databases;
    match caller.tenant_or_all(asked)? {
        Some(tenant) => databases.app.tenant(&tenant).await,
        None => databases.operator.begin(caller.all_tenants()?).await,
    }
    .map_err(Problem::internal)
}

/// Records a decision that holds for every tenant.
async fn record_global(
    context: &Context,
    caller: &Caller,
    mut tx: Tx,
    expected_version: Option<i64>,
    event: JournalEvent,
) -> Result<(), Problem> {
    let now = context.now();
    let decision = Decision {
        tenant: TenantScope::Global,
        expected_version,
        event,
        effective_at: now,
        recorded_at: now,
        actor: caller.actor(),
        idempotency_key: None,
    };
    match journal::append(&mut tx, vec![decision]).await {
        Ok(_) => tx.commit().await.map_err(Problem::internal),
        Err(conflict @ AppendError::Conflict { .. }) => Err(Problem::conflict(conflict.to_string())),
        Err(error) => Err(Problem::internal(error)),
    }
}

/// Finance, or whoever reads usage: both need to know what is sold.
fn may_read_catalogue(caller: &Caller) -> Result<(), Problem> {
    caller.require(Scope::Read).or_else(|_| caller.require(Scope::Finance))
}
