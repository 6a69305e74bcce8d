//! How everything stands at an instant. Looking changes nothing.

use super::course::{Closing, Course};
use super::entry::{Content, Entry};
use super::result::{NextMoment, PeriodState, PeriodView, SubscriptionView, Totals, UnbilledUsage, Used, View};
use super::run::Simulation;
use super::wallets::Wallets;
use crate::error::FieldError;
use crate::id::{MeterKey, TenantId};
use crate::invoice::{BilledLine, Invoice, UsageFigure};
use crate::money::{Currency, Money, MoneyError};
use crate::period::Period;
use crate::subscription::{Progress, ServedPeriod, UsageNeed, bill_moments, next_moment};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// The state at `as_of`, to which the simulation has advanced.
pub(super) fn view(simulation: &Simulation<'_>, as_of: DateTime<Utc>) -> Result<View, FieldError> {
    let cut = simulation.prepared.log.cut(as_of);
    simulation.prepared.work.scan(simulation.wallets.movements()).map_err(|exhausted| exhausted.at("/as_of"))?;
    let (mut subscriptions, mut drafts) = (Vec::with_capacity(simulation.courses.len()), Vec::new());
    let mut wallets = simulation.wallets.clone();
    for course in &simulation.courses {
        subscriptions.push(subscription(simulation, course, as_of, cut)?);
        let draft = draft(simulation, course, as_of)?.filter(|draft| draft.is_owed(&simulation.prepared.settings));
        drafts.extend(draft.map(|draft| shown(course, draft, &mut wallets, as_of)).transpose()?);
    }
    let invoices = simulation.issued.clone();
    let totals = totals(invoices.iter().map(AsRef::as_ref), &drafts)
        .map_err(|error| FieldError::new("", error.to_string(), "simulate fewer subscriptions in one document"))?;
    let (unbilled_usage, wallets) = (unbilled(simulation, cut)?, simulation.wallets.views(as_of));
    let receivables = &simulation.receivables;
    Ok(View {
        as_of,
        subscriptions,
        invoices,
        drafts,
        totals,
        unbilled_usage,
        wallets,
        receivables: receivables.views(),
        credit_notes: receivables.notes(),
        open_credits: receivables.open_credits(),
        tenant_states: receivables.tenant_states(),
        charges: simulation.charges.views(),
    })
}

fn subscription(
    simulation: &Simulation<'_>,
    course: &Course<'_>,
    as_of: DateTime<Utc>,
    cut: usize,
) -> Result<SubscriptionView, FieldError> {
    let mut periods = Vec::with_capacity(course.windows.len() + 1);
    let lines = Lines::of(course)?;
    for window in &course.windows {
        periods.push(PeriodView {
            full: window.period.full,
            served: window.period.served,
            state: PeriodState::Closed,
            closed_at: Some(window.closed_at),
            usage: quantities(course, &window.usage)?,
            billed: lines.billed(&window.period)?,
        });
    }
    for (period, state) in unclosed(simulation, course, as_of)? {
        periods.push(PeriodView {
            full: period.full,
            served: period.served,
            state,
            closed_at: None,
            usage: quantities(course, &course.usage(period.served, cut)?)?,
            billed: lines.billed(&period)?,
        });
    }
    Ok(SubscriptionView {
        subscription: course.state.clone(),
        periods,
        billed_until: course.progress.until,
        next: course.next.as_ref().map(|Closing { moment, at, .. }| NextMoment { at: moment.at, closes_at: *at }),
    })
}

/// The periods that have begun and are not closed: those that wait, and the one that runs.
fn unclosed(
    simulation: &Simulation<'_>,
    course: &Course<'_>,
    as_of: DateTime<Utc>,
) -> Result<Vec<(ServedPeriod, PeriodState)>, FieldError> {
    let refused = |error| course.refused(error);
    let plans = simulation.prepared;
    let waiting = bill_moments(&course.state, plans, course.progress, as_of).map_err(refused)?;
    course.look(2 * (1 + waiting.len()))?;
    let after = |at| Progress { until: Some(at), changes: course.state.changes.len() };
    let reached = waiting.last().map_or(course.progress, |moment| after(moment.at));
    let mut next = next_moment(&course.state, plans, reached).map_err(refused)?;
    // A moment can be a start or a change, which closes nothing: the running period is closed by a later one.
    while let Some(moment) = next.as_ref().filter(|moment| moment.closes.is_none()) {
        next = next_moment(&course.state, plans, after(moment.at)).map_err(refused)?;
    }
    let open = next.and_then(|moment| moment.closes).filter(|period| period.served.start <= as_of);
    let waiting = waiting.into_iter().filter_map(|moment| moment.closes).map(|period| (period, PeriodState::Waiting));
    Ok(waiting.chain(open.map(|period| (period, PeriodState::Open))).collect())
}

/// By meter: where it was billed in several windows, their sum.
fn quantities(
    course: &Course<'_>,
    usage: &BTreeMap<UsageNeed, UsageFigure>,
) -> Result<BTreeMap<MeterKey, Used>, FieldError> {
    let mut quantities: BTreeMap<MeterKey, Used> = BTreeMap::new();
    for (need, figure) in usage {
        let used = quantities.entry(need.meter.clone()).or_insert(Used(Decimal::ZERO));
        used.0 = crate::quantity::add(used.0, figure.quantity).map_err(|error| course.refused(error))?;
    }
    Ok(quantities)
}

/// The issued lines of a course, in the order of the instants that they belong to.
struct Lines<'c, 'p> {
    course: &'c Course<'p>,
    in_order: Vec<&'c BilledLine>,
}

impl<'c, 'p> Lines<'c, 'p> {
    fn of(course: &'c Course<'p>) -> Result<Self, FieldError> {
        course.spend(course.lines.len())?;
        let mut in_order: Vec<&BilledLine> = course.lines.iter().collect();
        in_order.sort_by_key(|line| line.belongs_to);
        Ok(Self { course, in_order })
    }

    /// What they say about a period: those that belong to it.
    fn billed(&self, period: &ServedPeriod) -> Result<Money, FieldError> {
        let state = &self.course.state;
        self.course.look(1)?;
        let (own, end) = (state.cover(period).map_err(|error| self.course.refused(error))?, period.full.end);
        let first = self.in_order.partition_point(|line| line.belongs_to < own.start);
        let about = self.in_order[first..].iter().take_while(|line| own.contains(line.belongs_to));
        let about = about.filter(|line| line.period.end <= end).map(|line| line.amount);
        Money::sum(state.currency, about).map_err(|error| self.course.refused(error))
    }
}

/// What the moment that waits would be invoiced. Of several that wait only the first is drafted, as for real.
fn draft(
    simulation: &Simulation<'_>,
    course: &Course<'_>,
    as_of: DateTime<Utc>,
) -> Result<Option<Invoice>, FieldError> {
    let waits = course.next.as_ref().filter(|next| next.moment.revision == 0 && next.moment.at <= as_of);
    let charges = simulation.charges_shown(course, as_of).map_err(|error| course.refused(error))?;
    waits.map(|next| Ok(course.draft(&next.moment, as_of, &charges)?.invoice)).transpose()
}

/// A draft shows what the wallets would pay, one after the other, and takes nothing: the copies are thrown away.
fn shown(
    course: &Course<'_>,
    mut draft: Invoice,
    wallets: &mut Wallets,
    as_of: DateTime<Utc>,
) -> Result<Invoice, FieldError> {
    wallets.pay(&mut draft, as_of).map_err(|error| course.refused(error))?;
    Ok(draft)
}

fn totals<'a>(invoices: impl Iterator<Item = &'a Invoice>, drafts: &[Invoice]) -> Result<Vec<Totals>, MoneyError> {
    let mut totals: BTreeMap<Currency, Totals> = BTreeMap::new();
    let mut of = |currency: Currency, add: &dyn Fn(&mut Totals) -> Result<(), MoneyError>| {
        let zero = Money::zero(currency);
        let empty = Totals { currency, invoices: 0, invoiced: zero, drafted: zero };
        add(totals.entry(currency).or_insert(empty))
    };
    for invoice in invoices {
        of(invoice.currency, &|totals| {
            totals.invoices += 1;
            totals.invoiced = totals.invoiced.checked_add(invoice.total)?;
            Ok(())
        })?;
    }
    for draft in drafts {
        of(draft.currency, &|totals| {
            totals.drafted = totals.drafted.checked_add(draft.total)?;
            Ok(())
        })?;
    }
    Ok(totals.into_values().collect())
}

/// Known usage that no subscription pays for.
fn unbilled(simulation: &Simulation<'_>, cut: usize) -> Result<Vec<UnbilledUsage>, FieldError> {
    let log = &simulation.prepared.log;
    let known = &log.entries[..cut];
    if known.is_empty() {
        return Ok(Vec::new());
    }
    simulation.prepared.work.spend(cut).map_err(|exhausted| exhausted.at("/as_of"))?;
    let paid = paid(simulation)?;
    let pays = |entry: &Entry| {
        let of_tenant = paid.get(&entry.tenant);
        of_tenant.is_some_and(|of_tenant| {
            let mut times = entry.meters.iter().filter_map(|meter| of_tenant.get(meter));
            times.any(|times| within(times, entry.time))
        })
    };
    let mut unbilled = Vec::new();
    for entry in known.iter().filter(|entry| !matches!(entry.content, Content::Void { of: Some(_) })) {
        let nobody = || "no subscription of the tenant bills it at that time".to_owned();
        let reason = log.refusal(entry, cut).or_else(|| (!pays(entry)).then(nobody));
        unbilled.extend(reason.map(|reason| UnbilledUsage { usage: format!("/usage/{}", entry.place), reason }));
    }
    Ok(unbilled)
}

/// By tenant and meter the times in which a subscription pays, in order and without overlap.
type Paid<'s> = BTreeMap<&'s TenantId, BTreeMap<MeterKey, Vec<Period>>>;

fn paid<'s>(simulation: &'s Simulation<'_>) -> Result<Paid<'s>, FieldError> {
    let mut paid = Paid::new();
    for course in &simulation.courses {
        let of_tenant = paid.entry(&course.state.tenant).or_default();
        for need in course.pays_in()? {
            of_tenant.entry(need.meter).or_default().push(need.window);
        }
    }
    for times in paid.values_mut().flat_map(BTreeMap::values_mut) {
        times.sort_unstable_by_key(|time| time.start);
        let mut joined: Vec<Period> = Vec::with_capacity(times.len());
        for time in times.drain(..) {
            match joined.last_mut() {
                Some(last) if time.start <= last.end => last.end = last.end.max(time.end),
                _ => joined.push(time),
            }
        }
        *times = joined;
    }
    Ok(paid)
}

fn within(times: &[Period], instant: DateTime<Utc>) -> bool {
    let after = times.partition_point(|time| time.start <= instant);
    after > 0 && times[after - 1].contains(instant)
}
