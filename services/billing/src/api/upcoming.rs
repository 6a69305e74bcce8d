//! The upcoming invoice: what the next one would say if it were made now, by the function that will make it.

use super::reading;
use crate::catalogue::Catalogue;
use crate::context::Context;
use crate::run::{assembled, candidate, find_one};
use axum::extract::State;
use std::sync::Arc;
use talea_domain::id::SubscriptionId;
use talea_domain::invoice::Invoice;
use talea_domain::tenant::Scope;
use talea_platform::http::{Caller, Json, Path, Problem};

/// The next invoice of a subscription as of now, over the usage that is metered so far.
#[utoipa::path(get, path = "/v1/subscriptions/{id}/upcoming-invoice", tag = "invoices", params(("id" = String, Path)),
    responses((status = 200, body = Invoice), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn upcoming(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Path(id): Path<SubscriptionId>,
) -> Result<Json<Invoice>, Problem> {
    caller.require(Scope::Finance)?;
    let mut tx = reading(&context, &caller, None).await?;
    let row = find_one(&mut tx, &id).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
    let catalogue = Catalogue::load(&mut tx).await.map_err(Problem::internal)?;
    drop(tx);
    let next = candidate(&catalogue, &row).map_err(Problem::unprocessable)?;
    let next = next.ok_or_else(|| Problem::conflict("the subscription has ended and is billed to its end"))?;
    let consumed = context.marks.observe(&context.platform).await.map_err(Problem::internal)?;
    let documents = assembled(&context, &catalogue, &[next], &consumed.cut).await?;
    match documents.into_iter().next() {
        Some(Ok(document)) => Ok(Json(document.invoice)),
        Some(Err(reason)) => Err(Problem::unprocessable(reason)),
        None => Err(Problem::internal("one candidate got no document")),
    }
}
