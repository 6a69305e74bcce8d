//! `coupon_redemptions`: what issued invoices used of coupons. A draft uses nothing, and what a voided invoice used is there again.

use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use talea_domain::invoice::{Invoice, redemptions};
use talea_domain::journal::JournalEvent;
use talea_domain::money::{Currency, MoneyError};

/// Tenant, subscription, coupon and bill moment.
type Key = (String, String, String, DateTime<Utc>);

/// What some documents give more or less.
struct Use {
    given_minor: i64,
    currency: Currency,
    documents: i32,
    position: i64,
}

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let voided = voided(connection, recorded).await?;
    let mut uses: BTreeMap<Key, Use> = BTreeMap::new();
    for decision in recorded {
        match &decision.event {
            JournalEvent::InvoiceFinalized(invoice) => add(&mut uses, invoice, 1, decision.position)?,
            JournalEvent::InvoiceVoided(it) => {
                let key = (it.tenant_id.to_string(), it.invoice_id.to_string());
                if let Some(invoice) = voided.get(&key) {
                    add(&mut uses, invoice, -1, decision.position)?;
                }
            }
            _ => {}
        }
    }
    write(connection, &uses).await
}

fn add(uses: &mut BTreeMap<Key, Use>, invoice: &Invoice, documents: i32, position: i64) -> Result<(), DatabaseError> {
    let wrong = |error: MoneyError| DatabaseError::Decision(error.to_string());
    let Some(subscription) = &invoice.subscription else { return Ok(()) };
    for (coupon, redemption) in redemptions(invoice).map_err(wrong)? {
        let given = if documents < 0 { redemption.given.checked_neg().map_err(wrong)? } else { redemption.given };
        let key = (invoice.tenant.to_string(), subscription.to_string(), coupon.to_string(), redemption.billed_at);
        let nothing = Use { given_minor: 0, currency: invoice.currency, documents: 0, position };
        let used = uses.entry(key).or_insert(nothing);
        used.given_minor = used.given_minor.checked_add(given.minor).ok_or_else(|| {
            DatabaseError::Decision(format!("what coupon {coupon} gave does not fit {}", invoice.currency))
        })?;
        used.documents += documents;
        used.position = position;
    }
    Ok(())
}

/// The documents that are voided here; they are projected already.
async fn voided(
    connection: &mut PgConnection,
    recorded: &[Recorded],
) -> Result<BTreeMap<(String, String), Invoice>, DatabaseError> {
    const DOCUMENTS: &str = "SELECT i.tenant_id, i.id, i.document FROM unnest($1::text[], $2::text[]) AS k(tenant_id, id) \
        JOIN invoices i USING (tenant_id, id)";
    let (mut tenants, mut ids) = (Vec::new(), Vec::new());
    for decision in recorded {
        if let JournalEvent::InvoiceVoided(it) = &decision.event {
            tenants.push(it.tenant_id.as_str());
            ids.push(it.invoice_id.as_str());
        }
    }
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(DOCUMENTS).bind(tenants).bind(ids).fetch_all(connection).await?;
    let decode = |(tenant, id, document): (String, String, String)| {
        let invoice =
            serde_json::from_str(&document).map_err(|source| DatabaseError::Document { table: "invoices", source })?;
        Ok(((tenant, id), invoice))
    };
    rows.into_iter().map(decode).collect()
}

async fn write(connection: &mut PgConnection, uses: &BTreeMap<Key, Use>) -> Result<(), DatabaseError> {
    const USE: &str = "INSERT INTO coupon_redemptions (tenant_id, subscription_id, coupon_key, billed_at, given_minor, \
            currency, position, documents) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::text[], $7::bigint[], \
            $8::integer[]) \
        ON CONFLICT (tenant_id, subscription_id, coupon_key, billed_at) DO UPDATE \
            SET given_minor = coupon_redemptions.given_minor + excluded.given_minor, position = excluded.position, \
            documents = coupon_redemptions.documents + excluded.documents";
    if uses.is_empty() {
        return Ok(());
    }
    sqlx::query(USE)
        .bind(uses.keys().map(|key| key.0.as_str()).collect::<Vec<_>>())
        .bind(uses.keys().map(|key| key.1.as_str()).collect::<Vec<_>>())
        .bind(uses.keys().map(|key| key.2.as_str()).collect::<Vec<_>>())
        .bind(uses.keys().map(|key| key.3).collect::<Vec<_>>())
        .bind(uses.values().map(|it| it.given_minor).collect::<Vec<_>>())
        .bind(uses.values().map(|it| it.currency.to_string()).collect::<Vec<_>>())
        .bind(uses.values().map(|it| it.position).collect::<Vec<_>>())
        .bind(uses.values().map(|it| it.documents).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
