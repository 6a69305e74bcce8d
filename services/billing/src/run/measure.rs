//! Usage of many bill moments at once, a fixed number of queries for each meter: the windows that end, and the earlier ones
//! into which usage has come since they were closed. What prices ask for beside the whole is [`parts`]'s.

mod parts;

use super::Candidate;
use super::billed::{self, ClosedWindow, Stretch};
use crate::catalogue::Catalogue;
use crate::context::Context;
use chrono::DateTime;
use parts::Parts;
use std::collections::BTreeMap;
use talea_domain::id::MeterKey;
use talea_domain::invoice::{BilledLine, UsageFigure};
use talea_domain::meter::MeterDefinition;
use talea_domain::period::Period;
use talea_domain::plan::Demand;
use talea_platform::usage::UsageError;
use talea_platform::usage::billing::{BilledUsage, Cut, UsageSpan, billed_usage, late_since};

/// What a document is assembled from.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    pub usage: BTreeMap<MeterKey, UsageFigure>,
    /// Earlier windows with late usage, measured whole.
    pub remeasured: BTreeMap<Period, BTreeMap<MeterKey, UsageFigure>>,
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
    let meters = candidates.iter().flat_map(|candidate| candidate.plan.billed_meters());
    let windows = billed::closed_windows(&mut tx, candidates, catalogue.has_versions(meters)).await?;
    tx.commit().await?;
    let mut measured: Vec<Result<Measured, Refusal>> = candidates.iter().map(|_| Ok(Measured::default())).collect();
    let plan = Asked::of(catalogue, candidates, &windows, &mut measured);
    let clickhouse = &context.platform.clickhouse;
    for (meter, wanted) in plan.by_meter() {
        let late = late_since(clickhouse, meter, &wanted.closed_spans(), cut).await?;
        let wanted: Vec<&Want> =
            wanted.all.iter().copied().filter(|want| want.closed.is_none() || late.contains_key(&want.key)).collect();
        let spans: Vec<UsageSpan> = wanted.iter().map(|want| want.span(None)).collect();
        let answers = billed_usage(clickhouse, meter, &spans, cut).await?;
        let mut parts = parts::parts(clickhouse, meter, &wanted, cut).await?;
        for (want, usage) in wanted.into_iter().zip(answers) {
            match parts.remove(&want.key).unwrap_or_else(|| Ok(Parts::default())) {
                Ok(parts) => want.enter(meter, &usage, parts, cut, &mut measured[want.index]),
                Err(refusal) => measured[want.index] = Err(refusal),
            }
        }
    }
    billed_before(context, candidates, &mut measured).await?;
    Ok(measured)
}

/// One window of one meter of one candidate.
struct Want<'a> {
    key: u32,
    index: usize,
    candidate: &'a Candidate,
    period: Period,
    /// The cut of a closed window; none for one that ends now.
    closed: Option<&'a Cut>,
    /// What the candidate's plan asks of the meter.
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
            cut: cut.0.clone(),
            meter_version: meter.version,
            groups: parts.groups,
            splits: parts.splits,
            held: parts.held,
        };
        match self.closed {
            None => measured.usage.insert(meter.key.clone(), figure),
            Some(_) => measured.remeasured.entry(self.period).or_default().insert(meter.key.clone(), figure),
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
        self.all.iter().filter_map(|want| want.closed.map(|cut| want.reach(cut))).collect()
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
            let now = candidate.moment.usage.iter().map(|need| (&need.meter, need.window, None));
            let before = windows.iter().flat_map(|window| {
                candidate.plan.billed_meters().into_iter().map(move |meter| (meter, window.period, Some(window)))
            });
            for (meter, period, window) in now.chain(before) {
                let version = window.and_then(|window| window.versions.get(meter).copied());
                match catalogue.meter(meter, version) {
                    Some(meter) => asked.add(meter, index, candidate, period, window.map(|window| &window.cut)),
                    None => measured[index] = Err(format!("meter {meter} of its plan is not in the catalogue")),
                }
            }
        }
        asked
    }

    fn add(
        &mut self,
        meter: &'a MeterDefinition,
        index: usize,
        candidate: &'a Candidate,
        period: Period,
        closed: Option<&'a Cut>,
    ) {
        let (_, wants) = self.0.entry((&meter.key, meter.version)).or_insert_with(|| (meter, Vec::new()));
        // A page has far fewer windows than a u32 can count; past it, keys would only have to be given by chunk.
        let key = u32::try_from(wants.len()).unwrap_or(u32::MAX);
        let demand = candidate.plan.demand(&meter.key, candidate.subscription.currency);
        wants.push(Want { key, index, candidate, period, closed, demand });
    }

    fn by_meter(&self) -> impl Iterator<Item = (&'a MeterDefinition, Wanted<'_>)> {
        self.0.values().map(|(meter, wants)| (*meter, Wanted { all: wants.iter().collect() }))
    }
}

/// Fetches the earlier lines about remeasured windows and, where a subscription ends, about its last period.
async fn billed_before(
    context: &Context,
    candidates: &[Candidate],
    measured: &mut [Result<Measured, Refusal>],
) -> anyhow::Result<()> {
    let mut stretches = Vec::new();
    for (index, (candidate, measured)) in candidates.iter().zip(measured.iter()).enumerate() {
        let Ok(measured) = measured else { continue };
        let ended = candidate.moment.closes.filter(|_| candidate.moment.is_last).map(|closes| closes.full);
        let periods = measured.remeasured.keys().copied().chain(ended);
        stretches.extend(periods.map(|period| Stretch { index, period }));
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
