//! Coupons and taxes as they stand, read from their projections: each is one query for any number of subscriptions.

use crate::postgres::DatabaseError;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use talea_domain::discount::{AppliedCoupon, Coupon, Redemption};
use talea_domain::id::{CouponKey, SubscriptionId, TenantId};
use talea_domain::money::{Currency, Money};
use talea_domain::tax::{TaxProfile, TaxSettings};

/// A subscription of a tenant.
pub type Key = (TenantId, SubscriptionId);

fn read<T: DeserializeOwned>(table: &'static str, document: &str) -> Result<T, DatabaseError> {
    serde_json::from_str(document).map_err(|source| DatabaseError::Document { table, source })
}

/// Every coupon that is offered, by key.
pub async fn coupons(connection: &mut PgConnection) -> Result<Vec<Coupon>, DatabaseError> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT document FROM coupons ORDER BY key").fetch_all(connection).await?;
    rows.iter().map(|document| read("coupons", document)).collect()
}

pub async fn coupon(connection: &mut PgConnection, key: &CouponKey) -> Result<Option<Coupon>, DatabaseError> {
    let row: Option<String> = sqlx::query_scalar("SELECT document FROM coupons WHERE key = $1")
        .bind(key.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|document| read("coupons", &document)).transpose()
}

/// To how many subscriptions of all tenants a coupon was applied.
pub async fn uses(connection: &mut PgConnection, key: &CouponKey) -> Result<u64, DatabaseError> {
    let uses: i64 = sqlx::query_scalar("SELECT talea_coupon_uses($1)").bind(key.as_str()).fetch_one(connection).await?;
    Ok(uses.unsigned_abs())
}

/// Every coupon that was ever applied to these subscriptions, with what it gave, in the order in which they were applied.
pub async fn applied(
    connection: &mut PgConnection,
    subscriptions: impl IntoIterator<Item = &Key>,
) -> Result<BTreeMap<Key, Vec<AppliedCoupon>>, DatabaseError> {
    const APPLIED: &str = "SELECT s.tenant_id, s.subscription_id, s.applies_from, s.removed_at, c.document \
        FROM unnest($1::text[], $2::text[]) AS k(tenant_id, subscription_id) \
        JOIN subscription_coupons s USING (tenant_id, subscription_id) JOIN coupons c ON c.key = s.coupon_key \
        ORDER BY s.tenant_id, s.subscription_id, s.applies_from, s.coupon_key";
    type Row = (String, String, DateTime<Utc>, Option<DateTime<Utc>>, String);
    let keys: BTreeSet<&Key> = subscriptions.into_iter().collect();
    let tenants: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.1.as_str()).collect();
    let rows: Vec<Row> = sqlx::query_as(APPLIED).bind(&tenants).bind(&ids).fetch_all(&mut *connection).await?;
    let mut applied: BTreeMap<Key, Vec<AppliedCoupon>> = BTreeMap::new();
    for (tenant, subscription, from, until, document) in rows {
        let coupon = AppliedCoupon { coupon: read("coupons", &document)?, from, until, redeemed: Vec::new() };
        applied.entry(key(&tenant, &subscription)?).or_default().push(coupon);
    }
    if !applied.is_empty() {
        redeemed(connection, &tenants, &ids, &mut applied).await?;
    }
    Ok(applied)
}

async fn redeemed(
    connection: &mut PgConnection,
    tenants: &[&str],
    ids: &[&str],
    applied: &mut BTreeMap<Key, Vec<AppliedCoupon>>,
) -> Result<(), DatabaseError> {
    const REDEEMED: &str = "SELECT r.tenant_id, r.subscription_id, r.coupon_key, r.billed_at, r.given_minor, r.currency \
        FROM unnest($1::text[], $2::text[]) AS k(tenant_id, subscription_id) \
        JOIN coupon_redemptions r USING (tenant_id, subscription_id) WHERE r.documents > 0 ORDER BY r.billed_at";
    type Row = (String, String, String, DateTime<Utc>, i64, String);
    let rows: Vec<Row> = sqlx::query_as(REDEEMED).bind(tenants).bind(ids).fetch_all(connection).await?;
    for (tenant, subscription, coupon, billed_at, given, currency) in rows {
        let currency = Currency::parse(&currency).map_err(|error| DatabaseError::Decision(error.to_string()))?;
        let of_subscription = applied.get_mut(&key(&tenant, &subscription)?).into_iter().flatten();
        for coupon in of_subscription.filter(|it| it.coupon.key.as_str() == coupon) {
            coupon.redeemed.push(Redemption { billed_at, given: Money::new(given, currency) });
        }
    }
    Ok(())
}

fn key(tenant: &str, subscription: &str) -> Result<Key, DatabaseError> {
    let wrong = |error: talea_domain::error::FieldError| DatabaseError::Decision(error.to_string());
    Ok((TenantId::parse(tenant).map_err(wrong)?, SubscriptionId::parse(subscription).map_err(wrong)?))
}

/// The seller's tax rates; none where no taxes are configured.
pub async fn tax_settings(connection: &mut PgConnection) -> Result<Option<TaxSettings>, DatabaseError> {
    let row: Option<String> =
        sqlx::query_scalar("SELECT document FROM tax_settings").fetch_optional(connection).await?;
    row.map(|document| read("tax_settings", &document)).transpose()
}

/// What is known of these tenants, each profile with its first day, earliest first.
pub async fn tax_profiles(
    connection: &mut PgConnection,
    tenants: impl IntoIterator<Item = &TenantId>,
) -> Result<BTreeMap<TenantId, Vec<TaxProfile>>, DatabaseError> {
    const PROFILES: &str = "SELECT tenant_id, document FROM tax_profiles WHERE tenant_id = ANY($1) \
        ORDER BY tenant_id, valid_from";
    let tenants: BTreeSet<&str> = tenants.into_iter().map(TenantId::as_str).collect();
    let rows: Vec<(String, String)> =
        sqlx::query_as(PROFILES).bind(tenants.into_iter().collect::<Vec<_>>()).fetch_all(connection).await?;
    let mut profiles: BTreeMap<TenantId, Vec<TaxProfile>> = BTreeMap::new();
    for (tenant, document) in rows {
        let tenant = TenantId::parse(&tenant).map_err(|error| DatabaseError::Decision(error.to_string()))?;
        profiles.entry(tenant).or_default().push(read("tax_profiles", &document)?);
    }
    Ok(profiles)
}
