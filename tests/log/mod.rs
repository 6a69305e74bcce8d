//! One conformance suite for every log. A role never knows which log it runs on, so each must keep the same promises.
//!
//! The suite does not start engines: a [`fixture::Fixture`] is given their addresses. What an engine cannot show is named
//! in the report instead of being passed over.

pub mod fixture;
pub mod postgres;
pub mod producers;
pub mod reader;

mod flow;
mod groups;
mod members;
mod records;
mod retention;

use fixture::Fixture;

/// What was checked, and what this engine could not show.
#[derive(Debug, Default)]
pub struct Report {
    pub checked: Vec<&'static str>,
    pub unchecked: Vec<&'static str>,
}

/// Runs the whole suite; panics at the first broken promise.
pub async fn conforms(fixture: &Fixture) -> Report {
    let mut report = Report::default();
    macro_rules! check {
        ($($case:path),+ $(,)?) => {$(
            eprintln!("{}: {}", fixture.name(), stringify!($case));
            $case(fixture).await;
            report.checked.push(stringify!($case));
        )+};
    }
    // Groups wait for leases and rebalances, each on a topic of its own: they wait together.
    macro_rules! check_together {
        ($($case:path),+ $(,)?) => {
            eprintln!("{}: {}", fixture.name(), [$(stringify!($case)),+].join(", "));
            tokio::join!($($case(fixture)),+);
            report.checked.extend([$(stringify!($case)),+]);
        };
    }
    check![
        records::come_back_as_they_were,
        records::keep_their_order_and_their_offsets,
        records::that_are_too_large_are_refused_alone,
        records::of_a_missing_topic_are_not_acknowledged,
        records::are_read_from_any_offset,
        records::keep_their_partition_count,
    ];
    check_together![
        groups::start_at_the_earliest_record,
        groups::go_on_where_they_committed,
        groups::replay_what_a_crash_left_uncommitted,
        members::share_partitions_and_move_only_what_must_move,
        members::that_die_are_replaced,
        flow::a_paused_partition_delivers_nothing_while_others_do,
    ];
    check![flow::a_full_queue_refuses_and_writes_nothing, producers::retry_without_writing_twice];
    if fixture.is_mock() {
        report.unchecked.extend([
            "retention (the mock cluster has no DeleteRecords)",
            "creation and settings of topics, warnings (the mock cluster has no CreateTopics and DescribeConfigs)",
            "durability and replication (the mock cluster is memory)",
        ]);
    } else {
        check![retention::drops_old_records_and_readers_go_on_at_the_earliest, retention::warnings_name_what_is_unsafe];
    }
    if fixture.is_postgres() {
        check![
            postgres::a_commit_of_a_past_generation_is_refused,
            postgres::old_days_are_dropped_as_tables,
            postgres::cancelled_callers_leave_no_transaction_open,
        ];
    }
    for unchecked in &report.unchecked {
        eprintln!("{}: NOT CHECKED: {unchecked}", fixture.name());
    }
    report
}
