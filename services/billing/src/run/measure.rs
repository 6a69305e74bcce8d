//! Usage of many bill moments at once, a fixed number of queries for each meter: the windows that end, and the earlier ones
//! into which usage has come since they were closed. What prices ask for beside the whole is [`parts`]'s.

mod parts;

use super::Candidate;
use super::billed::{self, ClosedWindow, Stretch};
use crate::catalogue::Catalogue;
use crate::context::Context;
use chrono::DateTime;
use parts::Parts;
use std::collections::{BTreeMap, BTreeSet};
use talea_domain::id::MeterKey;
use talea_domain::invoice::{BilledLine, UsageFigure};
use talea_domain::meter::MeterDefinition;
use talea_domain::period::Period;
use talea_domain::plan::Demand;
use talea_domain::subscription::{UsageNeed, demand, usage_needs};
use talea_platform::usage::UsageError;
use talea_platform::usage::billing::{BilledUsage, Cut, UsageSpan, billed_usage, late_since};

/// What a document is assembled from.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    pub usage: BTreeMap<UsageNeed, UsageFigure>,
    /// Windows of closed periods with late usage, measured whole.
    pub late: BTreeMap<UsageNeed, UsageFigure>,
    /// The closed periods that were measured again, as they were closed.
    pub remeasured: BTreeSet<Period>,
    /// Earlier lines that the document must know.
    pub billed: Vec<BilledLine>,
}

/// Why a candidate was not measured.
pub type Refusal = String;

/// One answer for each candidate, in order. An error is about the stores, not about a candidate.
pub async fn measure(
    context: &Context,
    catalogue: &Catalogue,
    candidates: &[Candidate],
    cut: &Cut,
) -> anyhow::Result<Vec<Result<Measured, Refusal>>> {
    let mut answers = Vec::with_capacity(candidates.len());
    let mut parts = vec![candidates];
    while let Some(part) = parts.pop() {
        match measure_all(context, catalogue, part, cut).await {
            Ok(measured) => answers.extend(measured),
            // One total that does not fit fails the query of all: the halves say whose it is.
            Err(error) if is_overflow(&error) && part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            Err(error) if is_overflow(&error) => {
                answers.push(Err(format!("its usage does not fit a quantity: {error:#}")))
            }
            Err(error) => return Err(error),
        }
    }
    Ok(answers)
}

fn is_overflow(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(UsageError::Overflow(_)))
}

async fn measure_all(
    context: &Context,
    catalogue: &Catalogue,
    candidates: &[Candidate],
    cut: &Cut,
) -> anyhow::Result<Vec<Result<Measured, Refusal>>> {
    let mut tx = context.platform.databases.worker.begin().await?;
    let plans = candidates.iter().flat_map(|candidate| candidate.subscription.plans());
    let plans: BTreeSet<_> = plans.collect();
    let plans = plans.iter().filter_map(|(key, version)| catalogue.plan(key, *version));
    let meters = plans.flat_map(|plan| plan.billed_meters());
    let windows = billed::closed_windows(&mut tx, candidates, catalogue.has_versions(meters)).await?;
    tx.commit().await?;
    let mut measured: Vec<Result<Measured, Refusal>> = candidates.iter().map(|_| Ok(Measured::default())).collect();
    let plan = Asked::of(catalogue, candidates, &windows, &mut measured);
    let clickhouse = &context.platform.clickhouse;
    for (meter, wanted) in plan.by_meter() {
        let late = late_since(clickhouse, meter, &wanted.closed_spans(), cut).await?;
        let wanted: Vec<&Want> =
            wanted.all.iter().copied().filter(|want| want.closed.is_none() || late.contains_key(&want.key)).collect();
        enter_all(context, meter, &wanted, cut, &mut measured).await?;
    }
    billed_before(context, candidates, &mut measured).await?;
    Ok(measured)
}

/// The usage that each candidate's moment needs, inside a cut of its own: what it was billed by, or would have been.
pub async fn at_cuts(
    context: &Context,
    catalogue: &Catalogue,
    candidates: &[Candidate],
    cuts: &[Cut],
) -> anyhow::Result<Vec<Result<BTreeMap<UsageNeed, UsageFigure>, Refusal>>> {
    let mut measured: Vec<Result<Measured, Refusal>> = candidates.iter().map(|_| Ok(Measured::default())).collect();
    let mut asked = Asked(BTreeMap::new());
    for (index, candidate) in candidates.iter().enumerate() {
        for need in &candidate.moment.usage {
            asked.want(catalogue, index, candidate, need.clone(), (None, None), &mut measured);
        }
    }
    for want in asked.0.values_mut().flat_map(|(_, wants)| wants) {
        want.inside = cuts.get(want.index);
    }
    for (meter, wanted) in asked.by_meter() {
        enter_all(context, meter, &wanted.all, &Cut(Vec::new()), &mut measured).await?;
    }
    Ok(measured.into_iter().map(|measured| measured.map(|measured| measured.usage)).collect())
}

/// Measures windows of one meter and enters each for its candidate.
async fn enter_all(
    context: &Context,
    meter: &MeterDefinition,
    wanted: &[&Want<'_>],
    cut: &Cut,
    measured: &mut [Result<Measured, Refusal>],
) -> anyhow::Result<()> {
    let clickhouse = &context.platform.clickhouse;
    let spans: Vec<UsageSpan> = wanted.iter().map(|want| want.span(want.inside)).collect();
    let answers = billed_usage(clickhouse, meter, &spans, cut).await?;
    let mut parts = parts::parts(clickhouse, meter, wanted, cut).await?;
    for (want, usage) in wanted.iter().zip(answers) {
        match parts.remove(&want.key).unwrap_or_else(|| Ok(Parts::default())) {
            Ok(parts) => want.enter(meter, &usage, parts, cut, &mut measured[want.index]),
            Err(refusal) => measured[want.index] = Err(refusal),
        }
    }
    Ok(())
}

/// One window of one meter of one candidate.
struct Want<'a> {
    key: u32,
    index: usize,
    candidate: &'a Candidate,
    period: Period,
    /// The closed period that it is of, where it is asked for in case that usage came late.
    closed: Option<&'a ClosedWindow>,
    /// The cut inside which it is measured, if not the common one.
    inside: Option<&'a Cut>,
    /// What the candidate's prices ask of the meter in the window.
    demand: Demand,
}

impl Want<'_> {
    fn span(&self, cut: Option<&Cut>) -> UsageSpan {
        let tenant = self.candidate.subscription.tenant.clone();
        UsageSpan { key: self.key, tenant, period: self.period, cut: cut.cloned() }
    }

    /// Where usage that came since the cut changes the window: inside it, and before it where that carries over.
    fn reach(&self, cut: &Cut) -> UsageSpan {
        let span = self.span(Some(cut));
        let start = if self.demand.carries_over() { DateTime::UNIX_EPOCH } else { span.period.start };
        UsageSpan { period: Period::new(start, span.period.end), ..span }
    }

    fn enter(
        &self,
        meter: &MeterDefinition,
        usage: &BilledUsage,
        parts: Parts,
        cut: &Cut,
        measured: &mut Result<Measured, Refusal>,
    ) {
        if !usage.is_counted_once() {
            metrics::counter!("talea_billing_double_counted_total").increment(1);
            *measured = Err(format!(
                "usage of {} from {} to {} is stored more than once ({} rows, {} records, {} identities): nothing is billed \
                 over it until the store is repaired",
                meter.key, self.period.start, self.period.end, usage.rows, usage.records, usage.identities
            ));
        }
        let Ok(measured) = measured else { return };
        let figure = UsageFigure {
            quantity: usage.value.unwrap_or_default(),
            event_count: usage.count,
            digest: usage.digest.clone(),
            cut: self.inside.unwrap_or(cut).0.clone(),
            meter_version: meter.version,
            groups: parts.groups,
            splits: parts.splits,
            held: parts.held,
        };
        let need = UsageNeed { meter: meter.key.clone(), window: self.period };
        match self.closed {
            None => measured.usage.insert(need, figure),
            Some(closed) => {
                measured.remeasured.insert(closed.period);
                measured.late.insert(need, figure)
            }
        };
    }
}

/// Everything that is asked for, by meter and version.
struct Asked<'a>(BTreeMap<(&'a MeterKey, u32), (&'a MeterDefinition, Vec<Want<'a>>)>);

struct Wanted<'a> {
    all: Vec<&'a Want<'a>>,
}

impl Wanted<'_> {
    fn closed_spans(&self) -> Vec<UsageSpan> {
        self.all.iter().filter_map(|want| want.closed.map(|closed| want.reach(&closed.cut))).collect()
    }
}

impl<'a> Asked<'a> {
    fn of(
        catalogue: &'a Catalogue,
        candidates: &'a [Candidate],
        windows: &'a [Vec<ClosedWindow>],
        measured: &mut [Result<Measured, Refusal>],
    ) -> Self {
        let mut asked = Self(BTreeMap::new());
        for (index, (candidate, windows)) in candidates.iter().zip(windows).enumerate() {
            let moment = &candidate.moment;
            let reopened: Vec<Period> = moment.reopens.iter().map(|reopened| reopened.period.served).collect();
            let reopens = |window: &ClosedWindow| {
                let starts = |period: &Period| period.start == window.period.start;
                reopened.iter().any(starts) || moment.closes.is_some_and(|closes| starts(&closes.served))
            };
            for need in &moment.usage {
                // A period that is rated anew is measured as it was.
                let window = windows.iter().find(|window| window.period.contains(need.window.start));
                asked.want(
                    catalogue,
                    index,
                    candidate,
                    need.clone(),
                    (version_of(window, &need.meter), None),
                    measured,
                );
            }
            for window in windows {
                if reopens(window) {
                    if let Ok(measured) = &mut measured[index] {
                        measured.remeasured.insert(window.period);
                    }
                    continue;
                }
                match usage_needs(&candidate.subscription, catalogue, window.period) {
                    Ok(needs) => {
                        for need in needs {
                            let of = (version_of(Some(window), &need.meter), Some(window));
                            asked.want(catalogue, index, candidate, need, of, measured);
                        }
                    }
                    Err(error) => measured[index] = Err(error.to_string()),
                }
            }
        }
        asked
    }

    fn want(
        &mut self,
        catalogue: &'a Catalogue,
        index: usize,
        candidate: &'a Candidate,
        need: UsageNeed,
        (version, closed): (Option<u32>, Option<&'a ClosedWindow>),
        measured: &mut [Result<Measured, Refusal>],
    ) {
        let Some(meter) = catalogue.meter(&need.meter, version) else {
            measured[index] = Err(format!("meter {} of its plan is not in the catalogue", need.meter));
            return;
        };
        let demand = match demand(&candidate.subscription, catalogue, &need) {
            Ok(demand) => demand,
            Err(error) => {
                measured[index] = Err(error.to_string());
                return;
            }
        };
        let period = need.window;
        let (_, wants) = self.0.entry((&meter.key, meter.version)).or_insert_with(|| (meter, Vec::new()));
        // A page has far fewer windows than a u32 can count; past it, keys would only have to be given by chunk.
        let key = u32::try_from(wants.len()).unwrap_or(u32::MAX);
        wants.push(Want { key, index, candidate, period, closed, inside: None, demand });
    }

    fn by_meter(&self) -> impl Iterator<Item = (&'a MeterDefinition, Wanted<'_>)> {
        self.0.values().map(|(meter, wants)| (*meter, Wanted { all: wants.iter().collect() }))
    }
}

/// The version of a meter by which a closed window was billed, where that matters.
fn version_of(window: Option<&ClosedWindow>, meter: &MeterKey) -> Option<u32> {
    window.and_then(|window| window.versions.get(meter).copied())
}

/// Fetches the earlier lines about periods with late usage, and about those that an end or a change concerns.
async fn billed_before(
    context: &Context,
    candidates: &[Candidate],
    measured: &mut [Result<Measured, Refusal>],
) -> anyhow::Result<()> {
    let mut stretches = Vec::new();
    for (index, (candidate, measured)) in candidates.iter().zip(measured.iter()).enumerate() {
        let Ok(measured) = measured else { continue };
        let late = measured.late.keys().filter_map(|need| candidate.subscription.period_at(need.window.start).ok()?);
        let periods: BTreeSet<Period> = late.chain(candidate.moment.compared()).map(|period| period.full).collect();
        stretches.extend(periods.into_iter().map(|period| Stretch { index, period }));
    }
    if stretches.is_empty() {
        return Ok(());
    }
    let mut tx = context.platform.databases.worker.begin().await?;
    let lines = billed::billed_lines(&mut tx, candidates, &stretches).await?;
    tx.commit().await?;
    for (measured, lines) in measured.iter_mut().zip(lines) {
        if let Ok(measured) = measured {
            measured.billed = lines;
        }
    }
    Ok(())
}
