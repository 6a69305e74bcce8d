//! Which cases exist. The folders hold rules as plain functions of what they need; here each becomes a test with a
//! database of its own.

use crate::harness::{LogChoice, TestDatabases, engines};

/// Rules of Postgres: each gets a migrated database.
macro_rules! postgres {
    ($($module:ident { $($case:ident)+ })+) => {$(
        mod $module {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let databases = super::TestDatabases::postgres_only().await;
                super::rules::$module::$case(&databases.target).await;
            }
        )+}
    )+};
}

/// Rules of ClickHouse: each gets a migrated database.
macro_rules! clickhouse {
    ($($module:ident { $($case:ident)+ })+) => {$(
        mod $module {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let databases = super::TestDatabases::clickhouse_only().await;
                super::rules::$module::$case(&databases.clickhouse).await;
            }
        )+}
    )+};
}

/// Rules of the whole path: each runs on the Postgres log, and on Kafka where there are brokers.
macro_rules! end_to_end {
    ($($module:ident { $($case:ident)+ })+) => {$(
        mod $module {
            mod on_postgres {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::super::rules::$module::$case(super::super::LogChoice::Postgres).await;
                }
            )+}
            mod on_kafka {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if super::super::has_kafka(stringify!($case)) {
                        super::super::rules::$module::$case(super::super::LogChoice::Kafka).await;
                    }
                }
            )+}
        }
    )+};
}

fn has_kafka(case: &str) -> bool {
    let has = engines().kafka_brokers.is_some();
    if !has {
        eprintln!("NOT CHECKED on Kafka: {case} (set KAFKA_BROKERS=host:port)");
    }
    has
}

mod of_postgres {
    use super::TestDatabases;
    mod rules {
        pub use crate::ingest::{admission, import, keys as ingest_keys, requests, verdicts};
        pub use crate::isolation::registry;
        pub use crate::postgres::{journal, keys, outbox, pools, projections, tenants};
    }
    postgres! {
        journal {
            positions_are_gap_free_in_commit_order
            a_stale_version_is_a_conflict_and_writes_nothing
            a_key_is_recorded_once
            the_payload_keeps_its_bytes
            what_was_decided_is_never_edited
            numbers_have_no_gap
            a_topic_keeps_its_partition_count
        }
        pools {
            a_tenant_sees_only_itself
            without_a_tenant_nothing_is_read
            each_role_can_do_only_its_part
            an_aborted_task_leaves_no_open_transaction
            kept_answers_expire_unread
            start_refuses_a_role_that_escapes_row_security
        }
        keys {
            a_key_says_who_calls_and_for_whom
            the_secret_is_stored_nowhere
            a_revoked_key_stops_within_the_cache_time
        }
        tenants {
            a_tenant_is_known_from_the_moment_it_is_created
            personal_data_is_versioned_and_erasable
        }
        outbox { decisions_are_published_in_order_and_none_is_passed_over }
        projections {
            every_projection_is_rebuilt_to_the_same_bytes
            one_append_projects_as_many_do
            a_projection_says_what_was_decided
            a_rebuild_finds_and_mends_what_was_altered
            appends_wait_for_a_rebuild
            invoices_are_recorded_in_bulk
        }
        registry {
            every_table_is_registered
            no_tenant_table_is_called_global
            the_tenant_leads_every_key
            row_security_is_forced_on_every_tenant_table
            the_register_can_export_and_erase
            no_role_escapes_row_security
        }
        verdicts {
            each_event_has_its_own_and_the_accepted_are_in_the_log
            the_records_key_is_the_identity
            equal_events_in_one_batch_are_all_accepted
            a_request_of_rejected_events_is_a_problem_with_verdicts
            ten_thousand_events_keep_their_order
        }
        requests {
            structured_batched_and_gzipped_events_are_taken
            a_request_that_cannot_be_read_is_a_problem
        }
        ingest_keys {
            sending_needs_a_key_with_the_scope
            a_bound_key_sends_for_its_tenant_alone
            a_backfill_needs_the_scope_admin_and_says_so_in_the_record
        }
        admission {
            one_tenants_flood_refuses_nobody_else
            a_request_of_which_nothing_may_go_now_is_429
            a_log_that_does_not_acknowledge_is_503_and_the_same_events_go_later
            a_client_that_hangs_up_leaves_nothing_behind
            the_queue_to_the_log_is_bounded
        }
        import {
            a_file_that_is_imported_twice_has_the_same_identities
            an_import_outlasts_a_bucket_that_is_too_small_for_it
        }
    }

    mod migrate {
        use crate::harness::TestDatabases;
        use crate::postgres::migrate;

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn two_processes_migrate_at_once_and_again() {
            migrate::two_processes_migrate_at_once_and_again(&TestDatabases::unmigrated().target).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn a_database_of_somebody_else_is_left_alone() {
            // The roles are there from then on.
            drop(TestDatabases::postgres_only().await);
            migrate::a_database_of_somebody_else_is_left_alone(&TestDatabases::unmigrated().target).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_mark_that_was_renewed_stays() {
        let databases = TestDatabases::postgres_only().await;
        let pools = databases.connect().await;
        // Without a transaction around it: each statement is one.
        let mut connection = pools.worker.pool().acquire().await.expect("connects");
        crate::usage::dirty::a_mark_that_was_renewed_stays(&mut connection).await;
    }
}

mod of_clickhouse {
    use super::TestDatabases;
    mod rules {
        pub use crate::usage::{billing, dead_letters, equality, fence, groups, isolation, recovery, replace};
    }
    clickhouse! {
        equality {
            three_ways_agree
            pages_tile
            text_forms_are_canonical
            an_overflow_is_an_error
            an_unknown_dimension_is_named
        }
        fence {
            an_old_epoch_is_refused
            errors_are_sorted
            a_running_insert_is_killed
        }
        isolation {
            a_forgotten_condition_shows_one_tenant
            every_tenant_table_is_filtered
            migrating_again_does_nothing
        }
        recovery {
            what_is_stored_is_read_back
            what_became_of_an_event
        }
        dead_letters { dead_letters_are_listed_and_marked }
        replace {
            a_group_that_disappeared_is_gone
            a_record_stored_twice_counts_once
        }
        billing {
            spans_are_billed_inside_their_cuts
            a_line_lists_its_events
            a_double_stops_the_closing
            totals_for_quota_agree
        }
        groups {
            usage_by_dimension_is_what_its_events_say
            transactions_are_told_apart_as_one_by_one
            what_is_held_is_counted_second_by_second
        }
    }
}

mod of_the_log {
    use crate::harness::{TestDatabases, engines};
    use crate::log::conforms;
    use crate::log::fixture::Fixture;
    use sqlx::ConnectOptions;
    use talea_platform::postgres::Role;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres_conforms() {
        let databases = TestDatabases::postgres_only().await;
        let url = databases.target.role(Role::Worker).expect("parses").to_url_lossy();
        conforms(&Fixture::postgres(url.as_str())).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn kafka_conforms() {
        let fixture = match &engines().kafka_brokers {
            Some(brokers) => Fixture::kafka(brokers),
            None => Fixture::mock_kafka(),
        };
        conforms(&fixture).await;
    }
}

mod of_the_whole_path {
    use super::{LogChoice, has_kafka};
    mod rules {
        pub use crate::billing::{
            charges, closing, commitment, dimensions, finance, held, late, lifecycle, once, payments, terms,
            voids as voided_usage, wallets, what_if,
        };
        pub use crate::events::{
            answers, counting, failures, pages, poison, status, values, voids, window, windows_of_usage,
        };
        pub use crate::quota::{checks, onboarding, policy, signals};
        pub use crate::recovery::{backlog, crash, kill, shutdown, stuck};
    }
    end_to_end! {
        counting {
            a_retry_with_a_new_time_counts_once
            equal_events_of_one_batch_count_once
            a_conflict_is_visible_and_the_first_stays_counted
            source_and_id_are_never_joined
        }
        values {
            numbers_are_exact
            what_a_meter_cannot_read_is_visible
            an_event_that_no_meter_matches_is_visible_and_counted_later
        }
        window {
            the_window_is_judged_by_the_logs_time
            an_identity_is_remembered_over_restarts_and_months
            years_that_cannot_be_stored_are_rejected
            an_unknown_tenants_events_count_once_it_exists
        }
        poison {
            garbage_stops_no_partition
            direct_producers_are_equals
            a_record_in_the_wrong_partition_counts_once_at_home
        }
        failures {
            events_that_could_not_be_stored_count_once_later
            identities_that_could_not_be_stored_are_written_later
            dead_letters_that_could_not_be_stored_are_written_later
            a_metering_that_cannot_write_is_not_ready
        }
        answers {
            each_request_gets_its_answer
            a_sender_needs_a_key_for_what_it_sends
            a_flood_is_refused_to_its_tenant_alone
        }
        status {
            an_event_says_what_became_of_it
            what_metering_has_not_read_is_pending
        }
        voids {
            a_voided_event_is_no_longer_counted_by_any_meter
            a_void_of_nothing_is_a_dead_letter_and_no_tenant_reaches_anothers_events
        }
        voided_usage { a_void_before_the_close_is_not_billed_and_one_after_it_is_an_adjustment }
        pages { every_list_is_paged_without_gap_or_repeat }
        windows_of_usage { buckets_and_raw_events_agree_before_and_after_a_recompute }
        kill {
            what_was_acknowledged_counts_once_however_often_it_is_killed
            another_server_takes_over_what_a_killed_one_held
        }
        crash {
            a_crash_between_any_two_effects_is_mended
            an_owner_that_lost_its_partition_cannot_write
        }
        backlog {
            a_retry_that_waited_for_days_is_a_duplicate
            an_identity_that_is_used_anew_is_remembered_anew
        }
        shutdown { a_graceful_end_leaves_nothing_to_replay }
        stuck { one_stuck_partition_is_seen_beside_one_that_works }
        checks {
            every_aggregation_is_what_a_recount_says
            a_check_says_why_and_what_remains
            another_tenants_entitlements_are_not_there
            a_total_that_never_arrived_is_healed_from_the_store
        }
        signals {
            a_crossing_is_signalled_with_its_cause_and_once
            restarts_and_second_instances_lose_and_double_nothing
            a_new_period_resets_and_a_raised_limit_is_ok
        }
        policy {
            an_exceeded_hard_limit_suspends_and_the_next_period_resumes
            a_soft_limit_notifies_and_what_a_person_decides_stands
            a_poison_record_stops_nobody
            a_signal_that_was_never_delivered_is_found
        }
        onboarding {
            a_repeated_request_changes_nothing_and_shows_no_secret_again
            requests_at_once_make_one_tenant
            a_faulty_request_names_its_fields_and_leaves_nothing
            a_key_works_for_its_tenant_until_it_is_revoked
        }
        closing {
            a_backlog_is_billed_moment_after_moment
            a_period_waits_for_its_grace
            a_lag_delays_an_invoice_and_never_shortens_it
            a_double_in_the_store_stops_its_invoice_alone
            a_draft_is_issued_early_on_request
        }
        charges { a_charge_is_invoiced_once_with_the_next_invoice_or_at_once }
        commitment { what_is_missing_to_a_commitment_is_a_line_of_its_own }
        dimensions { usage_is_priced_by_its_dimensions }
        held { seats_are_priced_by_the_time_they_were_held }
        late {
            late_usage_is_an_adjustment_of_the_next_invoice
            late_usage_after_the_end_gets_its_own_document
        }
        lifecycle {
            a_sold_version_never_changes
            an_end_in_the_period_is_prorated_exactly
            a_change_is_billed_at_once
            a_repeated_start_starts_one
        }
        payments {
            a_payment_counts_once_however_often_it_is_told
            dunning_suspends_and_a_payment_resumes
            credit_notes_are_numbered_without_gaps
            what_is_voided_keeps_its_number
        }
        wallets {
            credits_pay_what_is_issued_and_end_when_all_is_billed
            runs_at_once_spend_a_credit_once
            the_database_holds_the_ledger_to_its_balance
        }
        terms {
            a_coupon_and_a_tax_make_the_exact_invoice_and_are_used_once
        }
        once { runs_at_once_issue_each_document_once }
        what_if {
            a_doubled_price_doubles_every_line
            a_plans_tenants_are_compared_page_by_page
            a_document_is_simulated_over_http
        }
        finance {
            a_line_stands_on_exactly_its_events
            finance_reads_its_invoices_and_nobody_elses
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_retry_after_the_log_failed_counts_once() {
        // Takes the log's own table away, which only Postgres has.
        crate::events::failures::a_retry_after_the_log_failed_counts_once(LogChoice::Postgres).await;
    }
}
