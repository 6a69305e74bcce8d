//! What is owed, by the auditor's own reading of the contracts.

use super::{Event, quantities};
use crate::evidence::{Identity, number, rows, text, zone};
use anyhow::{Context, Result};
use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, NaiveTime, TimeZone, Utc};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;
use std::collections::BTreeMap;

/// What each tenant owes, invoice by invoice: prices in advance for the month that begins, usage of the month that ended,
/// and for every earlier month what its usage is worth now less what was billed for it.
pub fn invoices(
    setup: &Value,
    events: &BTreeMap<Identity, Event>,
    passed: &BTreeMap<Identity, usize>,
    barriers: &[DateTime<Utc>],
) -> Result<BTreeMap<String, Vec<Decimal>>> {
    let until = |at: usize| quantities(setup, events, move |id| passed[id] <= at, |day| day.with_day(1).unwrap_or(day));
    let (usage, mut all) = ((0..barriers.len()).map(until).collect::<Result<Vec<_>>>()?, BTreeMap::new());
    let grace = Duration::hours(setup["grace_hours"].as_i64().context("grace_hours")?);
    for (tenant, terms) in setup["tenants"].as_object().context("tenants")? {
        let (currency, first) = (text(terms, "currency")?, text(terms, "start")?.parse::<NaiveDate>()?);
        let places = u32::try_from(terms["exponent"].as_u64().context("exponent")?)?;
        let (mut billed, mut months) = (BTreeMap::new(), Vec::new());
        while let Some(month) = first.checked_add_months(Months::new(u32::try_from(months.len())?)) {
            let midnight = zone(setup, tenant)?
                .from_local_datetime(&month.and_time(NaiveTime::MIN))
                .earliest()
                .context("midnight")?;
            let Some(barrier) = barriers.iter().position(|barrier| midnight.to_utc() + grace <= *barrier) else {
                break;
            };
            let mut total = Decimal::ZERO;
            for price in rows(&setup["plans"][text(terms, "plan")?]["prices"])? {
                let Some(meter) = price["model"]["meter"].as_str() else {
                    total += number(&price["model"]["amount"][&currency])?;
                    continue;
                };
                for past in months.iter().copied() {
                    let quantity =
                        usage[barrier].get(&(tenant.clone(), meter.to_owned(), past)).copied().unwrap_or_default();
                    let owed = rate(&price["model"], &currency, quantity)?
                        .round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
                    total += owed - billed.insert((text(price, "key")?, past), owed).unwrap_or_default();
                }
            }
            all.entry(tenant.clone()).or_insert_with(Vec::new).extend(Some(total).filter(|total| !total.is_zero()));
            months.push(month);
        }
    }
    all.retain(|_, totals| !totals.is_empty());
    Ok(all)
}

/// A usage price: one unit amount, or tiers over what is left after the included quantity.
fn rate(model: &Value, currency: &str, quantity: Decimal) -> Result<Decimal> {
    let rest = (quantity - model["included"].as_str().unwrap_or("0").parse::<Decimal>()?).max(Decimal::ZERO);
    let Some(tiers) = model["tiers"].as_array() else { return Ok(rest * number(&model["unit_amount"][currency])?) };
    let (mut from, mut amount) = (Decimal::ZERO, Decimal::ZERO);
    for tier in tiers {
        let up_to = if tier["up_to"].is_null() { rest } else { number(&tier["up_to"])?.min(rest) };
        amount += (up_to - from).max(Decimal::ZERO) * number(&tier["unit_amount"][currency])?;
        from = up_to.max(from);
    }
    Ok(amount)
}
