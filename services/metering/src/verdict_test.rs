use super::*;
use bytes::Bytes;
use talea_domain::event::EventLimits;

const NOW: &str = "2026-10-10T12:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn decoded(offset: u64, id: &str, time: &str, tokens: &str) -> Decoded {
    let value = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","time":"{time}","tenantid":"acme","data":{{"tokens":{tokens}}}}}"#
    );
    let event = UsageEvent::parse_structured(value.as_bytes(), None, &EventLimits::default());
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

fn judged(
    records: Vec<Decoded>,
    claims: &mut HashMap<u128, Claim>,
    replayed: &[u64],
    tenant_known: bool,
) -> Vec<String> {
    let replayed = replayed.iter().copied().collect();
    let bench = Bench {
        partition: 0,
        partitions: 1,
        window: Window { late: Duration::days(35), future: Duration::hours(1) },
        replayed: &replayed,
        tenant_is_known: &|_| tenant_known,
    };
    judge(records, claims, &bench)
        .into_iter()
        .map(|(_, verdict)| match verdict {
            Verdict::Replay => "replay".to_owned(),
            Verdict::Forward(_) => "forward".to_owned(),
            Verdict::Counted(_) => "counted".to_owned(),
            Verdict::Duplicate { of, .. } => format!("duplicate of {}", of.offset),
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
    let verdicts = judged(records, &mut HashMap::new(), &[], true);
    assert_eq!(verdicts, ["counted", "duplicate of 7", "duplicate of 7", "Conflict", "counted"]);
}

#[test]
fn a_dead_letter_claims_no_identity() {
    let mut claims = HashMap::new();
    let records = vec![decoded(1, "a", "2026-09-01T00:00:00Z", "1"), decoded(2, "a", "2026-10-10T13:00:01Z", "1")];
    assert_eq!(judged(records, &mut claims, &[], true), ["TooLate", "InFuture"]);
    assert_eq!(judged(vec![decoded(3, "a", NOW, "1")], &mut claims, &[], false), ["UnknownTenant"]);
    assert_eq!(judged(vec![decoded(4, "a", NOW, "1")], &mut claims, &[], true), ["counted"]);
}

#[test]
fn the_window_is_closed_at_both_ends() {
    let records = vec![decoded(1, "a", "2026-09-05T12:00:00Z", "1"), decoded(2, "b", "2026-10-10T13:00:00Z", "1")];
    assert_eq!(judged(records, &mut HashMap::new(), &[], true), ["counted", "counted"]);
}

#[test]
fn a_replay_gets_no_verdict_and_a_duplicate_of_a_late_event_is_still_a_duplicate() {
    let mut claims = HashMap::new();
    assert_eq!(judged(vec![decoded(1, "a", NOW, "1")], &mut claims, &[], true), ["counted"]);
    let again = vec![decoded(1, "a", NOW, "1"), decoded(2, "a", "2026-01-01T00:00:00Z", "1")];
    assert_eq!(judged(again, &mut claims, &[1], true), ["replay", "duplicate of 1"]);
}

#[test]
fn an_identity_is_remembered_for_the_window_and_in_a_backfill_for_longer() {
    let event = decoded(1, "a", NOW, "1");
    let identity = event.event.as_ref().expect("valid").identity.0;
    let body_hash = event.event.as_ref().expect("valid").body_hash;
    let claim = Claim { body_hash, partition: 0, offset: 0, first_seen: at(NOW) - Duration::days(36) };
    let mut claims = HashMap::from([(identity, claim)]);
    let backfill = Decoded { backfill: true, ..decoded(1, "a", NOW, "1") };
    assert_eq!(judged(vec![backfill], &mut claims, &[], true), ["duplicate of 0"]);
    assert_eq!(judged(vec![event], &mut claims, &[], true), ["counted"]);
}

#[test]
fn a_record_in_the_wrong_partition_is_sent_home() {
    let bench_partitions = 64;
    let records: Vec<_> = (0..20).map(|n| decoded(n, &format!("id-{n}"), NOW, "1")).collect();
    let homes: Vec<_> =
        records.iter().map(|r| home_partition(r.event.as_ref().expect("valid"), bench_partitions)).collect();
    let bench = Bench {
        partition: 3,
        partitions: bench_partitions,
        window: Window { late: Duration::days(35), future: Duration::hours(1) },
        replayed: &HashSet::new(),
        tenant_is_known: &|_| true,
    };
    for ((_, verdict), home) in judge(records, &mut HashMap::new(), &bench).into_iter().zip(homes) {
        assert_eq!(matches!(verdict, Verdict::Forward(_)), home != 3);
    }
}
