//! The token buckets and the queue, with time as an argument.

use super::*;

const LIMITS: Limits = Limits { tenant_events_per_second: 10, tenant_burst: 100, max_events_in_flight: 400 };

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("a key")
}

fn ask(admission: &Arc<Admission>, name: &str, count: u64, now: Instant) -> (Grant, Held) {
    let (grants, held) = admission.admit(&HashMap::from([(tenant(name), count)]), now);
    (grants[&tenant(name)], held)
}

fn granted(admission: &Arc<Admission>, name: &str, count: u64, now: Instant) -> u64 {
    ask(admission, name, count, now).0.granted
}

#[test]
fn a_bucket_gives_its_burst_then_its_rate() {
    let (admission, start) = (Admission::new(LIMITS), Instant::now());
    assert_eq!(granted(&admission, "a", 60, start), 60);
    assert_eq!(granted(&admission, "a", 60, start), 40);
    assert_eq!(granted(&admission, "a", 1, start), 0);
    assert_eq!(granted(&admission, "a", 1, start + Duration::from_millis(99)), 0);
    assert_eq!(granted(&admission, "a", 5, start + Duration::from_millis(100)), 1);
    assert_eq!(granted(&admission, "a", 1000, start + Duration::from_secs(3600)), 100);
}

#[test]
fn a_refusal_says_when_the_rest_will_fit() {
    let (admission, start) = (Admission::new(LIMITS), Instant::now());
    let (grant, _held) = ask(&admission, "a", 130, start);
    assert_eq!(grant.granted, 100);
    assert_eq!(grant.refusal, Some(Refusal::OverRate { retry_after: Duration::from_secs(3) }));
    let (grant, _held) = ask(&admission, "a", 5000, start);
    assert_eq!(grant.refusal, Some(Refusal::OverRate { retry_after: Duration::from_secs(10) }));
}

#[test]
fn one_tenants_flood_refuses_nobody_else() {
    let (admission, start) = (Admission::new(LIMITS), Instant::now());
    let wanted = HashMap::from([(tenant("flood"), 10_000), (tenant("quiet"), 3)]);
    let (grants, _held) = admission.admit(&wanted, start);
    assert_eq!(grants[&tenant("flood")].granted, 100);
    assert_eq!(grants[&tenant("quiet")], Grant { granted: 3, refusal: None });
}

#[test]
fn no_tenant_fills_the_queue_alone() {
    let limits = Limits { tenant_burst: 1000, max_events_in_flight: 100, ..LIMITS };
    let (admission, start) = (Admission::new(limits), Instant::now());
    let (flood, _held) = ask(&admission, "flood", 1000, start);
    assert_eq!(flood, Grant { granted: 50, refusal: Some(Refusal::QueueFull { retry_after: QUEUE_RETRY }) });
    assert_eq!(granted(&admission, "quiet", 20, start), 20);
}

#[test]
fn places_come_back_when_the_request_ends_or_is_dropped() {
    let (admission, start) = (Admission::new(LIMITS), Instant::now());
    let (first, held) = ask(&admission, "a", 100, start);
    let (_, other) = ask(&admission, "b", 100, start);
    assert_eq!((first.granted, admission.in_flight()), (100, 200));
    drop(held);
    assert_eq!(admission.in_flight(), 100);
    drop(other);
    assert_eq!(admission.in_flight(), 0);
}

#[test]
fn the_queue_is_bounded_over_all_tenants() {
    let limits = Limits { max_events_in_flight: 150, ..LIMITS };
    let (admission, start) = (Admission::new(limits), Instant::now());
    let held: Vec<_> = ["a", "b", "c"].iter().map(|name| ask(&admission, name, 70, start)).collect();
    assert_eq!(held.iter().map(|(grant, _)| grant.granted).collect::<Vec<_>>(), [70, 70, 10]);
    assert_eq!(admission.in_flight(), 150);
}

#[test]
fn idle_tenants_are_forgotten_and_busy_ones_are_not() {
    let (admission, start) = (Admission::new(LIMITS), Instant::now());
    let (_, _busy) = ask(&admission, "busy", 1, start);
    for n in 0..MAX_TENANTS {
        assert_eq!(granted(&admission, &format!("t{n}"), 1, start + Duration::from_millis(n as u64)), 1, "{n}");
    }
    let state = admission.lock();
    assert!(state.accounts.len() <= MAX_TENANTS);
    assert!(state.accounts.contains_key(&tenant("busy")));
}
