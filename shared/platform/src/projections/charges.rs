//! `charges`: one-off charges as they stand.

use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::charge::{Charge, ChargeStage};
use talea_domain::id::{ChargeId, InvoiceId, TenantId};
use talea_domain::journal::JournalEvent;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let added = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::ChargeAdded(charge) => Some((r, charge)),
        _ => None,
    });
    add(connection, &added.collect::<Vec<_>>()).await?;
    let changed = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::ChargeWithdrawn(it) => Some(Change::of(r, &it.tenant_id, &it.charge_id, None)),
        JournalEvent::ChargeInvoiced(it) => Some(Change::of(r, &it.tenant_id, &it.charge_id, Some(&it.invoice_id))),
        _ => None,
    });
    change(connection, &changed.collect::<Vec<_>>()).await
}

async fn add(connection: &mut PgConnection, added: &[(&Recorded, &Charge)]) -> Result<(), DatabaseError> {
    const ADD: &str = "INSERT INTO charges (tenant_id, id, subscription_id, currency, stage, document, version, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], \
            $8::bigint[])";
    if added.is_empty() {
        return Ok(());
    }
    sqlx::query(ADD)
        .bind(added.iter().map(|(_, c)| c.tenant.as_str()).collect::<Vec<_>>())
        .bind(added.iter().map(|(_, c)| c.id.as_str()).collect::<Vec<_>>())
        .bind(added.iter().map(|(_, c)| c.subscription.as_ref().map(|id| id.as_str())).collect::<Vec<_>>())
        .bind(added.iter().map(|(_, c)| c.currency.to_string()).collect::<Vec<_>>())
        .bind(added.iter().map(|_| ChargeStage::Pending.as_str()).collect::<Vec<_>>())
        .bind(added.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(added.iter().map(|(r, _)| r.version).collect::<Vec<_>>())
        .bind(added.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// What became of a charge: invoiced where there is an invoice, else withdrawn.
struct Change<'a> {
    recorded: &'a Recorded,
    tenant: &'a TenantId,
    charge: &'a ChargeId,
    invoice: Option<&'a InvoiceId>,
}

impl<'a> Change<'a> {
    fn of(recorded: &'a Recorded, tenant: &'a TenantId, charge: &'a ChargeId, invoice: Option<&'a InvoiceId>) -> Self {
        Self { recorded, tenant, charge, invoice }
    }

    fn stage(&self) -> &'static str {
        if self.invoice.is_some() { ChargeStage::Invoiced.as_str() } else { ChargeStage::Withdrawn.as_str() }
    }
}

async fn change(connection: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), DatabaseError> {
    const CHANGE: &str = "UPDATE charges c SET stage = k.stage, invoice_id = k.invoice_id, version = k.version, \
            position = k.position \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) \
            AS k(tenant_id, id, stage, invoice_id, version, position) \
        WHERE c.tenant_id = k.tenant_id AND c.id = k.id";
    let changes = super::last_of_each(changes, |it| (it.tenant, it.charge));
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query(CHANGE)
        .bind(changes.iter().map(|it| it.tenant.as_str()).collect::<Vec<_>>())
        .bind(changes.iter().map(|it| it.charge.as_str()).collect::<Vec<_>>())
        .bind(changes.iter().map(|it| it.stage()).collect::<Vec<_>>())
        .bind(changes.iter().map(|it| it.invoice.map(InvoiceId::as_str)).collect::<Vec<_>>())
        .bind(changes.iter().map(|it| it.recorded.version).collect::<Vec<_>>())
        .bind(changes.iter().map(|it| it.recorded.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
