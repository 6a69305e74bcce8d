//! The commands of a timeline, listed once: what is read, what is refused and what is told all follow from this list. To
//! add one: its member in [`TimelineEntry`], its line here, its arm in the simulation's `command`, its schema.

use super::document::TimelineEntry;
use crate::error::FieldError;

pub(super) struct Command {
    /// The member of a timeline entry that holds it.
    pub name: &'static str,
    pub is_there: fn(&TimelineEntry) -> bool,
    pub about: About,
}

/// What a command is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The subscription that the entry names.
    Subscription,
    /// Something that the command names inside.
    Other,
}

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "start", is_there: |entry| entry.start.is_some(), about: About::Subscription },
    Command { name: "cancel", is_there: |entry| entry.cancel.is_some(), about: About::Subscription },
    Command { name: "record_payment", is_there: |entry| entry.record_payment.is_some(), about: About::Other },
    Command { name: "settle_from_credit", is_there: |entry| entry.settle_from_credit.is_some(), about: About::Other },
    Command { name: "reverse_payment", is_there: |entry| entry.reverse_payment.is_some(), about: About::Other },
    Command { name: "void_invoice", is_there: |entry| entry.void_invoice.is_some(), about: About::Other },
    Command { name: "mark_uncollectible", is_there: |entry| entry.mark_uncollectible.is_some(), about: About::Other },
    Command { name: "issue_credit_note", is_there: |entry| entry.issue_credit_note.is_some(), about: About::Other },
    Command { name: "change_plan", is_there: |entry| entry.change_plan.is_some(), about: About::Subscription },
    Command { name: "change_quantity", is_there: |entry| entry.change_quantity.is_some(), about: About::Subscription },
    Command { name: "add_add_on", is_there: |entry| entry.add_add_on.is_some(), about: About::Subscription },
    Command { name: "remove_add_on", is_there: |entry| entry.remove_add_on.is_some(), about: About::Subscription },
    Command { name: "pause", is_there: |entry| entry.pause.is_some(), about: About::Subscription },
    Command { name: "resume", is_there: |entry| entry.resume.is_some(), about: About::Subscription },
    Command { name: "override_price", is_there: |entry| entry.override_price.is_some(), about: About::Subscription },
    Command { name: "reactivate", is_there: |entry| entry.reactivate.is_some(), about: About::Subscription },
    Command { name: "apply_coupon", is_there: |entry| entry.apply_coupon.is_some(), about: About::Subscription },
    Command { name: "remove_coupon", is_there: |entry| entry.remove_coupon.is_some(), about: About::Subscription },
    Command { name: "grant_credit", is_there: |entry| entry.grant_credit.is_some(), about: About::Other },
    Command { name: "top_up", is_there: |entry| entry.top_up.is_some(), about: About::Other },
    Command { name: "add_charges", is_there: |entry| entry.add_charges.is_some(), about: About::Other },
    Command { name: "withdraw_charge", is_there: |entry| entry.withdraw_charge.is_some(), about: About::Other },
];

/// Their names as a sentence lists them: `start, pause and cancel`.
pub(super) fn names() -> String {
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => names.concat(),
    }
}

/// Whether an entry holds exactly one command, and names the subscription that it is about.
pub(super) fn check(place: usize, entry: &TimelineEntry, faults: &mut Vec<FieldError>) {
    let mut there = COMMANDS.iter().filter(|command| (command.is_there)(entry));
    let (Some(command), None) = (there.next(), there.next()) else {
        let way_out = format!("write exactly one of {}", names());
        faults.push(FieldError::new(format!("/timeline/{place}"), "does not hold one command", way_out));
        return;
    };
    if (command.about == About::Subscription) != entry.subscription.is_some() {
        let (reason, way_out) = match command.about {
            About::Subscription => ("names no subscription", "add the id of the subscription beside the command"),
            About::Other => {
                ("names a subscription beside the command", "leave it out; the command names what it is about")
            }
        };
        faults.push(FieldError::new(format!("/timeline/{place}/subscription"), reason, way_out));
    }
}
