//! Usage by dimension, for the windows whose plan prices a meter by some.

use super::{Refusal, Want};
use std::collections::{BTreeMap, HashMap};
use talea_domain::meter::MeterDefinition;
use talea_domain::rating::UsageGroup;
use talea_platform::clickhouse::ClickHouse;
use talea_platform::usage::UsageError;
use talea_platform::usage::billing::Cut;
use talea_platform::usage::groups::{BilledGroups, MAX_GROUPS, billed_groups};

/// The groups of each window that needs them, by its key: one query for each set of dimensions that plans ask for.
pub(super) async fn groups(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    wanted: &[&Want<'_>],
    cut: &Cut,
) -> Result<HashMap<u32, Result<Vec<UsageGroup>, Refusal>>, UsageError> {
    let mut by_dimensions: BTreeMap<Vec<&str>, Vec<&Want<'_>>> = BTreeMap::new();
    for want in wanted {
        by_dimensions.entry(want.dimensions(meter)).or_default().push(want);
    }
    let mut groups = HashMap::new();
    for (dimensions, wanted) in by_dimensions {
        if dimensions.is_empty() {
            continue;
        }
        let keys = wanted.iter().map(|want| want.key);
        match billed_groups(clickhouse, meter, &dimensions, &spans(&wanted), cut).await {
            Ok(answers) => groups.extend(keys.zip(answers.into_iter().map(|answer| taken(meter, answer)))),
            // The meter lacks a dimension: that is the matter of the plans that ask for it.
            Err(UsageError::Field(fault)) => groups.extend(keys.map(|key| (key, Err(fault.to_string())))),
            Err(error) => return Err(error),
        }
    }
    Ok(groups)
}

fn spans(wanted: &[&Want<'_>]) -> Vec<talea_platform::usage::billing::UsageSpan> {
    wanted.iter().map(|want| want.span(None)).collect()
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
