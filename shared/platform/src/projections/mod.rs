//! Projections: what the journal says now, as rows to be queried. They are written in the transaction of the append, so
//! that no reader sees a decision without its effect, and by the same code when they are rebuilt from the journal alone.
//!
//! One file per projection. Each takes any number of decisions and writes them with a fixed number of statements.

mod api_keys;
mod catalogue;
mod charges;
mod credit_notes;
mod credits;
mod dunning;
mod invoices;
mod periods;
mod quota;
mod rebuild;
mod receivables;
mod subscriptions;
mod tenants;
mod terms;

pub use rebuild::{RebuildError, RebuildReport, TableReport, rebuild};

use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use std::collections::HashMap;
use std::hash::Hash;

/// The tables that follow from the journal alone.
pub const TABLES: [&str; 29] = [
    "tenants",
    "meters",
    "plan_versions",
    "invoice_settings",
    "topic_partitions",
    "subscriptions",
    "invoices",
    "invoice_lines",
    "billed_periods",
    "quota_signals",
    "quota_state",
    "quota_limits",
    "api_keys",
    "invoice_states",
    "payments",
    "open_credit_entries",
    "credit_notes",
    "dunning_steps",
    "billing_terms",
    "wallets",
    "credit_grants",
    "credit_orders",
    "ledger_entries",
    "coupons",
    "subscription_coupons",
    "coupon_redemptions",
    "tax_settings",
    "tax_profiles",
    "charges",
];

/// Projects decisions, given in the order of their positions.
pub async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    tenants::project(connection, recorded).await?;
    catalogue::project(connection, recorded).await?;
    subscriptions::project(connection, recorded).await?;
    invoices::project(connection, recorded).await?;
    terms::project(connection, recorded).await?;
    periods::project(connection, recorded).await?;
    quota::project(connection, recorded).await?;
    api_keys::project(connection, recorded).await?;
    receivables::project(connection, recorded).await?;
    credit_notes::project(connection, recorded).await?;
    dunning::project(connection, recorded).await?;
    credits::project(connection, recorded).await?;
    charges::project(connection, recorded).await?;
    Ok(())
}

/// The last item of each key, in the order in which the keys came: one statement may touch a row only once.
fn last_of_each<T, K: Eq + Hash>(items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut last: Vec<T> = Vec::new();
    for item in items {
        match places.entry(key(&item)) {
            std::collections::hash_map::Entry::Occupied(place) => last[*place.get()] = item,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(last.len());
                last.push(item);
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::last_of_each;

    #[test]
    fn the_last_of_each_key_stays() {
        assert_eq!(last_of_each([(1, 'a'), (2, 'b'), (1, 'c')], |item| item.0), [(1, 'c'), (2, 'b')]);
    }
}
