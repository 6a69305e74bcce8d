//! `coupons`, `subscription_coupons`, `tax_settings`, `tax_profiles`: what changes an amount after it is rated.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use chrono::NaiveDate;
use sqlx::PgConnection;
use talea_domain::journal::JournalEvent;
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
    profiles(connection, recorded).await
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
