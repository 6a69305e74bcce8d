use super::*;
use bytes::Bytes;
use talea_domain::event::EventLimits;

/// The offset of an event whose row is gone.
const REMOVED: u64 = 77;
const NOW: &str = "2026-10-10T12:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn decoded(offset: u64, id: &str, time: &str, tokens: &str) -> Decoded {
    let value = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","time":"{time}","tenantid":"acme","data":{{"tokens":{tokens}}}}}"#
    );
    let event = Submission::parse_structured(value.as_bytes(), None, &EventLimits::default());
    let record = LogRecord {
        partition: 0,
        offset,
        appended_at: at(NOW),
        key: Bytes::new(),
        value: Bytes::from(value),
        headers: Vec::new(),
    };
    Decoded { record, event, backfill: false }
}

fn void(offset: u64, own: &str, id: &str) -> Decoded {
    let value = format!(
        r#"{{"specversion":"1.0","id":"{own}","source":"/ops","type":"talea.event.voided.v1","time":"{NOW}","tenantid":"acme","data":{{"source":"/s","id":"{id}","reason":"a test"}}}}"#
    );
    let event = Submission::parse_structured(value.as_bytes(), None, &EventLimits::default());
    Decoded { event, ..decoded(offset, "x", NOW, "1") }
}

fn judged(records: Vec<Decoded>, known: &mut Known, replayed: &[u64], tenant_known: bool) -> Vec<String> {
    let replayed = replayed.iter().copied().collect();
    let bench = Bench {
        partition: 0,
        partitions: 1,
        window: Window { late: Duration::days(35), future: Duration::hours(1) },
        replayed: &replayed,
        tenant_is_known: &|_| tenant_known,
        event_is_kept: &|place| place.1 != REMOVED,
    };
    judge(records, known, &bench)
        .into_iter()
        .map(|(_, verdict)| match verdict {
            Verdict::Replay => "replay".to_owned(),
            Verdict::Forward(_) => "forward".to_owned(),
            Verdict::Counted(_) => "counted".to_owned(),
            Verdict::Duplicate { of, .. } => format!("duplicate of {}", of.offset),
            Verdict::Voided { of, .. } => format!("voids {}", of.offset),
            Verdict::VoidedAgain { by, .. } => format!("voided by {}", by.1),
            Verdict::DeadLetter { reason, .. } => format!("{reason:?}"),
        })
        .collect()
}

#[test]
fn the_first_in_the_log_stays_counted() {
    let records = vec![
        decoded(7, "a", NOW, "1"),
        decoded(8, "a", NOW, "1.0"),
        decoded(9, "a", "2026-10-09T00:00:00Z", "1"),
        decoded(10, "a", NOW, "2"),
        decoded(11, "b", NOW, "2"),
    ];
    let verdicts = judged(records, &mut Known::default(), &[], true);
    assert_eq!(verdicts, ["counted", "duplicate of 7", "duplicate of 7", "Conflict", "counted"]);
}

#[test]
fn a_dead_letter_claims_no_identity() {
    let mut known = Known::default();
    let records = vec![decoded(1, "a", "2026-09-01T00:00:00Z", "1"), decoded(2, "a", "2026-10-10T13:00:01Z", "1")];
    assert_eq!(judged(records, &mut known, &[], true), ["TooLate", "InFuture"]);
    assert_eq!(judged(vec![decoded(3, "a", NOW, "1")], &mut known, &[], false), ["UnknownTenant"]);
    assert_eq!(judged(vec![decoded(4, "a", NOW, "1")], &mut known, &[], true), ["counted"]);
}

#[test]
fn the_window_is_closed_at_both_ends() {
    let records = vec![decoded(1, "a", "2026-09-05T12:00:00Z", "1"), decoded(2, "b", "2026-10-10T13:00:00Z", "1")];
    assert_eq!(judged(records, &mut Known::default(), &[], true), ["counted", "counted"]);
}

#[test]
fn a_replay_gets_no_verdict_and_a_duplicate_of_a_late_event_is_still_a_duplicate() {
    let mut known = Known::default();
    assert_eq!(judged(vec![decoded(1, "a", NOW, "1")], &mut known, &[], true), ["counted"]);
    let again = vec![decoded(1, "a", NOW, "1"), decoded(2, "a", "2026-01-01T00:00:00Z", "1")];
    assert_eq!(judged(again, &mut known, &[1], true), ["replay", "duplicate of 1"]);
}

#[test]
fn an_identity_is_remembered_for_the_window_and_in_a_backfill_for_longer() {
    let event = decoded(1, "a", NOW, "1");
    let Ok(Submission::Usage(usage)) = &event.event else { panic!("no usage") };
    let first_seen = at(NOW) - Duration::days(36);
    let claim = Claim { body_hash: usage.body_hash, partition: 0, offset: 0, first_seen };
    let mut known = Known { claims: HashMap::from([(usage.identity.0, claim)]), ..Known::default() };
    let backfill = Decoded { backfill: true, ..decoded(1, "a", NOW, "1") };
    assert_eq!(judged(vec![backfill], &mut known, &[], true), ["duplicate of 0"]);
    assert_eq!(judged(vec![event], &mut known, &[], true), ["counted"]);
}

#[test]
fn a_record_in_the_wrong_partition_is_sent_home() {
    let bench_partitions = 64;
    let records: Vec<_> =
        (0..20).flat_map(|n| [decoded(n, &format!("id-{n}"), NOW, "1"), void(n, "v", &format!("id-{n}"))]).collect();
    let homes: Vec<_> = records
        .iter()
        .map(|r| home_partition(r.event.as_ref().expect("valid").subject_identity(), bench_partitions))
        .collect();
    let bench = Bench {
        partition: 3,
        partitions: bench_partitions,
        window: Window { late: Duration::days(35), future: Duration::hours(1) },
        replayed: &HashSet::new(),
        tenant_is_known: &|_| true,
        event_is_kept: &|_| true,
    };
    for ((_, verdict), home) in judge(records, &mut Known::default(), &bench).into_iter().zip(homes) {
        assert_eq!(matches!(verdict, Verdict::Forward(_)), home != 3);
    }
}

#[test]
fn a_void_takes_effect_once_and_frees_no_identity() {
    let records = vec![
        decoded(1, "a", NOW, "1"),
        void(2, "v-1", "a"),
        void(3, "v-1", "a"),
        void(4, "v-2", "a"),
        decoded(5, "a", NOW, "1"),
        decoded(6, "a", NOW, "2"),
        void(7, "v-3", "a"),
    ];
    let verdicts = judged(records, &mut Known::default(), &[], true);
    let expected = ["counted", "voids 1", "voided by 2", "voided by 2", "duplicate of 1", "Conflict", "voided by 2"];
    assert_eq!(verdicts, expected);
}

#[test]
fn a_void_of_nothing_is_a_dead_letter_that_changes_nothing() {
    let mut known = Known::default();
    assert_eq!(
        judged(vec![void(1, "v", "a"), decoded(2, "a", NOW, "1")], &mut known, &[], true),
        ["UnknownEvent", "counted"]
    );
    assert_eq!(judged(vec![void(3, "v", "b")], &mut known, &[], false), ["UnknownTenant"]);
    assert_eq!(judged(vec![void(3, "v", "a"), void(4, "v", "a")], &mut known, &[3], true), ["replay", "voids 2"]);
    let late = decoded(5, "late", "2026-01-01T00:00:00Z", "1");
    assert_eq!(judged(vec![late, void(6, "v", "late")], &mut known, &[], true), ["TooLate", "UnknownEvent"]);
    let removed = vec![decoded(REMOVED, "r", NOW, "1"), void(78, "v", "r")];
    assert_eq!(judged(removed, &mut known, &[], true), ["counted", "UnknownEvent"]);
}
