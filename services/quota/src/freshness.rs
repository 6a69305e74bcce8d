//! How old the figures are. They are as of a moment M when metering has consumed everything that the usage log held at
//! M, and the feed has taken in every total that was published by then.

use crate::shared::{Moment, Shared};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use talea_platform::log::topic;
use talea_platform::worker::Outcome;

/// The consumer group of metering: the roles meet in the log, so its name is a part of the contract between them.
const METERING_GROUP: &str = "talea-metering";

/// A moment that is not proven yet.
#[derive(Debug)]
pub struct Candidate {
    moment: Moment,
    /// What metering has to consume.
    usage_ends: Vec<u64>,
    consumed: bool,
    /// What the feed has to take in. Asked for a pass after metering has consumed, because totals of what was consumed
    /// just now may still be on their way.
    totals_ends: Option<Vec<u64>>,
}

/// One pass: tries to prove the moment that an earlier pass noted, and notes the next.
pub async fn pass(shared: Arc<Shared>, noted: Arc<Mutex<Option<Candidate>>>) -> anyhow::Result<Outcome> {
    let log = &shared.platform.log;
    let candidate = lock(&noted).take();
    let candidate = match candidate {
        None => note(&shared).await?,
        Some(candidate) => match prove(&shared, candidate).await? {
            Proof::Proven(moment) => {
                shared.prove_as_of(moment);
                note(&shared).await?
            }
            Proof::Open(candidate) => candidate,
        },
    };
    *lock(&noted) = Some(candidate);
    let ends: u64 = log.end_offsets(topic::TOTALS).await?.iter().sum();
    let taken: u64 = shared.positions.lock().unwrap_or_else(PoisonError::into_inner).iter().sum();
    metrics::gauge!("talea_totals_lag_records").set(ends.saturating_sub(taken) as f64);
    if let Some(moment) = shared.as_of() {
        metrics::gauge!("talea_totals_age_seconds").set(moment.seen.elapsed());
    }
    Ok(Outcome::Idle)
}

enum Proof {
    Proven(Moment),
    Open(Candidate),
}

async fn note(shared: &Shared) -> anyhow::Result<Candidate> {
    let moment = Moment { at: shared.platform.clock.now(), seen: Instant::now() };
    let usage_ends = shared.platform.log.end_offsets(topic::USAGE).await?;
    Ok(Candidate { moment, usage_ends, consumed: false, totals_ends: None })
}

async fn prove(shared: &Shared, mut candidate: Candidate) -> anyhow::Result<Proof> {
    let log = &shared.platform.log;
    if !candidate.consumed {
        let consumed = log.committed(METERING_GROUP, topic::USAGE).await?;
        candidate.consumed = reaches(&consumed, &candidate.usage_ends);
        return Ok(Proof::Open(candidate));
    }
    let totals_ends = match candidate.totals_ends.take() {
        Some(ends) => ends,
        None => log.end_offsets(topic::TOTALS).await?,
    };
    let positions = shared.positions.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if reaches(&positions, &totals_ends) {
        return Ok(Proof::Proven(candidate.moment));
    }
    candidate.totals_ends = Some(totals_ends);
    Ok(Proof::Open(candidate))
}

fn reaches(positions: &[u64], ends: &[u64]) -> bool {
    positions.len() >= ends.len() && positions.iter().zip(ends).all(|(position, end)| position >= end)
}

fn lock(noted: &Mutex<Option<Candidate>>) -> std::sync::MutexGuard<'_, Option<Candidate>> {
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::reaches;

    #[test]
    fn every_partition_has_to_be_there() {
        for (positions, ends, expect) in [
            (vec![3, 4], vec![3, 4], true),
            (vec![3, 9], vec![3, 4], true),
            (vec![2, 9], vec![3, 4], false),
            (vec![3], vec![3, 0], false),
            (vec![], vec![], true),
        ] {
            assert_eq!(reaches(&positions, &ends), expect, "{positions:?} {ends:?}");
        }
    }
}
