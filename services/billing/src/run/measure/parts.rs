//! What prices ask of usage beside the whole, for the windows whose plan asks: usage by dimension, transactions
//! told apart, and what was held for a time.

use super::{Refusal, Want};
use std::collections::{BTreeMap, HashMap};
use talea_domain::meter::MeterDefinition;
use talea_domain::rating::{Held, SplitTerms, TransactionSplit, UsageGroup};
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::UsageError;
use talea_platform::usage::billing::{Cut, UsageSpan};
use talea_platform::usage::groups::{BilledGroups, MAX_GROUPS, billed_groups};
use talea_platform::usage::held::billed_held;
use talea_platform::usage::splits::billed_splits;

/// What was measured beside the whole.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub groups: Vec<UsageGroup>,
    pub splits: Vec<TransactionSplit>,
    pub held: Vec<Held>,
}

/// The parts of each window that needs some, by its key: one query for each set of dimensions, each kind of bounds and each way of
/// weighing by time that plans ask for.
pub(super) async fn parts(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    wanted: &[&Want<'_>],
    cut: &Cut,
) -> Result<HashMap<u32, Result<Parts, Refusal>>, UsageError> {
    let mut by_dimensions: BTreeMap<Vec<&str>, Vec<&Want<'_>>> = BTreeMap::new();
    let mut by_terms: BTreeMap<SplitTerms, Vec<&Want<'_>>> = BTreeMap::new();
    let mut by_carrying: BTreeMap<bool, Vec<&Want<'_>>> = BTreeMap::new();
    for want in wanted {
        if !want.demand.dimensions.is_empty() {
            let dimensions = want.demand.dimensions.iter().map(String::as_str).collect();
            by_dimensions.entry(dimensions).or_default().push(want);
        }
        for terms in &want.demand.splits {
            by_terms.entry(*terms).or_default().push(want);
        }
        for carry_over in &want.demand.held {
            by_carrying.entry(*carry_over).or_default().push(want);
        }
    }
    let mut parts: HashMap<u32, Result<Parts, Refusal>> = HashMap::new();
    for (dimensions, wanted) in by_dimensions {
        for (want, groups) in wanted.iter().zip(groups(clickhouse, meter, &dimensions, &wanted, cut).await?) {
            parts.insert(want.key, groups.map(|groups| Parts { groups, ..Parts::default() }));
        }
    }
    for (terms, wanted) in by_terms {
        let splits = billed_splits(clickhouse, meter, terms, &spans(&wanted), cut).await?;
        for (want, split) in wanted.iter().zip(splits) {
            if let Ok(parts) = parts.entry(want.key).or_insert_with(|| Ok(Parts::default())) {
                parts.splits.push(split);
            }
        }
    }
    for (carry_over, wanted) in by_carrying {
        let held = billed_held(clickhouse, meter, carry_over, &spans(&wanted), cut).await?;
        for (want, held) in wanted.iter().zip(held) {
            if let Ok(parts) = parts.entry(want.key).or_insert_with(|| Ok(Parts::default())) {
                parts.held.push(held);
            }
        }
    }
    Ok(parts)
}

fn spans(wanted: &[&Want<'_>]) -> Vec<UsageSpan> {
    wanted.iter().map(|want| want.span(want.inside)).collect()
}

async fn groups(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    dimensions: &[&str],
    wanted: &[&Want<'_>],
    cut: &Cut,
) -> Result<Vec<Result<Vec<UsageGroup>, Refusal>>, UsageError> {
    match billed_groups(clickhouse, meter, dimensions, &spans(wanted), cut).await {
        Ok(answers) => Ok(answers.into_iter().map(|answer| taken(meter, answer)).collect()),
        // The meter lacks a dimension: that is the matter of the plans that ask for it.
        Err(UsageError::Field(fault)) => Ok(wanted.iter().map(|_| Err(fault.to_string())).collect()),
        Err(error) => Err(error),
    }
}

fn taken(meter: &MeterDefinition, answer: BilledGroups) -> Result<Vec<UsageGroup>, Refusal> {
    match answer {
        BilledGroups::Groups(groups) => Ok(groups),
        BilledGroups::TooMany => Err(format!(
            "usage of {} has more than {MAX_GROUPS} combinations of the dimensions it is priced by; price it by dimensions with \
             fewer values",
            meter.key
        )),
    }
}
