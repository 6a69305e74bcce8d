//! `coupons`, `subscription_coupons`, `coupon_redemptions`, `tax_settings`, `tax_profiles`: what changes an amount after it is
//! rated, and how much of it is used.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use talea_domain::invoice::redemptions;
use talea_domain::journal::JournalEvent;
use talea_domain::money::Money;
use talea_domain::tax::TaxProfileChanged;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    for decision in recorded {
        match &decision.event {
            JournalEvent::CouponCreated(coupon) => offered(connection, decision, coupon.key.as_str()).await?,
            JournalEvent::TaxRatesChanged(_) => rates(connection, decision).await?,
            JournalEvent::CouponApplied(applied) => {
                const APPLY: &str = "INSERT INTO subscription_coupons (tenant_id, subscription_id, coupon_key, applies_from, \
                    position) VALUES ($1, $2, $3, $4, $5)";
                sqlx::query(APPLY)
                    .bind(applied.tenant_id.as_str())
                    .bind(applied.subscription_id.as_str())
                    .bind(applied.coupon.as_str())
                    .bind(applied.from)
                    .bind(decision.position)
                    .execute(&mut *connection)
                    .await?;
            }
            JournalEvent::CouponRemoved(removed) => {
                const REMOVE: &str = "UPDATE subscription_coupons SET removed_at = $4, position = $5 \
                    WHERE tenant_id = $1 AND subscription_id = $2 AND coupon_key = $3";
                sqlx::query(REMOVE)
                    .bind(removed.tenant_id.as_str())
                    .bind(removed.subscription_id.as_str())
                    .bind(removed.coupon.as_str())
                    .bind(removed.at)
                    .bind(decision.position)
                    .execute(&mut *connection)
                    .await?;
            }
            _ => {}
        }
    }
    profiles(connection, recorded).await?;
    used(connection, recorded).await
}

async fn offered(connection: &mut PgConnection, decision: &Recorded, key: &str) -> Result<(), DatabaseError> {
    const OFFER: &str =
        "INSERT INTO coupons (key, document, position) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING";
    sqlx::query(OFFER).bind(key).bind(&decision.payload).bind(decision.position).execute(connection).await?;
    Ok(())
}

async fn rates(connection: &mut PgConnection, decision: &Recorded) -> Result<(), DatabaseError> {
    const SET: &str = "INSERT INTO tax_settings (id, document, position) VALUES (1, $1, $2) \
        ON CONFLICT (id) DO UPDATE SET document = excluded.document, position = excluded.position";
    sqlx::query(SET).bind(&decision.payload).bind(decision.position).execute(connection).await?;
    Ok(())
}

/// The key of a profile that holds from the beginning.
fn first_day(changed: &TaxProfileChanged) -> NaiveDate {
    changed.profile.valid_from.unwrap_or(NaiveDate::from_ymd_opt(1, 1, 1).expect("is a day"))
}

async fn profiles(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    const SET: &str = "INSERT INTO tax_profiles (tenant_id, valid_from, document, position) \
        SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::bigint[]) \
        ON CONFLICT (tenant_id, valid_from) DO UPDATE SET document = excluded.document, position = excluded.position";
    let changed = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::TaxProfileChanged(changed) => Some((r, changed)),
        _ => None,
    });
    let changed = last_of_each(changed, |(_, it)| (&it.tenant_id, first_day(it)));
    if changed.is_empty() {
        return Ok(());
    }
    let unreadable = |source| DatabaseError::Document { table: "tax_profiles", source };
    let documents: Vec<String> = changed
        .iter()
        .map(|(_, it)| serde_json::to_string(&it.profile).map_err(unreadable))
        .collect::<Result<_, _>>()?;
    sqlx::query(SET)
        .bind(changed.iter().map(|(_, it)| it.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, it)| first_day(it)).collect::<Vec<_>>())
        .bind(documents)
        .bind(changed.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Tenant, subscription, coupon and bill moment.
type Use<'a> = (&'a str, &'a str, String, DateTime<Utc>);

/// What issued invoices used of coupons. A draft uses nothing.
async fn used(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    const USE: &str = "INSERT INTO coupon_redemptions (tenant_id, subscription_id, coupon_key, billed_at, given_minor, \
            currency, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::text[], $7::bigint[]) \
        ON CONFLICT (tenant_id, subscription_id, coupon_key, billed_at) DO UPDATE \
            SET given_minor = coupon_redemptions.given_minor + excluded.given_minor, position = excluded.position";
    let mut uses: BTreeMap<Use<'_>, (Money, i64)> = BTreeMap::new();
    for decision in recorded {
        let JournalEvent::InvoiceFinalized(invoice) = &decision.event else {
            continue;
        };
        let wrong = |error: talea_domain::money::MoneyError| DatabaseError::Decision(error.to_string());
        let Some(subscription) = &invoice.subscription else {
            continue;
        };
        for (coupon, redemption) in redemptions(invoice).map_err(wrong)? {
            let (tenant, subscription) = (invoice.tenant.as_str(), subscription.as_str());
            let key = (tenant, subscription, coupon.to_string(), redemption.billed_at);
            let used = uses.entry(key).or_insert((Money::zero(invoice.currency), 0));
            *used = (used.0.checked_add(redemption.given).map_err(wrong)?, decision.position);
        }
    }
    if uses.is_empty() {
        return Ok(());
    }
    sqlx::query(USE)
        .bind(uses.keys().map(|key| key.0).collect::<Vec<_>>())
        .bind(uses.keys().map(|key| key.1).collect::<Vec<_>>())
        .bind(uses.keys().map(|key| key.2.as_str()).collect::<Vec<_>>())
        .bind(uses.keys().map(|key| key.3).collect::<Vec<_>>())
        .bind(uses.values().map(|(given, _)| given.minor).collect::<Vec<_>>())
        .bind(uses.values().map(|(given, _)| given.currency.to_string()).collect::<Vec<_>>())
        .bind(uses.values().map(|(_, position)| *position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
