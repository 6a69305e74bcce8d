//! The billing periods of a subscription: which one holds an instant, when it ends, and when the next bill moment can be.

use super::moment::{Progress, ServedPeriod};
use super::moments::known_at;
use super::segments::Segment;
use super::{Change, InvoiceTiming, Subscription};
use crate::period::{BillingAnchor, Period, PeriodError};
use chrono::{DateTime, Utc};

impl Subscription {
    /// The billing period that holds an instant, with the part of it in which the subscription ran; none while it does not.
    pub fn period_at(&self, instant: DateTime<Utc>) -> Result<Option<ServedPeriod>, PeriodError> {
        if !self.is_active(instant) {
            return Ok(None);
        }
        let segment = self.segment_at(instant)?;
        let full = segment.anchor.period_containing(instant)?;
        let end = full.end.min(segment.until).min(self.end());
        Ok(Some(ServedPeriod { full, served: Period::new(full.start.max(segment.from), end) }))
    }

    /// What fixes its billing periods at an instant.
    pub fn anchor_at(&self, instant: DateTime<Utc>) -> Result<BillingAnchor, PeriodError> {
        Ok(self.segment_at(instant)?.anchor)
    }

    /// The full billing periods that share an instant with `range`, in order.
    pub fn periods_between(&self, range: Period) -> Result<Vec<Period>, PeriodError> {
        let segments = self.segments()?;
        let mut periods = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let from = if index == 0 { range.start } else { segment.from };
            let until = segments.get(index + 1).map_or(range.end, |next| next.from);
            if let Some(inside) = range.intersect(&Period::new(from, until)) {
                let own = segment.anchor.periods_between(inside)?.into_iter();
                periods.extend(own.filter_map(|period| match index {
                    0 => Some(Period::new(period.start, period.end.min(until.max(period.start)))),
                    _ => period.intersect(&Period::new(segment.from, until)),
                }));
            }
        }
        Ok(periods)
    }

    /// The earliest instant at which its next bill moment can be, whatever its plans sell; none when everything is billed.
    pub fn due_from(&self, progress: Progress) -> Result<Option<DateTime<Utc>>, PeriodError> {
        let pending = self.changes.get(progress.changes..).unwrap_or_default();
        let mut next = None;
        for segment in self.segments()? {
            let until = segment.until.min(self.end());
            if until <= segment.from || progress.until.is_some_and(|billed| until <= billed) {
                continue;
            }
            let at = match progress.until.filter(|billed| *billed >= segment.from) {
                None => segment.from,
                Some(billed) => segment.anchor.period_containing(billed)?.end.min(until),
            };
            next = Some(at);
            break;
        }
        let waits = |change: &&Change| next.is_none() || change.invoice == InvoiceTiming::Now;
        Ok(pending.iter().filter(waits).map(|change| known_at(self, change)).chain(next).min())
    }

    /// When the period that holds an instant ends, whether the subscription still runs then or not.
    pub(super) fn period_end(&self, instant: DateTime<Utc>) -> Result<DateTime<Utc>, PeriodError> {
        let segment = self.segment_at(instant)?;
        Ok(segment.anchor.period_containing(instant)?.end.min(segment.until))
    }

    /// The last segment that has begun, or the first.
    fn segment_at(&self, instant: DateTime<Utc>) -> Result<Segment, PeriodError> {
        let segments = self.segments()?;
        let begun = segments.iter().rev().find(|segment| segment.from <= instant);
        begun.or(segments.first()).copied().ok_or(PeriodError::OutOfRange)
    }

    /// What of a period's time is its own: where another begins anew inside it, that one's is not.
    pub fn cover(&self, period: &ServedPeriod) -> Result<Period, PeriodError> {
        let next = self.segments()?.iter().map(|segment| segment.from).find(|from| *from > period.served.start);
        Ok(Period::new(period.served.start, next.map_or(period.full.end, |next| next.min(period.full.end))))
    }
}
