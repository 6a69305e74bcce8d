//! Compares live totals with the store, all the time. A difference that nothing under way explains is counted, logged and
//! healed with the store's figure.
//!
//! What is under way moves: a difference counts when the live total stands still between two comparisons and still is not
//! what the store says.

use crate::book::Book;
use crate::live::{Place, Total, relevant};
use crate::load::stored_totals;
use crate::shared::Shared;
use chrono::{DateTime, Duration, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use talea_domain::id::{MeterKey, TenantId};
use talea_domain::meter::{Aggregation, Partial, bucket_start};
use talea_platform::worker::Outcome;

/// One total of the book.
type Spot = (TenantId, MeterKey, Place);
/// Differences of the last comparison, with the live total as it was.
pub type Suspects = HashMap<Spot, Option<Total>>;
/// The most differences that are followed; more than that is one trouble, not many.
const MAX_SUSPECTS: usize = 10_000;
/// Most comparisons look back so far: late events are few, and the store reads little for it.
const RECENT: Duration = Duration::hours(3);
/// Of so many comparisons the first two look at everything that is kept; two, because a difference counts the second time.
const CYCLE: u64 = 20;

/// What is kept between comparisons.
#[derive(Debug, Default)]
pub struct Comparisons {
    done: u64,
    suspects: Suspects,
}

/// A difference that nothing under way explains.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    pub spot: Spot,
    pub live: Option<Total>,
    pub stored: Option<Total>,
}

/// One pass: one query per limited meter.
pub async fn pass(shared: Arc<Shared>, comparisons: Arc<Mutex<Comparisons>>) -> anyhow::Result<Outcome> {
    if !shared.feed_fixed.is_reached() {
        return Ok(Outcome::Idle);
    }
    let Some((meters, kept_from)) = shared.book().limited() else { return Ok(Outcome::Idle) };
    let now = shared.platform.clock.now();
    let done = comparisons.lock().unwrap_or_else(PoisonError::into_inner).done;
    let since = if done % CYCLE < 2 { kept_from } else { kept_from.max(bucket_start(now - RECENT)) };
    let stored = stored_totals(&shared, &meters, since).await?;
    let drifts = {
        let mut comparisons = comparisons.lock().unwrap_or_else(PoisonError::into_inner);
        let (drifts, next) = compare(&shared.book(), stored, &comparisons.suspects, since);
        *comparisons = Comparisons { done: done + 1, suspects: next };
        drifts
    };
    metrics::gauge!("talea_totals_drift").set(drifts.len() as f64);
    for drift in &drifts {
        let (tenant, meter, place) = &drift.spot;
        tracing::warn!(
            tenant.id = %tenant, meter.key = %meter, quota.bucket = %place.0, quota.partition = place.1,
            quota.live = ?drift.live, quota.stored = ?drift.stored, "quota.totals_drifted"
        );
        metrics::counter!("talea_totals_healed_total").increment(1);
        shared.book_mut().correct(tenant, meter, *place, drift.stored.clone(), now);
    }
    if !drifts.is_empty() {
        shared.signals_due.notify_one();
    }
    Ok(Outcome::Idle)
}

/// The drifts, and the suspects for the next comparison.
pub fn compare(
    book: &Book,
    stored: Vec<(TenantId, MeterKey, Place, Total)>,
    suspects: &Suspects,
    since: DateTime<Utc>,
) -> (Vec<Drift>, Suspects) {
    let mut stored: HashMap<Spot, Total> =
        stored.into_iter().map(|(tenant, meter, place, total)| ((tenant, meter, place), total)).collect();
    let (mut drifts, mut next) = (Vec::new(), Suspects::new());
    let mut look_at = |spot: Spot, live: Option<&Total>, stored: Option<Total>| {
        match suspects.get(&spot) {
            Some(before) if before.as_ref() == live => drifts.push(Drift { spot, live: live.cloned(), stored }),
            _ if next.len() < MAX_SUSPECTS => drop(next.insert(spot, live.cloned())),
            _ => {}
        };
    };
    for (tenant, live) in book.live().filter(|(_, live)| live.loaded) {
        let (meter, aggregation) = (&live.definition.key, live.definition.aggregation);
        for (place, total) in live.totals().iter().filter(|(place, _)| place.0 >= since) {
            let spot = (tenant.clone(), meter.clone(), *place);
            let found = stored.remove(&spot);
            if !agrees(aggregation, Some(&total.partial), found.as_ref().map(|found| &found.partial)) {
                look_at(spot, Some(total), found);
            }
        }
    }
    for (spot, total) in stored {
        let kept = book.kept_from(&spot.0, &spot.1).is_some_and(|from| from <= spot.2.0);
        if kept {
            look_at(spot, None, Some(total));
        }
    }
    (drifts, next)
}

/// Whether both say the same use.
fn agrees(aggregation: Aggregation, live: Option<&Partial>, stored: Option<&Partial>) -> bool {
    let of = |partial: Option<&Partial>| relevant(aggregation, partial.cloned().unwrap_or_default());
    let (live, stored) = (of(live), of(stored));
    match aggregation {
        Aggregation::UniqueCount => live.uniques == stored.uniques,
        Aggregation::Latest => live.latest.map(|latest| latest.value) == stored.latest.map(|latest| latest.value),
        _ => live == stored,
    }
}

#[cfg(test)]
mod tests;
