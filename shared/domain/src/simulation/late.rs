//! Which closed periods an event changes that became known after they were measured.

use super::course::Course;
use super::entry;
use crate::error::FieldError;
use crate::subscription::{TimelineError, UsageNeed, demand, usage_needs};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What the closed periods of a course were billed for, each looked up once, however many entries are held against it.
pub(super) struct Needs<'c, 'p> {
    course: &'c Course<'p>,
    /// By window, as far as they were asked for.
    of_window: BTreeMap<usize, Vec<NeedOf>>,
}

#[derive(Clone)]
struct NeedOf {
    need: UsageNeed,
    /// Whether its usage carries over into later windows.
    carries_over: bool,
}

impl<'c, 'p> Needs<'c, 'p> {
    pub fn of(course: &'c Course<'p>) -> Self {
        Self { course, of_window: BTreeMap::new() }
    }

    /// What of closed periods an event changes: the windows in which it lies, and later ones into which it carries over.
    pub fn changed_by(&mut self, entry: &entry::Entry) -> Result<Vec<UsageNeed>, FieldError> {
        let course = self.course;
        let first = course.windows.partition_point(|window| window.period.served.end <= entry.time);
        let mut changed = Vec::new();
        course.spend(1)?;
        for index in first..course.windows.len() {
            if course.windows[index].period.served.start > entry.time && !course.carries_over {
                break;
            }
            let needs = self.of_window(index)?;
            course.spend(needs.len())?;
            let reaches = |it: &&NeedOf| {
                it.need.window.contains(entry.time) || (it.need.window.start > entry.time && it.carries_over)
            };
            let concerned = needs.iter().filter(reaches).filter(|it| entry.meters.contains(&it.need.meter));
            changed.extend(concerned.map(|it| it.need.clone()));
        }
        Ok(changed)
    }

    fn of_window(&mut self, index: usize) -> Result<&[NeedOf], FieldError> {
        let course = self.course;
        let place = match self.of_window.entry(index) {
            Entry::Occupied(known) => return Ok(known.into_mut()),
            Entry::Vacant(place) => place,
        };
        let refused = |error: TimelineError| course.refused(error);
        course.look(1)?;
        let within = course.windows[index].period.served;
        let needs = usage_needs(&course.state, course.prepared, within).map_err(refused)?;
        let mut all = Vec::with_capacity(needs.len());
        for need in needs {
            let carries_over = course.carries_over && {
                course.look(1)?;
                demand(&course.state, course.prepared, &need).map_err(refused)?.carries_over()
            };
            all.push(NeedOf { need, carries_over });
        }
        Ok(place.insert(all))
    }
}
