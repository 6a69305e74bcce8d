//! Usage as a log with one partition: entries in the order in which they became known. A *cut* is how many of them are known
//! at an instant, so that late usage is what it is for real: entries of a closed window outside its cut.

use super::document::UsageInput;
use super::entry::{Content, Entry, read};
use super::held::held;
use super::prepare::Tenant;
use super::sums::Sums;
use super::work::{Exhausted, Work};
use crate::error::FieldError;
use crate::event::Identity;
use crate::id::{MeterKey, TenantId};
use crate::invoice::UsageFigure;
use crate::meter::{Aggregation, MeterDefinition, Reading, digest};
use crate::period::Period;
use crate::plan::Demand;
use crate::rating::{TransactionSplit, UsageGroup};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most readings of one document, over all of its meters: each keeps its instants, and meters times events would fill
/// the memory long before either does.
const MAX_READINGS: usize = 1_000_000;

pub(super) struct UsageLog {
    pub entries: Vec<Entry>,
    by_tenant: BTreeMap<TenantId, TenantUsage>,
    meters: BTreeMap<MeterKey, MeterDefinition>,
}

#[derive(Default)]
struct TenantUsage {
    /// Its entries that a meter counts, in the order of the log.
    offsets: Vec<usize>,
    by_meter: BTreeMap<MeterKey, Vec<Placed>>,
}

/// A reading of one meter, in the order of its time.
pub(super) struct Placed {
    pub time: DateTime<Utc>,
    /// Where the span of the quantity ends; none for what happened at an instant.
    pub until: Option<DateTime<Utc>>,
    /// The latest end of it and of all before it: where it is past a window's start, a span reaches in.
    reach: DateTime<Utc>,
    offset: usize,
    /// Where its void stands.
    voided: Option<usize>,
    pub reading: Reading,
    /// Whether it is a quantity: already an amount of the meter, and no event.
    pub is_quantity: bool,
}

impl UsageLog {
    pub fn new(
        usage: Vec<UsageInput>,
        meters: BTreeMap<MeterKey, MeterDefinition>,
        tenants: &BTreeMap<TenantId, Tenant>,
        work: &Work,
        faults: &mut Vec<FieldError>,
    ) -> Self {
        let mut entries = Vec::with_capacity(usage.len());
        for (place, input) in usage.into_iter().enumerate() {
            match read(place, input, &meters, tenants) {
                Ok(entry) => entries.push(entry),
                Err(fault) => faults.push(fault),
            }
        }
        entries.sort_by_key(|entry| (entry.known_at, entry.place));
        let mut log = Self { entries, by_tenant: BTreeMap::new(), meters };
        log.count_once();
        faults.extend(log.place_all(work).err());
        log
    }

    /// An identity counts once, as it came first, and not from the first void of it on.
    fn count_once(&mut self) {
        let mut seen: HashMap<Identity, usize> = HashMap::new();
        for offset in 0..self.entries.len() {
            let entry = &self.entries[offset];
            let first = seen.get(&entry.identity).copied();
            let refusal = match (&entry.content, first) {
                (Content::Void { .. }, None) => "voids what is not counted before it",
                (Content::Void { .. }, Some(first)) if self.entries[first].voided.is_some() => "voids what is voided",
                (Content::Void { .. }, Some(first)) => {
                    self.entries[first].voided = Some(offset);
                    self.entries[offset].time = self.entries[first].time;
                    self.entries[offset].content = Content::Void { of: Some(first) };
                    continue;
                }
                (_, None) => {
                    seen.insert(entry.identity, offset);
                    continue;
                }
                (_, Some(first)) if self.entries[first].body_hash == entry.body_hash => "repeats an event",
                (_, Some(_)) => "has the identity of an earlier event with other content",
            };
            self.entries[offset].content = Content::Refused(refusal.into());
        }
    }

    /// Lets every meter read every entry of its type.
    fn place_all(&mut self, work: &Work) -> Result<(), FieldError> {
        let mut left = MAX_READINGS;
        let mut by_type: HashMap<&str, Vec<&MeterDefinition>> = HashMap::new();
        for meter in self.meters.values() {
            by_type.entry(&meter.event_type).or_default().push(meter);
        }
        for (offset, entry) in self.entries.iter_mut().enumerate() {
            let placed = |reading, is_quantity| Placed {
                time: entry.time,
                until: entry.until,
                reach: entry.until.unwrap_or(entry.time),
                offset,
                voided: entry.voided,
                reading,
                is_quantity,
            };
            let readings: Vec<(MeterKey, Placed)> = match &entry.content {
                Content::Quantity { meter, quantity, .. } => {
                    let reading = Reading::Value { value: Some(*quantity), text: None, dimensions: Vec::new() };
                    vec![(meter.clone(), placed(reading, true))]
                }
                Content::Event(event) => {
                    let meters = by_type.get(event.event_type.as_str()).map(Vec::as_slice).unwrap_or_default();
                    work.spend(1 + meters.len()).map_err(|exhausted| exhausted.at("/usage"))?;
                    let (mut read, mut unmetered) = (Vec::new(), None);
                    for meter in meters {
                        match meter.read(event) {
                            reading @ Reading::Value { .. } => read.push((meter.key.clone(), placed(reading, false))),
                            Reading::Unmetered(reason) if unmetered.is_none() => {
                                unmetered = Some(format!("meter {} cannot read it: {reason}", meter.key));
                            }
                            _ => {}
                        }
                    }
                    if read.is_empty() {
                        let nobody = "no meter of the document is about it";
                        entry.content = Content::Refused(unmetered.map_or(nobody.into(), Into::into));
                    }
                    read
                }
                Content::Void { .. } | Content::Refused(_) => Vec::new(),
            };
            if readings.is_empty() {
                continue;
            }
            left = left.checked_sub(readings.len()).ok_or_else(too_often)?;
            let tenant = self.by_tenant.entry(entry.tenant.clone()).or_default();
            tenant.offsets.push(offset);
            for (meter, placed) in readings {
                entry.meters.push(meter.clone());
                tenant.by_meter.entry(meter).or_default().push(placed);
            }
        }
        self.place_voids();
        for series in self.by_tenant.values_mut().flat_map(|tenant| tenant.by_meter.values_mut()) {
            series.sort_by_key(|placed| (placed.time, placed.offset));
            let mut reach = DateTime::<Utc>::MIN_UTC;
            for placed in series {
                reach = reach.max(placed.reach);
                placed.reach = reach;
            }
        }
        Ok(())
    }

    /// A void changes what its entry changes: it stands in the log with that one's time and meters.
    fn place_voids(&mut self) {
        for offset in 0..self.entries.len() {
            let Content::Void { of: Some(first) } = self.entries[offset].content else { continue };
            self.entries[offset].meters = self.entries[first].meters.clone();
            if let Some(tenant) = self.by_tenant.get_mut(&self.entries[offset].tenant) {
                tenant.offsets.push(offset);
            }
        }
        self.by_tenant.values_mut().for_each(|tenant| tenant.offsets.sort_unstable());
    }

    /// Why an entry is not counted inside a cut; none where it is.
    pub fn refusal(&self, entry: &Entry, cut: usize) -> Option<String> {
        let void = entry.voided.filter(|void| *void < cut);
        let voided = void.map(|void| format!("it is voided by /usage/{}", self.entries[void].place));
        voided.or_else(|| entry.refusal().map(str::to_owned))
    }

    /// How many entries are known at an instant.
    pub fn cut(&self, at: DateTime<Utc>) -> usize {
        self.entries.partition_point(|entry| entry.known_at <= at)
    }

    /// The usage of a meter in a window, of the entries inside the cut, whole and by what is asked beside. An error where it
    /// cannot be told.
    pub fn figure(
        &self,
        tenant: &TenantId,
        meter: &MeterKey,
        demand: &Demand,
        window: Period,
        cut: usize,
        work: &Work,
    ) -> Result<UsageFigure, FieldError> {
        self.spend(tenant, meter, demand, window, work).map_err(|exhausted| exhausted.at("/usage"))?;
        let aggregation = self.meters.get(meter).map_or(Aggregation::Sum, |meter| meter.aggregation);
        let does_not_fit = || {
            let reason = format!("the usage of {meter} from {} to {} does not fit 28 digits", window.start, window.end);
            FieldError::new("/usage", reason, "send smaller quantities, or with fewer digits")
        };
        let mut sums = Sums::default();
        let mut groups: BTreeMap<BTreeMap<String, String>, Sums> = BTreeMap::new();
        let mut splits: Vec<TransactionSplit> = demand.splits.iter().copied().map(TransactionSplit::new).collect();
        for placed in self.inside(tenant, meter, window, cut)? {
            let entry = &self.entries[placed.offset];
            sums.add(entry, placed);
            if !demand.dimensions.is_empty() {
                groups.entry(self.values(meter, &demand.dimensions, entry, placed)?).or_default().add(entry, placed);
            }
            if let Reading::Value { value: Some(amount), .. } = placed.reading {
                splits.iter_mut().try_for_each(|split| split.add(amount)).ok_or_else(does_not_fit)?;
            }
        }
        let group = |(values, sums): (_, Sums)| {
            Ok(UsageGroup { values, quantity: sums.value(aggregation).ok_or_else(does_not_fit)? })
        };
        Ok(UsageFigure {
            quantity: sums.value(aggregation).ok_or_else(does_not_fit)?,
            event_count: sums.events.count + sums.quantities.count,
            digest: digest(sums.identities, sums.bodies),
            cut: vec![cut as u64],
            meter_version: 1,
            groups: groups.into_iter().map(group).collect::<Result<_, FieldError>>()?,
            splits,
            held: demand
                .held
                .iter()
                .map(|carry_over| {
                    held(self.until(tenant, meter, window, cut), window, aggregation, *carry_over)
                        .ok_or_else(does_not_fit)
                })
                .collect::<Result<_, FieldError>>()?,
        })
    }

    /// Takes the steps of a figure: every reading for each thing that is asked of it.
    fn spend(
        &self,
        tenant: &TenantId,
        meter: &MeterKey,
        demand: &Demand,
        window: Period,
        work: &Work,
    ) -> Result<(), Exhausted> {
        let series = self.by_tenant.get(tenant).and_then(|tenant| tenant.by_meter.get(meter));
        let series = series.map(Vec::as_slice).unwrap_or_default();
        let ahead = series.partition_point(|placed| placed.time < window.end);
        let before = series.partition_point(|placed| placed.time < window.start);
        let reaches_in = before > 0 && series[before - 1].reach > window.start;
        work.spend(1 + (ahead - before) * (1 + demand.dimensions.len() + demand.splits.len()))?;
        work.spend(ahead * demand.held.len() + if reaches_in { before } else { 0 })
    }

    /// The readings of a window. An error where a span of time crosses a bound of it.
    fn inside(
        &self,
        tenant: &TenantId,
        meter: &MeterKey,
        window: Period,
        cut: usize,
    ) -> Result<impl Iterator<Item = &Placed>, FieldError> {
        let series = self.by_tenant.get(tenant).and_then(|tenant| tenant.by_meter.get(meter));
        let series = series.map(Vec::as_slice).unwrap_or_default();
        let ahead = &series[..series.partition_point(|placed| placed.time < window.end)];
        let (before, inside) = ahead.split_at(ahead.partition_point(|placed| placed.time < window.start));
        let known = |placed: &&Placed| placed.counts(cut);
        if before.last().is_some_and(|placed| placed.reach > window.start) {
            let reaches_in = |placed: &&Placed| placed.until.is_some_and(|it| it > window.start);
            if let Some(placed) = before.iter().filter(known).find(reaches_in) {
                return Err(self.straddles(placed, window.start));
            }
        }
        let reaches_out = |placed: &&Placed| placed.until.is_some_and(|until| until > window.end);
        match inside.iter().filter(known).find(reaches_out) {
            Some(placed) => Err(self.straddles(placed, window.end)),
            None => Ok(inside.iter().filter(move |placed| placed.counts(cut))),
        }
    }

    /// The readings before the end of a window, also those before it.
    fn until(&self, tenant: &TenantId, meter: &MeterKey, window: Period, cut: usize) -> impl Iterator<Item = &Placed> {
        let series = self.by_tenant.get(tenant).and_then(|tenant| tenant.by_meter.get(meter));
        let series = series.map(Vec::as_slice).unwrap_or_default();
        let ahead = &series[..series.partition_point(|placed| placed.time < window.end)];
        ahead.iter().filter(move |placed| placed.counts(cut))
    }

    /// The dimension values of a reading; "" where it has none.
    fn values(
        &self,
        meter: &MeterKey,
        dimensions: &BTreeSet<String>,
        entry: &Entry,
        placed: &Placed,
    ) -> Result<BTreeMap<String, String>, FieldError> {
        let value = |name: &String| {
            let value = match (&entry.content, &placed.reading) {
                (Content::Quantity { dimensions, .. }, _) => dimensions.get(name).cloned().unwrap_or_default(),
                (_, Reading::Value { dimensions, .. }) => {
                    let known = self.meters.get(meter).map(|meter| meter.dimensions.as_slice()).unwrap_or_default();
                    let place = known.iter().position(|known| known.name == *name).ok_or_else(|| {
                        let reason = format!("meter {meter} has no dimension {name}, by which it is priced");
                        FieldError::new("/meters", reason, "add the dimension to the meter")
                    })?;
                    dimensions.get(place).cloned().unwrap_or_default()
                }
                _ => String::new(),
            };
            Ok((name.clone(), value))
        };
        dimensions.iter().map(value).collect()
    }

    fn straddles(&self, placed: &Placed, bound: DateTime<Utc>) -> FieldError {
        let entry = &self.entries[placed.offset];
        FieldError::new(
            format!("/usage/{}/to", entry.place),
            format!("a billing period begins or ends inside the span, at {}", bound.to_rfc3339()),
            "end the span there and send the rest apart, or write `at` for each quantity",
        )
    }

    /// The counted entries of a tenant between two cuts, in the order of the log.
    pub fn between(&self, tenant: &TenantId, from: usize, to: usize) -> impl Iterator<Item = &Entry> {
        let offsets = self.by_tenant.get(tenant).map(|tenant| tenant.offsets.as_slice()).unwrap_or_default();
        let first = offsets.partition_point(|offset| *offset < from);
        offsets[first..].iter().take_while(move |offset| **offset < to).map(|offset| &self.entries[*offset])
    }
}

impl Placed {
    /// Whether it is known inside the cut, and no void of it.
    fn counts(&self, cut: usize) -> bool {
        self.offset < cut && self.voided.is_none_or(|void| void >= cut)
    }
}

fn too_often() -> FieldError {
    let reason = format!("is read more than {MAX_READINGS} times by its meters");
    FieldError::new("/usage", reason, "send fewer events or fewer meters in one document")
}
