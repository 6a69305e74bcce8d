//! The times of one anchor each: periods begin anew where a trial is over, where the subscription goes on after a time that was
//! not served, and where they become longer or shorter.
//!
//! What has begun once stays, also where a later decision takes its whole time away: periods that were billed keep their bounds,
//! so that what was billed for them is found and given back.

use super::Subscription;
use super::change::Alteration;
use super::timeline::{END_OF_TIME, is_in};
use crate::period::{Alignment, BillingAnchor, Interval, PeriodError, zone::day_of};
use chrono::{DateTime, Utc};

/// A time whose billing periods follow one anchor. The last one is not cut by the subscription's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub from: DateTime<Utc>,
    /// Exclusive; `from` where nothing of it is served any more.
    pub until: DateTime<Utc>,
    pub anchor: BillingAnchor,
}

impl Subscription {
    /// In order.
    pub(super) fn segments(&self) -> Result<Vec<Segment>, PeriodError> {
        let intervals = self.intervals();
        let in_force = |at: DateTime<Utc>| {
            let next = intervals.partition_point(|(from, _)| *from <= at);
            next.checked_sub(1).map_or(self.interval, |last| intervals[last].1)
        };
        let mut begins: Vec<DateTime<Utc>> = vec![self.started_at];
        begins.extend(self.trial.map(|trial| trial.until));
        begins.extend(self.reactivations().map(|gap| gap.end));
        begins.extend(intervals.iter().map(|(from, _)| *from));
        begins.retain(|begin| *begin >= self.started_at);
        begins.sort_unstable();
        begins.dedup();
        let gaps = self.gaps();
        let mut segments = Vec::with_capacity(begins.len());
        for (index, from) in begins.iter().copied().enumerate() {
            let next = begins.get(index + 1).copied().unwrap_or(END_OF_TIME);
            let ends = gaps.get(gaps.partition_point(|gap| gap.end <= from)).map_or(next, |gap| gap.start.min(next));
            let until = if is_in(&gaps, from) { from } else { ends };
            segments.push(Segment { from, until, anchor: self.anchor_from(from, in_force(from))? });
        }
        Ok(segments)
    }

    /// The lengths of its periods after the first, each from where it counts; neighbours differ. What was decided for a later
    /// instant holds, also where it counts earlier.
    fn intervals(&self) -> Vec<(DateTime<Utc>, Interval)> {
        let mut changes: Vec<(DateTime<Utc>, usize, Interval)> = Vec::new();
        for (place, (_, change)) in self.in_order().into_iter().enumerate() {
            if let Alteration::PlanChanged { interval, .. } = &change.what {
                changes.push((change.charged_from, place, *interval));
            }
        }
        changes.sort_unstable_by_key(|(from, place, _)| (*from, *place));
        let mut intervals: Vec<(DateTime<Utc>, Interval)> = Vec::new();
        let mut latest = None;
        for (from, place, interval) in changes {
            if latest.is_some_and(|latest| place < latest) {
                continue;
            }
            latest = Some(place);
            if intervals.last().is_some_and(|(last, _)| *last == from) {
                intervals.pop();
            }
            if intervals.last().map_or(self.interval, |(_, before)| *before) != interval {
                intervals.push((from, interval));
            }
        }
        intervals
    }

    /// Periods that begin anew: on the calendar's own day, or the one that the subscription named, or by anniversary on the
    /// day itself.
    fn anchor_from(&self, from: DateTime<Utc>, interval: Interval) -> Result<BillingAnchor, PeriodError> {
        let names_its_own = from == self.started_at
            || self.trial.is_some_and(|trial| trial.until == from)
            || self.calendar == Alignment::Calendar;
        let day = if names_its_own && interval.unit == self.interval.unit {
            self.anchor_day
        } else {
            interval.own_anchor_day(self.calendar, from, self.zone)?
        };
        let origin = day_of(from, self.zone)?;
        Ok(BillingAnchor { interval, calendar: self.calendar, day, origin, zone: self.zone })
    }

    /// Whether charging begins here, so that the day counts as a whole one.
    pub(super) fn charging_begins_at(&self, instant: DateTime<Utc>) -> bool {
        instant == self.started_at
            || self.trial.is_some_and(|trial| trial.until == instant)
            || self.reactivations().any(|gap| gap.end == instant)
    }
}
